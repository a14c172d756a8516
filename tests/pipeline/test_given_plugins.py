"""Plugins that a call or a command names reach the pipeline, and are not silently left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from gazecut import Pipeline
from gazecut.cli.app import run
from gazecut.errors import PluginError
from gazecut.testing import FAKE_RECIPE

SCORER = """
from gazecut.components import ComponentSpec, hookimpl
from gazecut.options import Options

class NoOptions(Options):
    pass

class Nobody:
    def __init__(self, config):
        pass

@hookimpl
def register_scorer(register):
    register(ComponentSpec("nobody", "keeps nothing", "my_scorer:Nobody", "my_scorer:NoOptions"))
"""


def test_a_recipe_may_name_what_a_given_plugin_brings(tmp_path: Path) -> None:
    path = tmp_path / "my_scorer.py"
    path.write_text(SCORER)
    pipeline = Pipeline.from_recipe({**FAKE_RECIPE, "scorer": {"use": "nobody"}}, plugins=["gazecut.testing.plugin", path])
    assert type(pipeline.scorer).__name__ == "Nobody"


def test_a_given_plugin_that_does_not_load_stops_everything() -> None:
    with pytest.raises(PluginError) as caught:
        Pipeline.from_recipe("pocket", plugins=["nothing.py"])
    said, why = str(caught.value).splitlines()
    assert said == "plugin nothing.py was asked for, but not loaded: there is no file nothing.py"
    assert why == "Why: gazecut plugins --plugin nothing.py --why nothing.py"


@pytest.mark.parametrize("command", [["segment", "clip.mp4", "it"], ["demo"], ["world", "score"]], ids=lambda words: words[0])
def test_commands_that_run_need_what_they_are_given(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*command, "--plugin", "nothing.py"]) == 2
    assert "plugin nothing.py was asked for, but not loaded" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
