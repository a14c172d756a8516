"""One clip, many expressions: what is expensive happens once, each stage hands its value to the next."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gazecut.arrays import floating, unit_range
from gazecut.clip import Moment, Source, open_clip
from gazecut.clip.counted import CountedClip
from gazecut.errors import ShapeError
from gazecut.interview import Inquiry, Interview
from gazecut.keys import ClipKeys
from gazecut.manifest import describe_clip, describe_inquiry, describe_provenance, describe_tracklets, measured
from gazecut.meter import PeakMemory, Timings
from gazecut.notes import Notes
from gazecut.observers import Observers
from gazecut.prompts import prompt_set, sentence
from gazecut.protocols import Provenance
from gazecut.pursuit import Pursuit
from gazecut.result import FoundObject, JudgedTracklet, Result, ResultMaps, suppressed_prompts
from gazecut.tracklets import KeyFrames
from gazecut.values import Frames, HeatMaps, Judgement, MapSet, Points, Query, QueryMaps, Tracklets
from gazecut.values.check import check_shape
from gazecut.witness import Witness
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
        self._timings, self._peaks = Timings(), PeakMemory()
        self._observers = Observers([self._timings, self._peaks], outer=pipeline.observers)
        self._before = pipeline.runtime.work.copy()
        self._expressions = self._results = 0
        self._start = time.perf_counter()
        with ExitStack() as run:
            run.enter_context(pipeline.run(clips=1))
            with self._observers.stage("open") as stage:
                self.clip = open_clip(source, start, end, every)
                self._counted = CountedClip(self.clip, pipeline.runtime.work)
                height, width = self.clip.size
                stage.summary = f"{counted(self.clip.length, 'frame')}, {width}x{height}, {self.clip.fps:g} fps"
            self._run: ExitStack | None = run.pop_all()
        notes = Notes(pipeline.store, pipeline.runtime.work)
        keys = ClipKeys(pipeline.keys, self._counted, lambda: self.frames, kept=pipeline.store is not None)
        self._witness = Witness(pipeline, lambda: self.frames, notes, keys, self._observers)
        self._pursuit = Pursuit(pipeline, self._counted, notes, keys, self._observers)

    @cached_property
    def frames(self) -> Frames:
        """The sampled frames."""
        with self._observers.stage("sample") as stage:
            indices = self._pipeline.sampler.sample(self.clip)
            images = np.stack(list(self._counted.frames(indices.tolist())))
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
            maps = self._fuse(_raw_maps(inquiry))
            yield self._follow(inquiry, maps, _aligned(maps.fused, len(self.frames)), self.frames.indices)

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
        self._witness.close()
        self._pursuit.close()
        run, self._run = self._run, None
        if run is not None:
            self._observers.clip_ended(self.clip, self._results, time.perf_counter() - self._start, error)
            run.__exit__(kind, error, trace)

    def _ask(self, expressions: Sequence[str]) -> list[Inquiry]:
        queries = self._pipeline.plan()
        length = len(self.frames)  # sampled in a stage of their own, before the others
        with self._observers.stage("ask") as stage:
            inquiries = Interview(self._witness, prompt_set(self._pipeline.recipe.prompts)).ask(expressions, queries)
            questions = sum(len(inquiry.records) for inquiry in inquiries)
            stage.summary = f"{counted(questions, 'question')} about {counted(length, 'frame')}"
        self._witness.settle()
        return inquiries

    def _fuse(self, maps: MapSet) -> MapSet:
        with self._observers.stage("fuse"):
            for strategy in self._pipeline.fusion:
                maps = strategy.fuse(maps)
            return maps

    def _follow(self, inquiry: Inquiry, maps: MapSet, fused: HeatMaps, indices: np.ndarray) -> Result:
        """Points, tracklets, kept tracks: everything after the maps."""
        with self._observers.stage("select") as stage:
            key = KeyFrames(indices, fused, self._pipeline.selector.select(fused))
            stage.summary = counted(len(key.points), "point")
        tracklets = self._pursuit.find(key, self._pipeline.recipe.tracklets.suppress_above)
        with self._observers.stage("judge") as stage:
            judged = _judged(tracklets, self._pipeline.scorer.judge(tracklets, maps, key.heat))
            kept = [one for one in judged if one.kept]
            stage.summary = f"{len(kept)} kept"
        tracks = self._pursuit.follow([one.tracklet for one in kept], key)
        self._results += 1
        objects = tuple(
            FoundObject(number, one.score, track) for number, (one, track) in enumerate(zip(kept, tracks, strict=True), start=1)
        )
        view = partial(_view_maps, maps, len(indices))
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
            prompt_weights=inquiry.prompt_weights,
        )

    def _manifest(self, inquiry: Inquiry, indices: np.ndarray, points: Points, judged: tuple[JudgedTracklet, ...]) -> dict[str, Any]:
        pipeline = self._pipeline
        devices = {kind: component.peak_memory() for kind, component in pipeline.built().items()}
        peaks = {"stages": self._peaks.bytes(), "devices": devices}
        return {
            "expression": inquiry.expression,
            "clip": describe_clip(self.clip),
            "frame_indices": indices.tolist(),
            **describe_inquiry(inquiry),
            "points": len(points),
            "suppressed": suppressed_prompts(points, judged, len(indices)).tolist(),
            "tracklets": describe_tracklets(judged),
            "recipe": pipeline.recipe.filled(),
            "components": pipeline.recipe.components(pipeline.registry),
            "weights": describe_provenance(self._provenance()),
            "seed": pipeline.runtime.seed,
            "measured": measured(self._timings.seconds(), peaks, pipeline.runtime.work.since(self._before), self._expressions),
        }

    def _provenance(self) -> dict[str, Provenance]:
        """Of what was used, be it now or when the notes were made."""
        noted = {"mllm": self._witness.provenance, "segmenter": self._pursuit.provenance}
        used = {kind: provenance for kind, provenance in noted.items() if provenance is not None} | self._pipeline.provenance()
        return dict(sorted(used.items()))


def _raw_maps(inquiry: Inquiry) -> MapSet:
    """Maps of every planned query, as the attribution gave them."""
    return MapSet(tuple(QueryMaps(query, reading.maps) for query, reading in inquiry.readings.items() if reading.maps is not None))


def _aligned(maps: HeatMaps, frames: int) -> HeatMaps:
    """Maps in [0, 1], one per sampled frame, as float32 in host memory."""
    values = HeatMaps(unit_range(floating(maps.values)), maps.frames_per_slot).per_frame(frames).numpy()
    return HeatMaps(values.astype(np.float32))


def _view_maps(maps: MapSet, frames: int, name: str) -> np.ndarray | None:
    found = maps.view(name)
    return None if found is None else _aligned(found, frames).numpy()


def _judged(tracklets: Tracklets, judgement: Judgement) -> tuple[JudgedTracklet, ...]:
    consistency = [None] * len(tracklets) if judgement.consistency is None else judgement.consistency.tolist()
    reasons = judgement.reasons or [None] * len(tracklets)
    return tuple(
        JudgedTracklet(tracklet, float(score), bool(kept), agreement, reason)
        for tracklet, score, kept, agreement, reason in zip(tracklets, judgement.scores, judgement.kept, consistency, reasons, strict=True)
    )
