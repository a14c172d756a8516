"""Visual prefixes within a budget of memory: the same answers and maps, what does not fit is made again and counted."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from gazecut.errors import BackendError
from gazecut.protocols import Runtime
from gazecut.values import Answer, Frames, Question, TraceSpec
from gazecut.work import Work
from gazecut_mllm.backend import Backend
from gazecut_mllm.config import Qwen25VLConfig, RolloutConfig
from gazecut_mllm.qwen2_5_vl import Qwen25VLBackend
from gazecut_mllm.rollout import RolloutAttribution
from gazecut_mllm.shelf import Shelf

FRAMES = 16
QUESTIONS = [Question(text, TraceSpec(1)) for text in ("the red circle", "x", "describe the background")]


@pytest.fixture
def one_by_one(make_backend: Callable[..., Backend]) -> Callable[..., tuple[Backend, Runtime]]:
    """A backend that prefills frame by frame, within so many GiB; and where it counts."""
    whole = make_backend("qwen2.5-vl")._config

    def make(cache_gib: float) -> tuple[Backend, Runtime]:
        views = {"video": {"tokens_per_frame": 16}, "frame": {"scale": 1, "batch": 1}}
        options = {**whole.model_dump(), "views": views, "cache_gib": cache_gib}
        runtime = Runtime("cpu")
        return Qwen25VLBackend(Qwen25VLConfig(**options), runtime), runtime

    return make


class Highest:
    """Most bytes that a shelf held at any moment."""

    def __init__(self, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        shelf, real = backend._reader.shelf, Shelf._make_room

        def noted(this: Shelf, wanted: int, needed: object) -> None:
            real(this, wanted, needed)  # type: ignore[arg-type]
            if this is shelf:
                self.bytes = max(self.bytes, this.bytes() + wanted)

        monkeypatch.setattr(Shelf, "_make_room", noted)


def maps_of(backend: Backend, frames: Frames) -> tuple[list[Answer], list[torch.Tensor]]:
    with backend.open(frames, "frame", trace=TraceSpec(1)) as session:
        answers = [*session.ask(QUESTIONS[:2]), *session.ask(QUESTIONS[2:])]
        traces = [trace for answer in answers for trace in answer.traces]
        scores: Sequence[torch.Tensor] = RolloutAttribution(RolloutConfig(first_layer=1)).scores_many(traces)
        return answers, list(scores)


def test_a_budget_of_two_frames_of_sixteen_changes_nothing(
    one_by_one: Callable[..., tuple[Backend, Runtime]], make_frames: Callable[..., Frames], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = make_frames(FRAMES)
    roomy, runtime = one_by_one(1.0)
    most = Highest(roomy, monkeypatch)
    wanted, maps = maps_of(roomy, frames)
    assert (runtime.work.prefills, runtime.work.refills, runtime.work.vision_runs) == (FRAMES, 0, 1)
    unbound = runtime.work.prompt_tokens

    each = most.bytes / FRAMES
    tight, runtime = one_by_one(2.5 * each / 2**30)
    least = Highest(tight, monkeypatch)
    found, again = maps_of(tight, frames)
    assert [answer.texts for answer in found] == [answer.texts for answer in wanted]
    for want, have in zip(maps, again, strict=True):
        torch.testing.assert_close(have, want, rtol=1e-6, atol=1e-9)
    assert runtime.work.prefills == FRAMES
    # Three turns: two calls of ask, one of the attribution; of the two that fit, one or both are there at the next turn.
    assert 3 * (FRAMES - 2) <= runtime.work.refills <= 3 * (FRAMES - 1)
    assert runtime.work.prompt_tokens > unbound
    assert least.bytes == 2 * each


def test_without_any_budget_one_prefix_is_there(
    one_by_one: Callable[..., tuple[Backend, Runtime]], make_frames: Callable[..., Frames]
) -> None:
    backend, runtime = one_by_one(0.0)
    frames = make_frames(2)
    answers, _ = maps_of(backend, frames)
    assert [answer.texts for answer in answers] == [answer.texts for answer in maps_of(one_by_one(1.0)[0], frames)[0]]
    assert runtime.work.refills > 0
    del answers
    gc.collect()
    assert backend._reader.shelf.bytes() == 0  # nothing refers to a prefix any more


def test_a_prefix_lives_as_long_as_a_session_or_a_trace_does(qwen25: Backend, make_frames: Callable[..., Frames]) -> None:
    shelf = qwen25._reader.shelf
    gc.collect()
    before = shelf.bytes()
    session = qwen25.open(make_frames(3), "frame", trace=TraceSpec(1))
    traces = session.ask(QUESTIONS[:1])[0].traces
    held = shelf.bytes() - before
    assert held == sum(prefix.bytes for prefix in session._prefixes or ())
    session.close()
    del session
    gc.collect()
    assert shelf.bytes() - before == held
    del traces
    gc.collect()
    assert shelf.bytes() == before


@dataclass(frozen=True)
class Boxed:
    """A prefix as far as a shelf is concerned, of a device that this machine need not have."""

    is_home: bool = True
    bytes: int = 10
    opening: None = None
    sequences: int = 1
    layers: range = range(0)

    def home(self) -> Boxed:
        return replace(self, is_home=True)

    def waiting(self) -> Boxed:
        return replace(self, is_home=False)


@pytest.mark.parametrize(
    ("budget", "host", "on_device", "on_host", "gone"), [(40, 0, 4, 0, 0), (25, 15, 2, 1, 1), (10, 40, 1, 3, 0), (0, 0, 1, 0, 3)]
)
def test_what_does_not_fit_moves_to_the_host_and_then_away(budget: int, host: int, on_device: int, on_host: int, gone: int) -> None:
    work, box = Work(), Boxed()
    shelf = Shelf(torch.device("cuda:0"), budget, host, work)
    held: Any = [shelf.hold(box, lambda: box) for _ in range(4)]  # type: ignore[arg-type]

    def where() -> tuple[int, int, int]:
        places = [one.prefix and one.prefix.is_home for one in held]
        return places.count(True), places.count(False), places.count(None)

    assert where() == (on_device, on_host, gone)
    for one in held:
        assert one.take().is_home
        assert where()[0] == on_device
        assert 10 * where()[1] <= host
    assert (work.refills > 0) == (gone > 0)
    assert shelf.bytes() == 10 * on_device


def test_when_not_even_one_fits_it_says_what_to_lower() -> None:
    shelf = Shelf(torch.device("cuda:0"), 2**29, 0, Work())
    box: Any = Boxed(bytes=2**29)

    def exhausted() -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    first, _ = shelf.hold(box, exhausted), shelf.hold(box, exhausted)
    said = r"^the model ran out of memory: .* 2\.00 GiB\. Lower mllm\.cache_gib \(now 0\.5\), which leaves more for the work itself\.$"
    with pytest.raises(BackendError, match=said):
        first.take()


@pytest.mark.gpu
def test_on_a_device_prefixes_wait_in_host_memory(
    one_by_one: Callable[..., tuple[Backend, Runtime]], make_frames: Callable[..., Frames]
) -> None:
    frames = make_frames(FRAMES)
    whole = one_by_one(1.0)[0]._config
    found = []
    for cache_gib in (1.0, 2e-4):
        runtime = Runtime("cuda")
        backend = Qwen25VLBackend(Qwen25VLConfig(**{**whole.model_dump(), "cache_gib": cache_gib, "dtype": "float32"}), runtime)
        found.append(maps_of(backend, frames))
        assert runtime.work.refills == 0
    (wanted, maps), (answers, again) = found
    assert [answer.texts for answer in answers] == [answer.texts for answer in wanted]
    for want, have in zip(maps, again, strict=True):
        torch.testing.assert_close(have, want, rtol=1e-6, atol=1e-9)
