"""Training in other circumstances: half precision, several processes, another recipe, a disk that refuses."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from gazecut.errors import OutputError, WeightsError
from gazecut.pipeline import Pipeline
from gazecut.training import Training, Watcher
from gazecut_fusion import soft_prompt_course
from gazecut_fusion.config import SoftPromptTrainerOptions
from gazecut_fusion.soft_prompt_lessons import OpenLesson
from gazecut_fusion.soft_prompt_state import initial
from gazecut_fusion.soft_prompt_trainer import SoftPromptTrainer

FEW: dict[str, Any] = {
    "view": "video", "tokens": 3, "steps": 2, "batch": 2, "frames": 2, "validation": 1, "validate_every": 2, "checkpoint_every": 2,
    "lr": 0.05, "warmup": 2, "answers": 0.1, "pictures": 1,
}  # fmt: skip


def train(parts: Any, data: Path | str, output: Path, *, resume: bool = False, watcher: Watcher | None = None, **options: Any) -> Any:
    trainer = SoftPromptTrainer(SoftPromptTrainerOptions(**(FEW | options)))
    return trainer.train(Training(parts, str(data), output, resume, watcher or Watcher()))


class Until(Watcher):
    """Breaks a training off at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, part: str, step: int, figures: Mapping[str, float]) -> None:
        if step == self.step:
            raise KeyboardInterrupt


def test_in_half_precision_a_question_without_soft_prompts_strays_from_itself_by_nothing(
    parts: Pipeline, videos: Path, tmp_path: Path
) -> None:
    (trained,) = train(parts, videos, tmp_path / "out", precision="bf16")
    assert trained.before["answers lost"] == 0.0
    assert trained.before["answers"] == 1.0


def test_one_process_trains_in_one_precision_and_then_in_another(parts: Pipeline, videos: Path, tmp_path: Path) -> None:
    kinds = enumerate(("model", "bf16", "model"))
    losses = [train(parts, videos, tmp_path / str(number), precision=kind)[0].before["loss"] for number, kind in kinds]
    assert losses[0] == losses[2] != losses[1]


@pytest.mark.parametrize(
    ("override", "said"),
    [({"sampler.frames": 2}, "sampler was .*4.*, now it is .*2"), ({"mllm.seconds_per_slot": 2.0}, "mllm options was")],
)
def test_another_recipe_is_another_training(
    override: dict[str, Any], said: str, parts: Pipeline, tiny_training: dict[str, Any], videos: Path, tmp_path: Path
) -> None:
    train(parts, videos, tmp_path / "out")
    other = Pipeline.from_recipe(tiny_training, overrides=override, device="cpu", cache=False)
    with pytest.raises(WeightsError, match=said):
        train(other, videos, tmp_path / "out", resume=True)


def test_the_same_model_may_lie_elsewhere(parts: Pipeline, tiny_training: dict[str, Any], videos: Path, tmp_path: Path) -> None:
    train(parts, videos, tmp_path / "out")
    shutil.copytree(tiny_training["mllm"]["weights"], tmp_path / "moved")
    moved = Pipeline.from_recipe(tiny_training, overrides={"mllm.weights": str(tmp_path / "moved")}, device="cpu", cache=False)
    (trained,) = train(moved, videos, tmp_path / "out", resume=True)
    assert trained.step in (0, 2)


def test_whoever_ran_out_of_memory_goes_on_with_less(parts: Pipeline, tiny_training: dict[str, Any], videos: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(parts, videos, tmp_path / "out", steps=4, checkpoint_every=2, watcher=Until(3))
    less = {"mllm.cache_gib": 0, "mllm.host_cache_gib": 0, "attribution.kernel": "chunked", "attribution.chunk": 8}
    smaller = Pipeline.from_recipe(tiny_training, overrides=less, device="cpu", cache=False)
    train(smaller, videos, tmp_path / "out", steps=4, checkpoint_every=2, resume=True)
    assert torch.load(tmp_path / "out" / "checkpoints" / "video.pt", weights_only=True)["step"] == 4


@pytest.mark.parametrize("blocked", ["pictures", "checkpoints", "video"])
def test_a_disk_that_refuses_is_told_in_our_words(blocked: str, parts: Pipeline, videos: Path, tmp_path: Path) -> None:
    (tmp_path / blocked).write_text("a file where a folder is wanted")
    with pytest.raises(OutputError, match=f"cannot write .*{blocked}.*folder"):
        train(parts, videos, tmp_path)


def test_tensorboard_forgets_what_a_broken_off_run_wrote_beyond_its_checkpoint(
    parts: Pipeline, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Writer:
        """Its reader drops what was written before from step `purge_step` on."""

        told: ClassVar[list[int]] = []

        def __init__(self, folder: str, purge_step: int) -> None:
            self.told[:] = [step for step in self.told if step < purge_step]

        def add_scalar(self, name: str, value: float, step: int) -> None:
            self.told.extend([step] if name == "train/loss" else [])

        def close(self) -> None: ...

    monkeypatch.setattr(soft_prompt_course, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    options = {"steps": 6, "checkpoint_every": 3, "validate_every": 100}
    train(parts, videos, tmp_path / "unbroken", **options)
    assert Writer.told == [1, 2, 3, 4, 5, 6]
    Writer.told.clear()
    with pytest.raises(KeyboardInterrupt):
        train(parts, videos, tmp_path / "broken", watcher=Until(5), **options)
    train(parts, videos, tmp_path / "broken", resume=True, **options)
    assert Writer.told == [1, 2, 3, 4, 5, 6]


def test_a_checkpoint_of_another_version_is_refused(parts: Pipeline, videos: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    torch.save({"version": 1, "purpose": {}}, tmp_path / "checkpoints" / "video.pt")
    with pytest.raises(WeightsError, match="is of version 1; this gazecut goes on from version 2"):
        train(parts, videos, tmp_path, resume=True)


def test_noise_has_a_seed_of_any_size() -> None:
    options = SoftPromptTrainerOptions(tokens=2, noise=1.0)
    drawn = [initial(torch.ones(1, 4).cumsum(1), options, seed) for seed in (3, 2**64 + 3, 4)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_validation_asks_without_soft_prompts_once(parts: Pipeline, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    ask = OpenLesson.ask

    def counted(self: OpenLesson, which: Any, soft: Any) -> Any:
        asked.append(soft is not None)
        return ask(self, which, soft)

    monkeypatch.setattr(OpenLesson, "ask", counted)
    train(parts, videos, tmp_path, steps=4, validate_every=2, answers=0.0)
    assert asked.count(False) == 1  # one clip for validation
    assert asked.count(True) == 3 + 4 * 2


ONE_OF_SEVERAL = """
import json, os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from gazecut.pipeline import Pipeline
from gazecut.training import Training
from gazecut_fusion.config import SoftPromptTrainerOptions
from gazecut_fusion.soft_prompt_lessons import OpenLesson
from gazecut_fusion.soft_prompt_trainer import SoftPromptTrainer
recipe, data, output, poison, options = (json.loads(text) for text in sys.argv[1:])
if poison and os.environ["RANK"] == "1":
    ask, left = OpenLesson._ask, iter(range(poison))
    def poisoned(self, which, soft):
        asked = ask(self, which, soft)
        if next(left, None) is None:
            asked[0].maps.data[:] = float("nan")
        return asked
    OpenLesson._ask = poisoned
parts = Pipeline.from_recipe(recipe, device="cpu", cache=False)
SoftPromptTrainer(SoftPromptTrainerOptions(**options)).train(Training(parts, data, Path(output)))
"""


@pytest.fixture
def two_processes(tiny_training: dict[str, Any], videos: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """two_processes(output, poison, options): a training shared by two; the second meets NaN after so many questions, unless 0."""

    def run(output: Path, poison: int, options: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "one_of_several.py"
        script.write_text(ONE_OF_SEVERAL)
        told = map(json.dumps, (tiny_training, str(videos), str(output), poison, options))
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run([*launcher, str(script), *told], env=environment, capture_output=True, text=True, timeout=300, check=False)

    return run


@pytest.mark.slow
def test_two_processes_learn_what_one_does(parts: Pipeline, videos: Path, tmp_path: Path, two_processes: Any) -> None:
    options = FEW | {"steps": 6, "batch": 4, "view": "both"}
    train(parts, videos, tmp_path / "one", **options)
    done = two_processes(tmp_path / "two", 0, options)
    assert done.returncode == 0, done.stderr
    written = [sorted(str(file.relative_to(tmp_path / run)) for file in (tmp_path / run).rglob("*.*")) for run in ("one", "two")]
    assert written[0] == written[1]
    for view in ("video", "frame"):
        one, two = (torch.load(tmp_path / run / "checkpoints" / f"{view}.pt", weights_only=True) for run in ("one", "two"))
        torch.testing.assert_close(one["soft"], two["soft"], rtol=0, atol=2e-6)


@pytest.mark.slow
def test_what_one_of_two_processes_meets_stops_both_and_the_state_is_kept(tmp_path: Path, two_processes: Any) -> None:
    done = two_processes(tmp_path / "out", 7, FEW | {"steps": 20, "answers": 0.0, "validate_every": 100, "checkpoint_every": 100})
    assert done.returncode != 0
    said = re.search(r"the loss of step (\d+) is nan, at v\d, .* The state after (\d+) steps is kept in", done.stderr)
    assert said, done.stderr
    kept = torch.load(tmp_path / "out" / "checkpoints" / "video.pt", weights_only=True)
    assert kept["step"] == int(said[2]) == int(said[1]) - 1 > 0
    assert torch.isfinite(kept["soft"]).all()
