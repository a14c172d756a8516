"""Soft prompts learn, nothing else does; a training that was killed ends as if it had not been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gazecut.errors import DataError, RecipeError, TrainingError, WeightsError
from gazecut.pipeline import Pipeline
from gazecut.training import Training, Watcher
from gazecut.values import Frames, Question, Steering
from gazecut_fusion.config import SoftPromptTrainerOptions
from gazecut_fusion.soft_prompt_files import load_soft_prompt
from gazecut_fusion.soft_prompt_state import State, initial, rate
from gazecut_fusion.soft_prompt_trainer import SoftPromptTrainer

FEW: dict[str, Any] = {
    "tokens": 3, "steps": 6, "batch": 2, "frames": 2, "validation": 1, "validate_every": 3, "checkpoint_every": 2, "lr": 0.05, "warmup": 2,
    "answers": 0.1, "pictures": 1,
}  # fmt: skip


def train(parts: Any, data: Path | str, output: Path, *, resume: bool = False, watcher: Watcher | None = None, **options: Any) -> Any:
    trainer = SoftPromptTrainer(SoftPromptTrainerOptions(**(FEW | {"view": "video"} | options)))
    return trainer.train(Training(parts, str(data), output, resume, watcher or Watcher()))


class Losses(Watcher):
    def __init__(self) -> None:
        self.of: list[float] = []

    def on_step(self, part: str, step: int, figures: Mapping[str, float]) -> None:
        self.of.append(figures["loss"])


@pytest.mark.parametrize("place", ["before-text", "after-text", "before-vision"])
@pytest.mark.parametrize("view", ["video", "frame"])
def test_it_learns_and_the_model_stays_as_it_is(
    view: str, place: str, parts: Pipeline, make_videos: Callable[..., Path], tmp_path: Path
) -> None:
    weights = {name: tensor.clone() for name, tensor in parts.mllm._reader.hf.model.state_dict().items()}
    losses = Losses()
    options = {"steps": 14, "validate_every": 7, "expressions": 2, "batch": 1, "answers": 0.0, "keep_open": 1}
    (trained,) = train(parts, make_videos(videos=2), tmp_path / "out", view=view, place=place, watcher=losses, **options)
    assert losses.of[-1] < losses.of[0]  # of one clip, the same questions each time
    after = parts.mllm._reader.hf.model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in weights.items())
    prompt = load_soft_prompt(trained.folder)
    assert prompt.embeddings.shape == (3, 64)
    assert (prompt.record.view, prompt.record.place) == (view, place)
    assert prompt.record.backbone.signature == parts.mllm.describe().signature
    assert prompt.record.normalization == ("per-frame" if view == "frame" else "global")
    assert sorted(path.name for path in (tmp_path / "out" / "pictures" / view).iterdir()) == [f"step_{n:05d}.png" for n in (0, 7, 14)]


def exact_norm(norm: Any, hidden: torch.Tensor) -> torch.Tensor:
    scale = torch.rsqrt(hidden.square().mean(-1, keepdim=True) + norm.variance_epsilon)
    return norm.weight * (hidden * scale)


@pytest.mark.parametrize("place", ["before-text", "after-text", "before-vision"])
@pytest.mark.parametrize("row", ["last-prompt", "first-answer"])
def test_gradients_are_those_of_finite_differences(place: Any, row: Any, tiny_training: dict[str, Any]) -> None:
    parts = Pipeline.from_recipe(tiny_training, overrides={"attribution.row": row}, device="cpu", cache=False)
    parts.mllm._reader.hf.model.double()
    parts.mllm._reader.hf.dtype = torch.float64
    for module in parts.mllm._reader.hf.model.modules():
        if type(module).__name__.endswith("RMSNorm"):  # the library's go through float32, whose steps drown the differences
            module.forward = partial(exact_norm, module)
    frames = Frames(np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8), np.arange(2), 2.0)
    draw = torch.Generator().manual_seed(3)
    soft = torch.randn(2, 64, generator=draw, dtype=torch.float64)
    with parts.mllm.differentiable(frames, "video", parts.attribution.spec) as session:
        weigh = torch.randn(len(session.layout), generator=draw, dtype=torch.float64)

        def value(embeddings: torch.Tensor) -> torch.Tensor:
            (tracing,) = session.trace([Question("what is it?", parts.attribution.spec, Steering(embeddings, place))])
            return (parts.attribution.scores(tracing.traces[0]) * weigh).sum() + 1e-3 * tracing.logits[0, :5].sum()

        leaf = soft.clone().requires_grad_()
        value(leaf).backward()
        for token, element in [(0, 0), (0, 17), (1, 5), (1, 63)]:
            nudge = torch.zeros_like(soft)
            nudge[token, element] = 1e-5
            with torch.no_grad():
                slope = (value(soft + nudge) - value(soft - nudge)) / 2e-5
            assert leaf.grad[token, element] == pytest.approx(float(slope), rel=1e-5, abs=1e-10)


@pytest.mark.parametrize("view", ["video", "frame"])
@pytest.mark.parametrize("place", ["before-text", "before-vision"])
def test_traces_are_those_of_a_session_that_answers(view: str, place: Any, parts: Pipeline) -> None:
    frames = Frames(np.random.default_rng(1).integers(0, 256, (3, 32, 48, 3), dtype=np.uint8), np.arange(3), 2.0)
    steering, spec = Steering(torch.randn(2, 64, generator=torch.Generator().manual_seed(1)), place), parts.attribution.spec
    questions = [Question(text, spec, steering) for text in ("what is it?", "the red circle")]
    prelude = steering.embeddings if place == "before-vision" else None
    with parts.mllm.differentiable(frames, view, spec) as session, parts.mllm.open(frames, view, prelude, spec) as answering:
        for tracing, answer in zip(session.trace(questions), answering.ask(questions), strict=True):
            assert len(tracing.traces) == len(answer.traces)
            for mine, theirs in zip(tracing.traces, answer.traces, strict=True):
                torch.testing.assert_close(parts.attribution.scores(mine), parts.attribution.scores(theirs), rtol=1e-5, atol=1e-7)


KILLED = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from gazecut.pipeline import Pipeline
from gazecut.training import Training, Watcher
from gazecut_fusion.config import SoftPromptTrainerOptions
from gazecut_fusion.soft_prompt_trainer import SoftPromptTrainer
import json
recipe, data, output, options = (json.loads(text) for text in sys.argv[1:])
class Told(Watcher):
    def on_step(self, part, step, figures):
        print(step, flush=True)
parts = Pipeline.from_recipe(recipe, device="cpu", cache=False)
SoftPromptTrainer(SoftPromptTrainerOptions(**options)).train(Training(parts, data, Path(output), True, Told()))
"""


@pytest.mark.slow
def test_killed_at_three_random_points_it_ends_as_if_unbroken(tiny_training: dict[str, Any], videos: Path, tmp_path: Path) -> None:
    import json

    options = FEW | {"view": "frame", "steps": 40, "checkpoint_every": 3, "validate_every": 10}
    parts = Pipeline.from_recipe(tiny_training, device="cpu", cache=False)
    train(parts, videos, tmp_path / "unbroken", **options)
    command = [sys.executable, "-c", KILLED, *map(json.dumps, (tiny_training, str(videos), str(tmp_path / "killed"), options))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    draw = np.random.default_rng(time.time_ns())
    for low, high in [(2, 12), (12, 24), (24, 38)]:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            at = int(draw.integers(low, high))
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) >= at:
                    process.send_signal(signal.SIGKILL)
                    break
        assert process.returncode == -signal.SIGKILL
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    one, other = (torch.load(tmp_path / name / "checkpoints" / "frame.pt", weights_only=True) for name in ("unbroken", "killed"))
    assert other["step"] == 40
    torch.testing.assert_close(one["soft"], other["soft"], rtol=0, atol=1e-6)
    torch.testing.assert_close(one["best"], other["best"], rtol=0, atol=1e-6)


def test_stopped_in_between_it_goes_on_to_the_bit(parts: Pipeline, videos: Path, tmp_path: Path) -> None:
    class Enough(Watcher):
        def on_step(self, part: str, step: int, figures: Mapping[str, float]) -> None:
            if step == 5:
                raise KeyboardInterrupt

    train(parts, videos, tmp_path / "one")
    with pytest.raises(KeyboardInterrupt):
        train(parts, videos, tmp_path / "two", watcher=Enough())
    train(parts, videos, tmp_path / "two", resume=True)
    for name in ("video/adapter_model.safetensors", "video/gazecut.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good(parts: Pipeline, videos: Path, tmp_path: Path) -> None:
    class Poison:
        """The parts, with an attribution that gives NaN from its ninth call on."""

        def __init__(self) -> None:
            self.calls = 0
            self.recipe, self.runtime, self.sampler, self.mllm = parts.recipe, parts.runtime, parts.sampler, parts.mllm
            self.spec = parts.attribution.spec

        @property
        def attribution(self) -> Any:
            return self

        def scores_many(self, traces: Any) -> Any:
            self.calls += 1
            factor = float("nan") if self.calls > 8 else 1.0
            return [scores * factor for scores in parts.attribution.scores_many(traces)]

    with pytest.raises(
        TrainingError, match=r"the loss of step [345] is nan, at v\d, \"the .*\. The state after \d steps is kept in .*video.pt"
    ):
        train(Poison(), videos, tmp_path / "out", answers=0.0, validate_every=100)
    kept = torch.load(tmp_path / "out" / "checkpoints" / "video.pt", weights_only=True)
    assert kept["step"] >= 2
    assert torch.isfinite(kept["soft"]).all()
    assert load_soft_prompt(tmp_path / "out" / "video").embeddings.shape == (3, 64)


def test_an_attribution_without_gradient_is_refused(parts: Pipeline, videos: Path, tmp_path: Path) -> None:
    class Cut:
        recipe, runtime, sampler, mllm = parts.recipe, parts.runtime, parts.sampler, parts.mllm
        spec = parts.attribution.spec

        @property
        def attribution(self) -> Any:
            return self

        def scores_many(self, traces: Any) -> Any:
            return [scores.detach() for scores in parts.attribution.scores_many(traces)]

    with pytest.raises(RecipeError, match="no gradient comes back from its scores"):
        train(Cut(), videos, tmp_path / "out", answers=0.0)


def test_a_backend_that_cannot_be_differentiated_is_refused(parts: Pipeline, videos: Path, tmp_path: Path) -> None:
    class Opaque:
        recipe, runtime, sampler, attribution, mllm = parts.recipe, parts.runtime, parts.sampler, parts.attribution, object()

    with pytest.raises(RecipeError, match=r'no gradient comes through "qwen2\.5-vl"'):
        train(Opaque(), videos, tmp_path / "out")


@pytest.mark.parametrize(("changed", "said"), [({"lr": 0.01}, "lr was 0.05, now it is 0.01"), ({"seed": 4}, "seed was 0, now it is 4")])
def test_another_training_is_not_gone_on_with(changed: dict[str, Any], said: str, parts: Pipeline, videos: Path, tmp_path: Path) -> None:
    train(parts, videos, tmp_path / "out", steps=1)
    with pytest.raises(WeightsError, match=said):
        train(parts, videos, tmp_path / "out", resume=True, **({"steps": 1} | changed))


def test_a_broken_checkpoint_is_refused(parts: Pipeline, videos: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "checkpoints").mkdir(parents=True)
    (tmp_path / "out" / "checkpoints" / "video.pt").write_bytes(b"no checkpoint")
    with pytest.raises(WeightsError, match="cannot read the checkpoint"):
        train(parts, videos, tmp_path / "out", resume=True)


def test_a_question_that_needs_attributes_is_refused_by_name(parts: Pipeline, videos: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match='the object question of "steerseg" needs attributes'):
        train(parts, videos, tmp_path / "out", prompts="steerseg")


def test_initial_text_is_repeated_and_cut_and_the_rate_rises_then_falls() -> None:
    words = torch.arange(6.0).view(3, 2)
    options = SoftPromptTrainerOptions(tokens=5, steps=10, warmup=2, lr=1.0)
    assert torch.equal(initial(words, options, 0), words[[0, 1, 2, 0, 1]])
    assert not torch.equal(initial(words, options.model_copy(update={"noise": 1.0}), 0), words[[0, 1, 2, 0, 1]])
    rates = [rate(step, options) for step in range(11)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[10] == 0.0


def test_of_states_that_keep_the_answers_the_best_correlation_wins() -> None:
    soft = torch.nn.Parameter(torch.zeros(1, 2))
    state = State(soft, torch.optim.AdamW([soft]))
    assert state.offer({"correlation": 0.5, "answers": 0.9}, 0.95)
    assert state.offer({"correlation": 0.3, "answers": 1.0}, 0.95)
    assert not state.offer({"correlation": 0.9, "answers": 0.5}, 0.95)
    assert not state.offer({"correlation": 0.3, "answers": 1.0}, 0.95)
    assert state.offer({"correlation": 0.4, "answers": 0.95}, 0.95)


def test_empty_data_is_refused(parts: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no meta_expressions"):
        train(parts, tmp_path, tmp_path / "out")
