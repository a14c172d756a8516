"""Turns without the clip, answered together as each is alone."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gazecut.errors import BackendError
from gazecut_mllm import backend as backends
from gazecut_mllm.backend import Backend

TEXTS = ["x", "the red circle on the left, what is it? a single word.", "", "describe the background of the video " * 8, "x"]


def test_each_answer_is_the_one_that_the_turn_gets_alone(backend: Backend) -> None:
    together = backend.complete_many(TEXTS)
    assert together == [backend.complete(text) for text in TEXTS]
    assert len(set(together)) > 1  # the model does listen
    assert backend.complete_many(TEXTS[::-1]) == together[::-1]
    assert backend.complete_many([]) == []


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(texts=st.lists(st.text("ab cé\n?", max_size=60), max_size=6))
def test_any_lengths_in_any_order(qwen25: Backend, texts: list[str]) -> None:
    assert qwen25.complete_many(texts) == [qwen25.complete(text) for text in texts]


def batches(backend: Backend, most: int, work: Callable[[], object]) -> list[int]:
    """Sizes of the batches that were started, where memory takes so many turns and no more."""
    started: list[int] = []

    def check(_module: torch.nn.Module, _inputs: object, output: object) -> None:
        size = len(output.logits)  # type: ignore[attr-defined]
        started.append(size)
        if size > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    hook = backend._reader.hf.model.register_forward_hook(check)
    try:
        work()
    finally:
        hook.remove()
    return started


def test_batches_halve_when_memory_runs_out(make_backend: Callable[..., Backend], caplog: pytest.LogCaptureFixture) -> None:
    backend = make_backend("qwen2.5-vl", max_new_tokens=1)
    wanted, found = backend.complete_many(TEXTS), []
    with caplog.at_level(logging.WARNING):
        assert batches(backend, 2, lambda: found.extend(backend.complete_many(TEXTS))) == [5, 2, 2, 1]
    assert found == wanted
    assert caplog.messages == [
        "memory does not suffice for turns without the clip in one forward pass=32; going on with 2, "
        "which takes longer and changes no result"
    ]
    assert batches(backend, 2, lambda: backend.complete_many(TEXTS)) == [2, 2, 1]  # it is remembered
    with pytest.raises(BackendError, match=r"one sequence at a time: .* Lower mllm\.max_new_tokens \(now 1\) or sampler\.frames\.$"):
        batches(backend, 0, lambda: backend.complete_many(TEXTS[:1]))


def test_many_turns_take_turns(make_backend: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "TURNS", 2)
    backend = make_backend("qwen2.5-vl", max_new_tokens=1)
    assert batches(backend, 9, lambda: backend.complete_many(TEXTS)) == [2, 2, 1]
