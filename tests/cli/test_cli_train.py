"""`gazecut train`: what it writes and prints, and what it says to a wrong request."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gazecut.cli.train import process_device
from gazecut.errors import RequestError

FEW = ["tokens=2", "steps=2", "batch=1", "frames=2", "validation=1", "validate_every=1", "view=video", "warmup=0"]


@pytest.fixture
def recipe(workdir: Path, tiny_training: dict[str, Any]) -> str:
    (workdir / "tiny.yaml").write_text(yaml.safe_dump(tiny_training))
    return "tiny.yaml"


@pytest.fixture(scope="module")
def videos(make_videos: Callable[..., Path]) -> str:
    return str(make_videos())


def few(*more: str) -> list[str]:
    return [part for option in (*FEW, *more) for part in ("--set", f"trainer.{option}")]


def test_training_prints_what_came_of_it_and_goes_on(gazecut: Any, recipe: str, videos: str, workdir: Path) -> None:
    ended = gazecut("train", "soft-prompt", "-r", recipe, "-d", videos, "-o", "out", "--device", "cpu", *few())
    assert ended.status == 0, ended.err
    assert "video" in ended.out
    assert "correlation before -> after" in ended.out
    assert "video step 0: correlation" in ended.err
    assert "the best so far" in ended.err
    assert {path.name for path in (workdir / "out").iterdir()} >= {"video", "checkpoints", "pictures"}
    record = json.loads((workdir / "out" / "video" / "gazecut.json").read_text())
    assert record["training"]["data"] == videos
    again = gazecut("train", "soft-prompt", "-r", recipe, "-d", videos, "-o", "out", "--device", "cpu", *few())
    assert again.status == 2
    assert "holds a training already" in again.err
    assert "--resume" in again.err
    resumed = gazecut("train", "soft-prompt", "-r", recipe, "-d", videos, "-o", "out", "--device", "cpu", "--resume", *few())
    assert resumed.status == 0, resumed.err
    assert "video: going on after step 2 of 2" in resumed.err
    assert resumed.out == ended.out


WRONG: dict[str, tuple[list[str], str]] = {
    "recipe": (["-r", "no-such-recipe"], 'no recipe is called "no-such-recipe"'),
    "data": (["-d", "no-such-data"], 'there is no folder "no-such-data" to train on'),
    "option": (["--set", "trainer.tokenz=3"], 'has no such option; did you mean "tokens"?'),
    "value": (["--set", "trainer.steps=0"], "trainer.steps"),
    "several": (["--set", "trainer.lr=-1", "--set", "trainer.tokens=many"], "trainer.tokens"),
    "no loss": (["--set", "trainer.bce=0", "--set", "trainer.dice=0"], "wanted a loss on the map"),
    "no option": (["--set", "trainer=3"], 'wanted "trainer.option=value"'),
    "recipe option": (["--set", "mllm.weight=x"], "mllm.weight"),
    "device": (["--device", "tpu"], 'no device is called "tpu"'),
    "prompts": (["--set", "trainer.prompts=steerseg"], 'the object question of "steerseg" needs attributes'),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_request_ends_with_2_and_writes_nothing(fault: str, gazecut: Any, recipe: str, videos: str, workdir: Path) -> None:
    arguments, said = WRONG[fault]
    given = {"-r": recipe, "-d": videos, "-o": "out"}
    base = [part for name, value in given.items() if name not in arguments for part in (name, value)]
    ended = gazecut("train", "soft-prompt", *base, *few(), *arguments)
    assert ended.status == 2, ended.err
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert not (workdir / "out").exists()


def test_an_unknown_trainer_says_which_there_are(gazecut: Any, recipe: str, videos: str) -> None:
    ended = gazecut("train", "soft-promt", "-r", recipe, "-d", videos)
    assert ended.status == 2
    assert 'no trainer is called "soft-promt"; installed: soft-prompt; did you mean "soft-prompt"?' in ended.err


def test_without_data_it_says_what_is_missing(gazecut: Any) -> None:
    ended = gazecut("train", "soft-prompt")
    assert ended.status == 2
    assert "--data" in ended.err


def test_an_output_that_is_a_file_is_refused(gazecut: Any, recipe: str, videos: str, workdir: Path) -> None:
    (workdir / "taken").write_text("mine")
    ended = gazecut("train", "soft-prompt", "-r", recipe, "-d", videos, "-o", "taken", *few())
    assert ended.status == 2
    assert '"taken" is a file; wanted a folder' in ended.err
    assert (workdir / "taken").read_text() == "mine"


def test_help_and_listings_know_it(gazecut: Any) -> None:
    assert "Ref-YouTube-VOS" in gazecut("train", "--help").out
    assert "soft-prompt" in gazecut("plugins").out
    shown = gazecut("show", "trainer", "soft-prompt").out
    assert "least_answers" in shown
    assert "soft_prompt_trainer.py" in shown


def test_each_process_of_a_launcher_has_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [process_device(name) for name in ("cuda", "auto")] == ["cuda", "auto"]
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert [process_device(name) for name in ("cuda", "cuda:1", "cpu")] == ["cuda:3", "cuda:1", "cpu"]
    with pytest.raises(RequestError, match='with --device auto they would share one GPU; say "cuda" or "cpu"'):
        process_device("auto")


def test_of_several_processes_only_the_first_one_speaks(
    gazecut: Any, recipe: str, videos: str, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    ended = gazecut("train", "soft-prompt", "-r", recipe, "-d", videos, "-o", "out", "--device", "cpu", *few())
    assert (ended.status, ended.out, ended.err) == (0, "", "")
