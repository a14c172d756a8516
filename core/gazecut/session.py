"""One clip, many expressions: what is expensive happens once, each stage hands its value to the next."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

from gazecut.clip import Moment, Source, open_clip
from gazecut.clip.counted import CountedClip
from gazecut.errors import ShapeError
from gazecut.interview import Inquiry
from gazecut.manifest import (
    describe_clip,
    describe_inquiry,
    describe_provenance,
    describe_tracklets,
    describe_window,
    measured,
    why_nothing,
)
from gazecut.meter import PeakMemory, Timings
from gazecut.observers import Observers
from gazecut.prompts import sentence
from gazecut.protocols import Provenance
from gazecut.result import Result, Window, suppressed_prompts
from gazecut.stretch import Stretch
from gazecut.study import Finding, Study
from gazecut.values import Frames, HeatMaps, MapSet, Query, QueryMaps
from gazecut.values.check import check_shape
from gazecut.wording import counted

if TYPE_CHECKING:
    from gazecut.pipeline import Pipeline

OnStretch: TypeAlias = Callable[[Stretch], object]
"""Told of masks as soon as they are final."""


class ClipSession:
    """A pipeline's session on one clip, which it looks at as a whole; nothing is decoded or opened before it is needed.

    Attributes:
        clip: The clip.
    """

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
                height, width = self.clip.size
                stage.summary = f"{self._extent()}, {width}x{height}, {self.clip.fps:g} fps"
            self._run: ExitStack | None = run.pop_all()
        self._study = Study(pipeline, CountedClip(self.clip, pipeline.runtime.work), self._observers)

    @property
    def frames(self) -> Frames:
        """The sampled frames.

        Raises:
            ClipError: The session is closed, or the clip is a stream.
        """
        return self._whole().frames

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

    def segment_each(self, expressions: Sequence[str], on_stretch: OnStretch | None = None) -> Iterator[Result]:
        """As `segment_many`, each result as soon as it is there, so that it can be saved before the next one is at risk.

        Args:
            expressions: What to segment.
            on_stretch: Told of masks as soon as they are final: stretch by stretch where the clip is looked at in windows, else all
                frames at once.

        Yields:
            One result per expression, in their order.

        Raises:
            PromptError: An expression is empty; before anything is asked.
            ClipError: The session is closed.
        """
        for expression in expressions:
            sentence(expression)
        self._expressions += len(expressions)
        for finding in self._study.findings(expressions):
            if on_stretch is not None:
                whole, sampled = range(self.clip.length), tuple(finding.frame_indices.tolist())
                on_stretch(Stretch(finding.inquiry.expression, self.clip, whole, finding.objects, sampled))
            yield self._result(finding)

    def segment_maps(self, maps: np.ndarray, frame_indices: np.ndarray) -> Result:
        """Masks from given maps (Ts, h, w) in [0, 1] at `frame_indices` (Ts,); no MLLM is loaded.

        Raises:
            ShapeError: Maps or indices do not fit each other, the clip or their range.
            ClipError: The session is closed, or the clip is a stream.
        """
        study = self._whole()
        study.check_open()
        values, indices = np.asarray(maps, np.float32), np.asarray(frame_indices, np.int64)
        check_shape("maps", values, ("T", "h", "w"))
        check_shape("frame_indices", indices, (len(values),))
        if not len(values) or not (values.min() >= 0 and values.max() <= 1):
            raise ShapeError("the maps must be one or more, with finite values in [0, 1]; bring them there by min-max first.")
        whole = (indices == np.asarray(frame_indices)).all()
        if not whole or (np.diff(indices) <= 0).any() or indices[0] < 0 or indices[-1] >= self.clip.length:
            wanted = f"be whole numbers that ascend strictly within 0 to {self.clip.length - 1}"
            raise ShapeError(f"frame_indices must {wanted}; got {np.asarray(frame_indices).tolist()}.")
        self._expressions += 1
        given = HeatMaps(values)
        raw = MapSet((QueryMaps(Query("object", "given", "object"), given),))
        return self._result(study.follow(Inquiry(""), raw, given, indices))

    def close(self) -> None:
        """Free what the MLLM and the segmenter hold for this clip; a second call does nothing."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        """The session itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it, and tell observers how it ended; whoever wants no more of a stream ends it well."""
        ended = None if isinstance(error, GeneratorExit) else error
        try:
            self._free()
        except BaseException as failure:
            ended = ended or failure
            raise
        finally:
            self._end(ended)

    def _free(self) -> None:
        """Let go of what the models hold for the clip."""
        self._study.close()

    def _end(self, error: BaseException | None) -> None:
        run, self._run = self._run, None
        if run is not None:
            self._observers.clip_ended(self.clip, self._results, time.perf_counter() - self._start, error)
            run.__exit__(None if error is None else type(error), error, None if error is None else error.__traceback__)

    def _whole(self) -> Study:
        """The study of the clip as a whole."""
        return self._study

    def _extent(self) -> str:
        return counted(self.clip.length, "frame")

    def _result(self, finding: Finding, windows: tuple[Window, ...] = ()) -> Result:
        self._results += 1
        remark = "" if finding.objects else why_nothing(finding.tracklets, windows, self._pipeline.recipe)
        return Result(
            expression=finding.inquiry.expression,
            clip=self.clip,
            frame_indices=finding.frame_indices,
            heatmaps=finding.heatmaps,
            points=finding.points,
            tracklets=finding.tracklets,
            objects=finding.objects,
            answers=tuple(finding.inquiry.records),
            category=finding.inquiry.category,
            manifest=self._manifest(finding, windows, remark),
            exporters=self._pipeline.exporters,
            prompt_weights=finding.inquiry.prompt_weights,
            windows=windows,
            remark=remark,
        )

    def _manifest(self, finding: Finding, windows: Sequence[Window], remark: str) -> dict[str, Any]:
        pipeline, indices = self._pipeline, finding.frame_indices
        devices = {kind: component.peak_memory() for kind, component in pipeline.built().items()}
        peaks = {"stages": self._peaks.bytes(), "devices": devices}
        return {
            "expression": finding.inquiry.expression,
            "clip": describe_clip(self.clip),
            "frame_indices": indices.tolist(),
            **describe_inquiry(finding.inquiry),
            "points": len(finding.points),
            "suppressed": suppressed_prompts(finding.points, finding.tracklets, len(indices)).tolist(),
            "tracklets": describe_tracklets(finding.tracklets),
            "windows": [describe_window(window) for window in windows],
            "remark": remark,
            "recipe": pipeline.recipe.filled(),
            "components": pipeline.recipe.components(pipeline.registry),
            "weights": describe_provenance(self._provenance()),
            "seed": pipeline.runtime.seed,
            "measured": measured(self._timings.seconds(), peaks, pipeline.runtime.work.since(self._before), self._expressions),
        }

    def _provenance(self) -> dict[str, Provenance]:
        """Of what was used, be it now or when the notes were made."""
        return dict(sorted((self._study.provenance() | self._pipeline.provenance()).items()))
