"""Modules are found without importing their packages; foreign errors are put into one line."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from gazecut.errors import PluginError
from gazecut.modules import find_module
from gazecut.wording import counted, one_line, shown, size_of


@pytest.fixture
def heavy_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "acme_heavy"
    (package / "inner").mkdir(parents=True)
    for folder in (package, package / "inner"):
        (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "inner" / "part.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "acme_space" / "deep").mkdir(parents=True)
    (tmp_path / "acme_space" / "part.py").write_text("")
    (tmp_path / "acme_space" / "deep" / "part.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    return package


@pytest.mark.parametrize(
    "name", ["acme_heavy", "acme_heavy.inner", "acme_heavy.inner.part", "acme_space", "acme_space.part", "json.decoder"]
)
def test_a_module_is_found_without_importing_anything(heavy_package: Path, name: str) -> None:
    before = set(sys.modules)
    found = find_module(name)
    assert found is not None
    assert found.name == name
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    "name", ["acme_gone", "acme_heavy.gone", "acme_heavy.inner.part.deeper", "json.decoder.deeper", "acme_gone.part", ""]
)
def test_a_module_that_is_not_there_is_not_found(heavy_package: Path, name: str) -> None:
    assert find_module(name) is None


def test_a_module_made_by_hand_is_found_and_a_barred_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("acme_by_hand")
    monkeypatch.setitem(sys.modules, "acme_by_hand", module)
    found = find_module("acme_by_hand")
    assert found is not None
    assert found.origin is None
    monkeypatch.setitem(sys.modules, "json", None)
    assert find_module("json") is None
    assert find_module("json.decoder") is None


def test_a_finder_of_the_old_form_is_passed_over_as_python_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [object(), *sys.meta_path])
    assert find_module("acme_gone") is None
    found = find_module("colorsys" if "colorsys" not in sys.modules else "this")
    assert found is not None


class ShyError(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("odd"), "ValueError: odd"),
        (KeyError("x"), "KeyError: 'x'"),
        (ValueError(), "ValueError"),
        (ValueError("one\n\n  two\tthree "), "ValueError: one two three"),
        (ValueError("a\x1b[31mb\0"), r"ValueError: a\x1b[31mb\x00"),
        (ShyError(), "ShyError: (its text cannot be read)"),
        (PluginError("said on purpose"), "said on purpose"),
        (PluginError(), "PluginError"),
        (ValueError("x" * 300), "ValueError: " + "x" * 185 + "..."),
    ],
)
def test_an_error_on_one_line(error: Exception, line: str) -> None:
    assert one_line(error) == line


def test_a_text_is_cut_where_it_is_asked_for() -> None:
    assert shown("a longer text", 8) == "a lon..."
    assert shown("a text", 8) == "a text"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (2**20 - 1, "1.0 MiB"),
        (2**20, "1.0 MiB"),
        (3 * 2**30, "3.0 GiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_sizes_are_read_by_people(count: int, words: str) -> None:
    assert size_of(count) == words


def test_numbers_have_their_noun() -> None:
    assert [counted(count, "frame") for count in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
