"""Traces of one session that share their visual prefix ride through one rollout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gazecut.values import Frames, Question, Trace, TraceLayer, TraceSpec
from gazecut_mllm.backend import Backend
from gazecut_mllm.config import RolloutConfig
from gazecut_mllm.rollout import RolloutAttribution
from gazecut_mllm.rollout.trunk import MOST_TOGETHER, Trunk, grouped

QUESTIONS = ("which object moves?", "what is red", "the background of the video, in one or two words, please")


def traces_of(backend: Backend, frames: Frames, view: Any, spec: TraceSpec) -> list[Trace]:
    with backend.open(frames, view, trace=spec) as session:
        return [trace for answer in session.ask([Question(text, spec) for text in QUESTIONS]) for trace in answer.traces]


@pytest.mark.parametrize("view", ["video", "frame"])
@pytest.mark.parametrize("row", ["last-prompt", "first-answer"])
@pytest.mark.parametrize("weighting", ["vision-max", "max", "mean"])
def test_scores_together_equal_scores_alone(
    backend: Backend, make_frames: Callable[..., Frames], view: str, row: Any, weighting: Any
) -> None:
    traces = traces_of(backend, make_frames(3), view, TraceSpec(1, row=row))
    attribution = RolloutAttribution(RolloutConfig(first_layer=1, row=row, head_weighting=weighting))
    together = attribution.scores_many(traces)
    assert len(together) == len(traces) == len(QUESTIONS) * (1 if view == "video" else 3)
    for trace, found in zip(traces, together, strict=True):
        torch.testing.assert_close(found, attribution.scores(trace), rtol=1e-5, atol=1e-8)
    assert not torch.equal(together[0], together[-1])


def test_attention_of_the_prefix_is_worked_out_once(qwen25: Backend, make_frames: Callable[..., Frames]) -> None:
    traces = traces_of(qwen25, make_frames(8, (96, 128)), "video", TraceSpec())
    attribution = RolloutAttribution(RolloutConfig(head_weighting="mean"))
    flops = []
    for work in (lambda: attribution.scores_many(traces), lambda: [attribution.scores(trace) for trace in traces]):
        with FlopCounterMode(display=False) as counter:
            work()
        flops.append(counter.get_total_flops())
    assert flops[0] < 0.75 * flops[1]


def test_groups_are_traces_on_one_trunk_of_one_sequence(qwen25: Backend, make_frames: Callable[..., Frames]) -> None:
    one = traces_of(qwen25, make_frames(3), "frame", TraceSpec(1))
    other = traces_of(qwen25, make_frames(2), "video", TraceSpec(1))
    assert grouped([*one, *other]) == [[0, 3, 6], [1, 4, 7], [2, 5, 8], [9, 10, 11]]
    deeper = traces_of(qwen25, make_frames(2), "video", TraceSpec(2))
    assert grouped([other[0], deeper[0], other[1]]) == [[0, 2], [1]]


class ListedLayers(list[TraceLayer]):
    """Layers of an array library of choice, with a trunk."""

    trunk = Trunk("clip", 6)

    @property
    def tokens(self) -> int:
        return int(self[0].query.shape[1])

    def own(self, index: int) -> tuple[Any, Any]:
        layer = self[index]
        return layer.query[:, self.trunk.tokens :], layer.key[:, self.trunk.tokens :]


def test_numpy_traces_and_traces_without_a_trunk() -> None:
    generator = np.random.default_rng(0)
    trunk = [(generator.normal(size=(2, 6, 4)), generator.normal(size=(1, 6, 4))) for _ in range(2)]
    columns = np.array([4, 1])

    def trace(own: int) -> Trace:
        layers = [
            TraceLayer(*(np.concatenate([part, generator.normal(size=(len(part), own, 4))], 1) for part in parts), 0.5) for parts in trunk
        ]
        return Trace(ListedLayers(layers), columns)

    traces = [trace(3), trace(1), trace(5)]
    traces.insert(1, Trace(tuple(trace(2).layers), columns))
    attribution = RolloutAttribution(RolloutConfig())
    assert grouped(traces) == [[0, 2, 3], [1]]
    for found, each in zip(attribution.scores_many(traces), traces, strict=True):
        assert isinstance(found, np.ndarray)
        np.testing.assert_allclose(found, attribution.scores(each), rtol=1e-12)
    assert attribution.scores_many([]) == []


def test_very_many_are_not_laid_out_as_one(qwen25: Backend, make_frames: Callable[..., Frames]) -> None:
    spec = TraceSpec(2)
    with qwen25.open(make_frames(2), "video", trace=spec) as session:
        traces = [answer.traces[0] for answer in session.ask([Question(f"number {at}", spec) for at in range(MOST_TOGETHER + 3)])]
    assert [len(group) for group in grouped(traces)] == [MOST_TOGETHER, 3]
    attribution = RolloutAttribution(RolloutConfig(first_layer=2))
    for found, trace in zip(attribution.scores_many(traces), traces, strict=True):
        torch.testing.assert_close(found, attribution.scores(trace), rtol=1e-5, atol=1e-8)


def test_only_the_first_of_a_group_is_put_together_whole(qwen25: Backend, make_frames: Callable[..., Frames]) -> None:
    traces = traces_of(qwen25, make_frames(2), "video", TraceSpec(1))
    read = []

    class Watched:
        """Layers of a trace that note when they are put together."""

        def __init__(self, layers: Any) -> None:
            self._layers, self.trunk, self.tokens, self.own = layers, layers.trunk, layers.tokens, layers.own

        def __len__(self) -> int:
            return len(self._layers)

        def __getitem__(self, index: int) -> TraceLayer:
            read.append(index)
            return self._layers[index]  # type: ignore[no-any-return]

    watched: list[Any] = [Trace(Watched(trace.layers), trace.visual_columns) for trace in traces]  # type: ignore[arg-type]
    RolloutAttribution(RolloutConfig(first_layer=1)).scores_many(watched)
    assert read == [2, 1, 0]
