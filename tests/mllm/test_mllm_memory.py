"""Batches that halve when memory runs out: the same answers and maps, one line about it, nothing kept of what failed."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from gazecut.errors import BackendError
from gazecut.protocols import Runtime
from gazecut.values import Answer, Frames, Question, TraceSpec
from gazecut_mllm import backend as backends
from gazecut_mllm import weights
from gazecut_mllm.backend import Backend
from gazecut_mllm.config import RolloutConfig
from gazecut_mllm.memory import BatchLimit, is_out_of_memory, memory_explained
from gazecut_mllm.rollout import RolloutAttribution, rollout_row

QUESTIONS = [Question(text, TraceSpec(0)) for text in ("the red circle", "x", "describe the background")]
FRAMES = 3
BATCH = 8
VIEWS = {"video": {"tokens_per_frame": 16, "batch": BATCH}, "frame": {"scale": 2, "batch": BATCH}}
CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has a total capacity of 8 GiB"
CPU = "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."
ERRORS = [torch.OutOfMemoryError(CUDA), RuntimeError(CPU), MemoryError()]


@pytest.fixture(scope="module", params=["qwen2-vl", "qwen2.5-vl"])
def wide(request: pytest.FixtureRequest, make_backend: Callable[..., Backend]) -> Backend:
    """A backend whose batches hold everything at once."""
    return make_backend(request.param, views=VIEWS)


class Scarce:
    """A model whose memory takes so many sequences, times questions where it reads those, and no more."""

    def __init__(self, most: int, error: BaseException) -> None:
        self.most, self.error = most, error
        self.batches: list[int] = []
        self.failed: list[weakref.ref[torch.Tensor]] = []

    def __call__(self, module: torch.nn.Module, inputs: Any, output: Any) -> None:
        batch = output.logits.shape[0] * output.logits.shape[1]
        assert all(tensor() is None for tensor in self.failed), "what failed is free before the next attempt"
        self.batches.append(batch)
        if batch > self.most:
            self.failed = [weakref.ref(layer.keys) for layer in output.past_key_values.layers]
            raise type(self.error)(*self.error.args)


@contextmanager
def scarce(backend: Backend, most: int, error: BaseException = ERRORS[0]) -> Iterator[Scarce]:
    memory = Scarce(most, error)
    hook = backend._reader.hf.model.register_forward_hook(memory)
    try:
        yield memory
    finally:
        hook.remove()


def asked(backend: Backend, frames: Frames, view: str) -> list[Answer]:
    with backend.open(frames, view) as session:
        return list(session.ask(QUESTIONS))


@pytest.mark.parametrize(("view", "most"), [("video", 1), ("video", 2), ("frame", 1), ("frame", 2), ("frame", 4)])
def test_the_same_answers_and_maps_whatever_fits(
    wide: Backend, make_frames: Callable[..., Frames], caplog: pytest.LogCaptureFixture, view: str, most: int
) -> None:
    frames = make_frames(FRAMES)
    wanted = asked(wide, frames, view)
    with caplog.at_level(logging.WARNING), scarce(wide, most) as memory:
        found = asked(wide, frames, view)
    assert max(memory.batches) > most
    for want, have in zip(wanted, found, strict=True):
        assert have.texts == want.texts
        assert len(have.traces) == (1 if view == "video" else FRAMES)
        for left, right in zip(want.traces, have.traces, strict=True):
            assert left.visual_columns.tolist() == right.visual_columns.tolist()
            rows = [rollout_row(trace.layers, trace.visual_columns) for trace in (left, right)]
            torch.testing.assert_close(*rows, rtol=1e-4, atol=1e-7)
    assert caplog.messages
    assert all(message.startswith(f"memory does not suffice for mllm.views.{view}.batch") for message in caplog.messages)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_it_is_said_once_and_remembered(
    wide: Backend, make_frames: Callable[..., Frames], caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    with caplog.at_level(logging.WARNING), scarce(wide, 2, error) as memory, wide.open(make_frames(5), "frame") as session:
        opening = list(memory.batches)
        session.ask(QUESTIONS[:1])
        session.ask(QUESTIONS)
        alone = memory.batches[len(opening) :]
        session.ask(QUESTIONS)
        beyond = [batch for batch in memory.batches[len(opening) + len(alone) :] if batch > 2]
    assert opening == [5, 2, 2, 1]
    assert max(alone) == 6  # tried once: three questions about two frames
    assert not beyond
    assert caplog.messages == [
        "memory does not suffice for mllm.views.frame.batch=8; going on with 2, which takes longer and changes no result",
        "memory does not suffice for mllm.views.frame.batch times questions=128; going on with 3, which takes longer and changes no result",
        "memory does not suffice for mllm.views.frame.batch times questions=3; going on with 1, which takes longer and changes no result",
    ]


@pytest.mark.parametrize(
    ("view", "lower"),
    [
        ("video", "Lower mllm.views.video.tokens_per_frame (now 16) or sampler.frames (now 3)."),
        ("frame", "Lower mllm.views.video.tokens_per_frame (now 16), mllm.views.frame.scale (now 2) or sampler.frames (now 3)."),
    ],
)
def test_when_nothing_fits_it_says_what_to_lower(wide: Backend, make_frames: Callable[..., Frames], view: str, lower: str) -> None:
    wanted = f"the model ran out of memory with one sequence at a time: CUDA out of memory. Tried to allocate 2.00 GiB. {lower}"
    with scarce(wide, 0), pytest.raises(BackendError) as caught:
        wide.open(make_frames(FRAMES), view)
    assert str(caught.value) == wanted
    with wide.open(make_frames(FRAMES), view) as session, scarce(wide, 0), pytest.raises(BackendError) as caught:
        session.ask(QUESTIONS)
    assert str(caught.value) == wanted


def test_a_text_turn_and_loading_say_it_too(wide: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    with scarce(wide, 0), pytest.raises(BackendError, match=r"^the model ran out of memory.* GiB\. Lower mllm\.max_new_tokens \(now 6\)"):
        wide.complete("choose")

    def exhausted(*arguments: object) -> None:
        raise torch.OutOfMemoryError(CUDA)

    monkeypatch.setattr(backends, "load_model", exhausted)
    with pytest.raises(BackendError, match=r"GiB\. Choose smaller weights than .*, or another --device than cpu\.$"):
        type(wide)(wide._config, Runtime("cpu"))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_weights_that_do_not_fit_are_no_broken_weights(wide: Backend, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def exhausted(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(weights.AutoModelForImageTextToText, "from_pretrained", exhausted)
    with pytest.raises(
        BackendError, match=r"^the model ran out of memory: .* Choose smaller weights than .*, or another --device than cpu\.$"
    ):
        type(wide)(wide._config, Runtime("cpu"))


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({}, "Set attribution.chunk to fewer query rows at a time, or lower mllm.cache_gib, which leaves more for the work itself."),
        ({"kernel": "reference"}, 'Set attribution.kernel to "auto": whole matrices of attention are for comparison, on few tokens.'),
    ],
)
@pytest.mark.parametrize("together", [1, 2])
def test_the_attribution_says_it_too(
    wide: Backend, make_frames: Callable[..., Frames], monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], remedy: str, together: int
) -> None:
    def exhausted(*_arguments: object, **_options: object) -> None:
        raise torch.OutOfMemoryError(CUDA)

    attribution = RolloutAttribution(RolloutConfig(**options))
    with wide.open(make_frames(1), "video") as session:
        traces = [answer.traces[0] for answer in session.ask(QUESTIONS[:together])]
    monkeypatch.setattr(f"gazecut_mllm.rollout.{'vector.VectorRollout' if not options else 'reference.MatrixRollout'}.through", exhausted)
    with pytest.raises(BackendError) as caught:
        attribution.scores_many(traces)
    assert str(caught.value) == f"rollout ran out of memory: CUDA out of memory. Tried to allocate 2.00 GiB. {remedy}"
    with pytest.raises(BackendError, match=r"^rollout ran out of memory"):
        attribution.scores(traces[0])


def test_a_session_for_training_says_it_too(wide: Backend, make_frames: Callable[..., Frames]) -> None:
    with wide.differentiable(make_frames(FRAMES), "frame", TraceSpec(0)) as session:
        for _ in range(2):  # first the prefix, then the questions
            with scarce(wide, 0), pytest.raises(BackendError, match=r"GiB\. Lower sampler\.frames or what mllm\.views shows\.$"):
                session.trace(QUESTIONS)
            session.trace(QUESTIONS)


def test_other_errors_are_none_of_its_business() -> None:
    limit = BatchLimit("mllm.views.video.batch", 4, "Lower something.")

    def fail() -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        limit.attempt(4, fail)
    with pytest.raises(RuntimeError, match="shapes do not fit"), memory_explained("Lower something."):
        fail()
    assert limit.size == 4
    assert not is_out_of_memory(ValueError("out of memory"))


def test_the_processors_own_words_are_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
