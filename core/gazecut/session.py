"""One clip, many expressions: what is expensive happens once, each stage hands its value to the next."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gazecut.arrays import floating, namespace, unit_range
from gazecut.clip import Moment, Source, open_clip
from gazecut.errors import ShapeError
from gazecut.interview import Inquiry, Interview
from gazecut.manifest import describe_clip, describe_inquiry, describe_provenance, describe_tracklets, measured
from gazecut.observers import Observers, Timings
from gazecut.prompts import prompt_set, sentence
from gazecut.protocols import SegmenterSession
from gazecut.result import FoundObject, JudgedTracklet, Result, ResultMaps
from gazecut.tracklets import KeyFrames, find_tracklets, follow_kept
from gazecut.values import Answer, Frames, HeatMaps, Judgement, MapSet, Points, Query, QueryMaps, Tracklets
from gazecut.values.check import check_shape
from gazecut.wording import counted

if TYPE_CHECKING:
    from gazecut.pipeline import Pipeline


class ClipSession:
    """A pipeline's session on one clip; frames, MLLM sessions and the segmenter's session open when first needed."""

    def __init__(self, pipeline: Pipeline, source: Source, start: Moment | None = None, end: Moment | None = None, every: int = 1) -> None:
        """Open the clip, or a part of it; nothing is decoded yet beyond what its length needs.

        Raises:
            ClipError: The source cannot be read, or has no such part.
        """
        self._pipeline = pipeline
        self._timings = Timings()
        self._observers = Observers([self._timings], outer=pipeline.observers)
        self._expressions = self._results = 0
        self._start = time.perf_counter()
        with ExitStack() as run:
            run.enter_context(pipeline.run(clips=1))
            with self._observers.stage("open") as stage:
                self.clip = open_clip(source, start, end, every)
                stage.summary = f"{counted(self.clip.length, 'frame')}, {self.clip.size[1]}x{self.clip.size[0]}, {self.clip.fps:g} fps"
            self._run: ExitStack | None = run.pop_all()

    @cached_property
    def frames(self) -> Frames:
        """The sampled frames."""
        with self._observers.stage("sample") as stage:
            indices = self._pipeline.sampler.sample(self.clip)
            images = np.stack(list(self.clip.frames(indices.tolist())))
            stage.summary = f"{len(indices)} of {self.clip.length} frames"
            return Frames(images, indices, self.clip.fps)

    def segment(self, expression: str) -> Result:
        """Masks of what an expression names.

        Raises:
            PromptError: The expression is empty.
        """
        return self.segment_many([expression])[0]

    def segment_many(self, expressions: Sequence[str]) -> list[Result]:
        """Masks of several expressions, in their order; questions of all of them are asked together.

        Raises:
            PromptError: An expression is empty.
        """
        return list(self.segment_each(expressions))

    def segment_each(self, expressions: Sequence[str]) -> Iterator[Result]:
        """As `segment_many`, each result as soon as it is there, so that it can be saved before the next one is at risk.

        Yields:
            One result per expression, in their order.

        Raises:
            PromptError: An expression is empty; before anything is asked.
        """
        for expression in expressions:
            sentence(expression)
        self._expressions += len(expressions)
        for inquiry in self._ask(expressions):
            maps = self._fuse(self._attribute(inquiry))
            yield self._follow(inquiry, maps, self._aligned(maps.fused, len(self.frames)), self.frames.indices)

    def segment_maps(self, maps: np.ndarray, frame_indices: np.ndarray) -> Result:
        """Masks from given maps (Ts, h, w) in [0, 1] at `frame_indices` (Ts,); no MLLM is loaded.

        Raises:
            ShapeError: Maps or indices do not fit each other, the clip or their range.
        """
        values, indices = np.asarray(maps, np.float32), np.asarray(frame_indices, np.int64)
        check_shape("maps", values, ("T", "h", "w"))
        check_shape("frame_indices", indices, (len(values),))
        if not len(values) or not (values.min() >= 0 and values.max() <= 1):
            raise ShapeError("the maps must be one or more, with finite values in [0, 1]; bring them there by min-max first.")
        if (np.diff(indices) <= 0).any() or indices[0] < 0 or indices[-1] >= self.clip.length:
            raise ShapeError(f"frame_indices must ascend strictly within 0 to {self.clip.length - 1}; got {indices.tolist()}.")
        self._expressions += 1
        given = HeatMaps(values)
        return self._follow(Inquiry(""), MapSet((QueryMaps(Query("object", "given", "object"), given),)), given, indices)

    def close(self) -> None:
        """Free what the MLLM and the segmenter hold for this clip; a second call does nothing."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        """The session itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it, and tell observers how it ended."""
        for name in ("_interview", "_segmenter"):
            session = self.__dict__.pop(name, None)
            if session is not None:
                session.close()
        run, self._run = self._run, None
        if run is not None:
            self._observers.clip_ended(self.clip, self._results, time.perf_counter() - self._start, error)
            run.__exit__(kind, error, trace)

    @cached_property
    def _interview(self) -> Interview:
        pipeline = self._pipeline
        return Interview(pipeline.mllm, self.frames, prompt_set(pipeline.recipe.prompts), pipeline.attribution.spec)

    @cached_property
    def _segmenter(self) -> SegmenterSession:
        return self._pipeline.segmenter.open(self.clip)

    def _ask(self, expressions: Sequence[str]) -> list[Inquiry]:
        queries = self._pipeline.plan()
        views = dict.fromkeys(query.view for query in queries)
        frames = self.frames
        with self._observers.stage("load") as stage:
            interview = self._interview
            stage.summary = str(self._pipeline.recipe.mllm.use)
        with self._observers.stage("look", len(views)) as stage:
            for view in views:
                interview.open([view])
                stage.step()
            stage.summary = f"{len(frames)} frames, {' and '.join(views)} {'view' if len(views) == 1 else 'views'}"
        with self._observers.stage("ask") as stage:
            inquiries = interview.ask(expressions, queries)
            stage.summary = counted(sum(len(inquiry.records) for inquiry in inquiries), "question")
        return inquiries

    def _attribute(self, inquiry: Inquiry) -> MapSet:
        """Raw maps of every planned query."""
        with self._observers.stage("attribute", len(inquiry.answers)) as stage:
            entries = []
            for query, answer in inquiry.answers.items():
                entries.append(QueryMaps(query, self._maps(query, answer)))
                stage.step()
            stage.summary = counted(len(entries), "map")
            return MapSet(tuple(entries))

    def _maps(self, query: Query, answer: Answer) -> HeatMaps:
        layout = self._interview.layout(query.view)
        scores = [self._pipeline.attribution.scores(trace) for trace in answer.traces]
        return HeatMaps(layout.fold(namespace(*scores).concat(scores)), layout.frames_per_slot)

    def _fuse(self, maps: MapSet) -> MapSet:
        with self._observers.stage("fuse"):
            for strategy in self._pipeline.fusion:
                maps = strategy.fuse(maps)
            return maps

    def _aligned(self, maps: HeatMaps, frames: int) -> HeatMaps:
        """Maps in [0, 1], one per sampled frame, as float32 in host memory."""
        values = HeatMaps(unit_range(floating(maps.values)), maps.frames_per_slot).per_frame(frames).numpy()
        return HeatMaps(values.astype(np.float32))

    def _follow(self, inquiry: Inquiry, maps: MapSet, fused: HeatMaps, indices: np.ndarray) -> Result:
        """Points, tracklets, kept tracks: everything after the maps."""
        with self._observers.stage("select") as stage:
            key = KeyFrames(indices, fused, self._pipeline.selector.select(fused))
            stage.summary = counted(len(key.points), "point")
        tracklets, judgement = self._find(key, maps)
        judged = _judged(tracklets, judgement)
        kept = [one for one in judged if one.kept]
        with self._observers.stage("segment") as stage:
            tracks = follow_kept(self._segmenter, [one.tracklet for one in kept], key, self.clip.length) if kept else ()
            stage.summary = f"{counted(len(kept), 'object')} over {counted(self.clip.length, 'frame')}"
        self._results += 1
        objects = tuple(
            FoundObject(number, one.score, track) for number, (one, track) in enumerate(zip(kept, tracks, strict=True), start=1)
        )
        view = partial(self._view_maps, maps, len(indices))
        return Result(
            expression=inquiry.expression,
            clip=self.clip,
            frame_indices=indices,
            heatmaps=ResultMaps(fused.numpy(), video=view("video"), frame=view("frame")),
            points=key.points,
            tracklets=judged,
            objects=objects,
            answers=tuple(inquiry.records),
            category=inquiry.category,
            manifest=self._manifest(inquiry, indices, key.points, judged),
            exporters=self._pipeline.exporters,
        )

    def _find(self, key: KeyFrames, maps: MapSet) -> tuple[Tracklets, Judgement]:
        with self._observers.stage("find", len(key.indices)) as stage:
            suppress_above = self._pipeline.recipe.tracklets.suppress_above
            tracklets = find_tracklets(self._segmenter, key, suppress_above, stage.step) if len(key.points) else Tracklets()
            judgement = self._pipeline.scorer.judge(tracklets, maps, key.heat)
            stage.summary = f"{counted(len(tracklets), 'candidate')}, {int(np.sum(judgement.kept))} kept"
            return tracklets, judgement

    def _view_maps(self, maps: MapSet, frames: int, name: str) -> np.ndarray | None:
        found = maps.view(name)
        return None if found is None else self._aligned(found, frames).numpy()

    def _manifest(self, inquiry: Inquiry, indices: np.ndarray, points: Points, judged: tuple[JudgedTracklet, ...]) -> dict[str, Any]:
        pipeline = self._pipeline
        peaks = {kind: component.peak_memory() for kind, component in pipeline.built().items()}
        return {
            "expression": inquiry.expression,
            "clip": describe_clip(self.clip),
            "frame_indices": indices.tolist(),
            **describe_inquiry(inquiry),
            "points": len(points),
            "tracklets": describe_tracklets(judged),
            "recipe": pipeline.recipe.filled(),
            "components": pipeline.recipe.components(pipeline.registry),
            "weights": describe_provenance(pipeline.provenance()),
            "seed": pipeline.runtime.seed,
            "measured": measured(self._timings.seconds(), self._expressions, peaks),
        }


def _judged(tracklets: Tracklets, judgement: Judgement) -> tuple[JudgedTracklet, ...]:
    consistency = [None] * len(tracklets) if judgement.consistency is None else judgement.consistency.tolist()
    return tuple(
        JudgedTracklet(tracklet, float(score), bool(kept), agreement)
        for tracklet, score, kept, agreement in zip(tracklets, judgement.scores, judgement.kept, consistency, strict=True)
    )
