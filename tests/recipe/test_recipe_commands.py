"""`gazecut recipe show`, `check` and `schema` as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gazecut.cli.app import run
from gazecut.plugins import discover
from gazecut.recipe.schema import recipe_schema


@pytest.fixture
def gazecut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    Path("mine.yaml").write_text("version: 1\nextends: pocket\nselector: {threshold: 0.6}\n")

    def call(*arguments: str) -> tuple[int, str, str]:
        status = run(arguments)
        captured = capfd.readouterr()
        return status, captured.out, captured.err

    return call


def test_show_with_origins_is_still_a_recipe(gazecut: Callable[..., tuple[int, str, str]]) -> None:
    status, out, err = gazecut("recipe", "show", "mine.yaml", "--origin", "--set", "sampler.frames=4")
    assert (status, err) == (0, "")
    lines = {line.split("#")[0].strip(): line.split("  # ")[1] for line in out.splitlines() if "#" in line}
    assert lines["threshold: 0.6"] == "mine.yaml:3:23"
    assert lines["frames: 4"] == "--set"
    assert lines["dtype: float32"] == "pocket:7:10"
    assert lines["max_new_tokens: 128"] == "default of mllm qwen2.5-vl"
    Path("again.yaml").write_text(out)
    assert gazecut("recipe", "show", "again.yaml")[1] == gazecut("recipe", "show", "mine.yaml", "--set", "sampler.frames=4")[1]


def test_show_for_programs(gazecut: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _ = gazecut("recipe", "show", "mine.yaml", "--json")
    assert status == 0
    assert {"path": "selector.threshold", "value": 0.6, "origin": "mine.yaml:3:23"} in json.loads(out)


def test_check_takes_several_and_tells_of_each(gazecut: Callable[..., tuple[int, str, str]]) -> None:
    Path("bad.yaml").write_text("version: 1\nextends: pocket\nselector: {threshold: 6}\n")
    status, out, err = gazecut("recipe", "check", "mine.yaml", "bad.yaml", "nowhere.yaml", "pocket")
    assert status == 2
    assert out == "mine.yaml: no problems, 13 components\npocket: no problems, 13 components\n"
    assert err.startswith("gazecut: bad.yaml has 1 problem\n\n  3:23  selector.threshold  found 6; should be less than or equal to 1\n")
    assert "\n\nthere is no recipe file nowhere.yaml; built in: " in err


def test_schema_is_that_of_what_is_installed(gazecut: Callable[..., tuple[int, str, str]]) -> None:
    status, out, err = gazecut("recipe", "schema")
    assert (status, err) == (0, "")
    assert json.loads(out) == recipe_schema(discover())


def test_help_says_how_an_editor_finds_the_schema(gazecut: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _ = gazecut("recipe", "schema", "--help")
    assert status == 0
    assert "# yaml-language-server: $schema=recipe.schema.json" in out
