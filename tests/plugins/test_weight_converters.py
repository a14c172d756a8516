"""Plugins that convert weights: asked in turn, whoever knows the checkpoint writes it; what fails leaves nothing behind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from gazecut.components import ComponentSpec
from gazecut.conversion import convert
from gazecut.errors import OutputError, PluginError, WeightsError
from gazecut.plugins import discover
from gazecut.registry import Registry

PLUGIN = """
from gazecut.components import ComponentSpec, hookimpl

@hookimpl
def register_segmenter(register):
    for name in ("first", "second", "third"):
        converter = {{"first": "acme_weights:first", "second": {second!r}, "third": "acme_weights:second"}}[name]
        requires = ("no_such_module",) if name == {lacking!r} else ()
        register(ComponentSpec(name, "x", "acme_parts:X", "acme_parts:O", needs="acme[x]", requires=requires, converter=converter))
"""
WEIGHTS = """
from gazecut.errors import WeightsError

def first(source, target, like):
    return None

def second(source, target, like):
    text = source.read_text()
    target.mkdir()
    (target / "part").write_text(text)
    if text == "torn":
        raise WeightsError(f"weights: {source} is torn.")
    if text == "full":
        raise OSError(28, "No space left on device")
    (target / "like").write_text(str(like))
    return f"{len(text)} characters"
"""


@pytest.fixture
def registry(plugin_folder: Any) -> Any:
    def make(second: str = "acme_weights:second", lacking: str = "") -> Registry:
        text = PLUGIN.format(second=second, lacking=lacking)
        plugin_folder.add("acme", {"acme_plugin": text, "acme_weights": WEIGHTS}, {"main": "acme_plugin"})
        return discover(plugin_folder.distributions())

    return make


def source(folder: Path, text: str) -> Path:
    (folder / "in").write_text(text)
    return folder / "in"


def test_whoever_knows_the_weights_converts_them(registry: Any, tmp_path: Path) -> None:
    assert convert(registry(), source(tmp_path, "good"), tmp_path / "a" / "out", tmp_path) == "4 characters"
    assert (tmp_path / "a" / "out" / "like").read_text() == str(tmp_path)
    assert sorted(each.name for each in (tmp_path / "a").iterdir()) == ["out"]


def test_nobody_knows_the_weights(registry: Any, tmp_path: Path) -> None:
    found = registry(second="acme_weights:first", lacking="third")
    with pytest.raises(WeightsError) as raised:
        convert(found, source(tmp_path, "good"), tmp_path / "out")
    assert str(raised.value) == (
        f'no component knows the weights in "{tmp_path / "in"}"; asked those that can convert some: segmenter "first", segmenter "second"\n'
        'Install it: pip install "acme[x]"'
    )


@pytest.mark.parametrize(
    ("text", "error", "message"), [("torn", WeightsError, "is torn"), ("full", OutputError, "No space left on device; make room")]
)
def test_what_fails_midway_leaves_nothing(text: str, error: type[Exception], message: str, registry: Any, tmp_path: Path) -> None:
    given = source(tmp_path, text)
    with pytest.raises(error, match=message):
        convert(registry(), given, tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("there", ["file", "folder", "link"])
def test_weights_are_never_overwritten(there: str, registry: Any, tmp_path: Path) -> None:
    target = tmp_path / "out"
    {"file": target.touch, "folder": target.mkdir, "link": lambda: target.symlink_to("nowhere")}[there]()
    with pytest.raises(OutputError, match="is there already, and weights are never overwritten"):
        convert(registry(), source(tmp_path, "good"), target)


def test_neighbours_of_the_target_stay(registry: Any, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"expression": "x", "recipe": {}, "components": []}')
    (tmp_path / "masks").mkdir()
    convert(registry(), source(tmp_path, "good"), tmp_path / "out")
    assert sorted(each.name for each in tmp_path.iterdir() if each.name != "site") == ["in", "masks", "out", "run.json"]


def test_a_converter_that_cannot_be_imported(registry: Any, tmp_path: Path) -> None:
    found = registry(second="acme_weights:nothing")
    with pytest.raises(PluginError, match=r'segmenter "second" of acme 1\.0 cannot be imported from acme_weights:nothing'):
        convert(found, source(tmp_path, "good"), tmp_path / "out")


@pytest.mark.parametrize(
    ("second", "message"),
    [("acme_weights", 'segmenter "second" points to "acme_weights"; wanted "package.module:Class"'), (3, "with converter=3; wanted text")],
)
def test_a_converter_that_is_no_path_is_refused(second: Any, message: str, registry: Any) -> None:
    (failure,) = registry(second=second).failures
    assert message in failure.reason


def test_an_aliased_plugin_may_point_into_itself(tmp_path: Path) -> None:
    """A plugin that is one file calls itself by the file's name, whatever it is loaded as."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from gazecut.components import ComponentSpec, hookimpl\n"
        "@hookimpl\n"
        "def register_segmenter(register):\n"
        "    register(ComponentSpec('mine', 'x', 'mine:X', 'mine:O', identity='mine:known', converter='mine:convert'))\n"
        "def convert(source, target, like):\n"
        "    target.write_text('done')\n"
        "    return 'done'\n"
    )
    before = set(sys.modules)
    found = discover([], modules=[str(file)])
    spec: ComponentSpec = found.spec("segmenter", "mine")
    assert spec.identity.partition(":")[0] == spec.converter.partition(":")[0] == spec.target.partition(":")[0]
    assert convert(found, file, tmp_path / "out") == "done"
    for name in set(sys.modules) - before:
        del sys.modules[name]
