"""Fakes for every stage: small components that do what their protocol says, by the simplest means.

They need no weights and no torch, and find a bright thing on an even ground, such as `moving_square`. Each is built with no
arguments as well as by a recipe, where they are called `fake` (`fake-mean` and `fake-difference` for fusion).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from gazecut.arrays import Array, floating, namespace
from gazecut.errors import SegmenterError
from gazecut.protocols import Clip, Provenance, Runtime
from gazecut.resize import area_average, resize
from gazecut.result import Result
from gazecut.testing import options
from gazecut.testing.fake_mllm import FakeMLLM, FakeMLLMSession
from gazecut.testing.standout import standout
from gazecut.values import (
    Candidates,
    FrameMasks,
    HeatMaps,
    Judgement,
    MapSet,
    Points,
    Query,
    QueryMaps,
    Trace,
    TraceSpec,
    Tracklets,
)

__all__ = [
    "FakeAttribution",
    "FakeDifference",
    "FakeExporter",
    "FakeMLLM",
    "FakeMLLMSession",
    "FakeMean",
    "FakeSampler",
    "FakeScorer",
    "FakeSegmenter",
    "FakeSegmenterSession",
    "FakeSelector",
]

CPU = Provenance(device="cpu", dtype="float64")


class FakeSampler:
    """Every n-th frame, from the first."""

    def __init__(self, config: options.FakeSamplerOptions | None = None) -> None:
        self._every = (config or options.FakeSamplerOptions()).every

    def sample(self, clip: Clip) -> np.ndarray:
        """Indices (T,) int64."""
        return np.arange(0, clip.length, self._every, dtype=np.int64)


class FakeAttribution:
    """The last token's own attention, the mean over heads and layers."""

    def __init__(self, config: options.FakeAttributionOptions | None = None) -> None:
        self.spec = TraceSpec(first_layer=(config or options.FakeAttributionOptions()).first_layer)

    def scores(self, trace: Trace) -> Array:
        """Attention (V,) on the visual tokens; it sums to at most 1."""
        return self._at(trace, trace.visual_columns)

    def scores_many(self, traces: Sequence[Trace]) -> list[Array]:
        """The same for several traces."""
        return [self.scores(trace) for trace in traces]

    def scores_with_prompt(self, traces: Sequence[Trace]) -> list[tuple[Array, Array | None]]:
        """The same, with attention on the question's tokens."""
        return [(self.scores(trace), None if trace.prompt is None else self._at(trace, trace.prompt.columns)) for trace in traces]

    def _at(self, trace: Trace, columns: Array) -> Array:
        rows = [self._row(floating(query), floating(key), scale) for query, key, scale in trace.layers]
        xp = namespace(*rows)
        return xp.take(xp.mean(xp.stack(rows), axis=0), xp.asarray(columns), axis=0)

    def _row(self, query: Array, key: Array, scale: float) -> Array:
        """(N,), from query (H, N, d) and key (G, N, d)."""
        xp = namespace(query)
        shared = xp.repeat(key, query.shape[0] // key.shape[0], axis=0)
        logits = scale * xp.sum(shared * query[:, -1:, :], axis=2)
        weights = xp.exp(logits - xp.max(logits, axis=1, keepdims=True))
        return xp.mean(weights / xp.sum(weights, axis=1, keepdims=True), axis=0)


class FakeMean:
    """Asks both views, and folds them to their mean on the finer grid."""

    def __init__(self, config: options.FakeMeanOptions | None = None) -> None:
        """Take the options; there are none."""

    def plan(self, queries: Sequence[Query]) -> list[Query]:
        """Each query once per view."""
        return [replace(query, view=view) for query in queries for view in ("video", "frame")]

    def fuse(self, maps: MapSet) -> MapSet:
        """One open map per role."""
        roles = dict.fromkeys(entry.query.role for entry in maps.open)
        return MapSet(tuple(self._mean(maps.with_role(role)) for role in roles), (*maps.views, *maps.open))

    def _mean(self, entries: Sequence[QueryMaps]) -> QueryMaps:
        finest = max(entries, key=lambda entry: entry.maps.values.shape[1:])
        frames = max(entry.maps.values.shape[0] for entry in entries)
        layers = [resize(entry.maps.per_frame(frames).values, tuple(finest.maps.values.shape[1:])) for entry in entries]
        return QueryMaps(finest.query, HeatMaps(namespace(*layers).mean(namespace(*layers).stack(layers), axis=0)))


class FakeDifference:
    """Asks for the background too, and subtracts it."""

    def __init__(self, config: options.FakeDifferenceOptions | None = None) -> None:
        """Take the options; there are none."""

    def plan(self, queries: Sequence[Query]) -> list[Query]:
        """Each query followed by its background query."""
        return [each for query in queries for each in (query, replace(query, role="background", prompt="background"))]

    def fuse(self, maps: MapSet) -> MapSet:
        """The object maps less their view's background, nothing below 0."""
        background = {entry.query.view: floating(entry.maps.values) for entry in maps.with_role("background")}
        return replace(maps, open=maps.with_role("object")).map_open(
            lambda entry: replace(entry.maps, values=self._less(floating(entry.maps.values), background[entry.query.view]))
        )

    def _less(self, values: Array, background: Array) -> Array:
        xp = namespace(values)
        return xp.maximum(values - background, xp.zeros_like(values))


class FakeSelector:
    """The k highest cells of each frame, the first of equals in reading order."""

    def __init__(self, config: options.FakeSelectorOptions | None = None) -> None:
        self._k = (config or options.FakeSelectorOptions()).k

    def select(self, maps: HeatMaps) -> Points:
        """At most k points per map (T, h, w); none on a flat one."""
        values = maps.numpy()
        height, width = values.shape[1:]
        rows = []
        for frame, heat in enumerate(values.reshape(len(values), -1)):
            order = np.argsort(-heat, kind="stable")[: self._k]
            best = order[heat[order] > heat.min()]
            rows += [(frame, (cell % width + 0.5) / width, (cell // width + 0.5) / height, heat[cell]) for cell in best]
        return Points.single_clicks(np.array(rows, np.float64).reshape(-1, 4))


class FakeSegmenter:
    """Takes what stands out of the clip for the object."""

    def __init__(self, config: options.FakeSegmenterOptions | None = None, runtime: Runtime | None = None) -> None:
        """Take the options; there is no device and nothing to draw."""
        self._contrast = (config or options.FakeSegmenterOptions()).contrast

    def open(self, clip: Clip) -> FakeSegmenterSession:
        """A session on a clip; all frames are read now."""
        return FakeSegmenterSession(standout(np.stack(list(clip.frames()))) > self._contrast)

    def describe(self) -> Provenance:
        """CPU, no weights."""
        return CPU

    def peak_memory(self) -> int:
        """Always 0: there is no device."""
        return 0


class FakeSegmenterSession:
    """Masks that are known from the start.

    Attributes:
        closed: How often `close` was called.
    """

    def __init__(self, truth: np.ndarray) -> None:
        """Take the object's masks (T, H, W) bool."""
        self.closed = 0
        self._truth = truth

    def masks_at(self, frame: int, points: Points, heat: np.ndarray) -> Candidates:
        """The object for every candidate; its predicted IoU is 1 where a point lies on it, else 0.

        Raises:
            SegmenterError: The session is closed.
        """
        self._check()
        mask = self._truth[frame]
        height, width = mask.shape
        on = mask[np.minimum((points.y * height).astype(int), height - 1), np.minimum((points.x * width).astype(int), width - 1)]
        trust = [float(on[points.candidate == candidate].any()) for candidate in np.unique(points.candidate)]
        return Candidates(np.repeat(mask[None], len(trust), axis=0), np.array(trust, np.float32))

    def propagate(
        self, frame: int, masks: np.ndarray, frames: Sequence[int], heat: HeatMaps, heat_frames: np.ndarray
    ) -> Iterator[FrameMasks]:
        """The object on every frame, forwards from `frame`, then backwards.

        Raises:
            SegmenterError: The session is closed.
        """
        for index in (*(each for each in frames if each >= frame), *(each for each in reversed(frames) if each < frame)):
            self._check()
            yield FrameMasks(index, np.repeat(self._truth[index][None], len(masks), axis=0))

    def close(self) -> None:
        """Note that it was called."""
        self.closed += 1

    def __enter__(self) -> Self:
        """The session itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it."""
        self.close()

    def _check(self) -> None:
        if self.closed:
            raise SegmenterError("this session is closed; open another one.")


class FakeScorer:
    """The share of the attention that a tracklet covers; keeps what covers much, or the best."""

    def __init__(self, config: options.FakeScorerOptions | None = None) -> None:
        self._above = (config or options.FakeScorerOptions()).above

    def judge(self, tracklets: Tracklets, maps: MapSet, fused: HeatMaps) -> Judgement:
        """Scores in [0, 1]."""
        values = fused.numpy()
        total = float(values.sum()) or 1.0
        covers = [area_average(tracklet.masks.astype(values.dtype), values.shape[1:]) for tracklet in tracklets]
        scores = np.array([float((cover * values).sum()) / total for cover in covers], np.float64)
        above = scores > self._above
        return Judgement(scores, above | (scores == scores.max(initial=0.0)), fallback=not above.any())


class FakeExporter:
    """Writes `fake.json`: the expression, and the pixels of every object on every frame."""

    def __init__(self, config: options.FakeExporterOptions | None = None) -> None:
        """Take the options; there are none."""

    def export(self, result: Result, folder: Path) -> None:
        """Write the file."""
        pixels = {str(found.id): [int(found.track.mask(frame).sum()) for frame in range(len(found.track))] for found in result.objects}
        text = json.dumps({"expression": result.expression, "pixels": pixels}, indent=2)
        (folder / "fake.json").write_text(text + "\n", encoding="utf-8")
