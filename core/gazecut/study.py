"""One clip under study: what is asked of it, where the model looked, which candidates that gave, and the kept ones as tracks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from gazecut.arrays import floating, unit_range
from gazecut.contrast import contrast
from gazecut.errors import ClipError, ShapeError
from gazecut.interview import Inquiry, Interview
from gazecut.keys import ClipKeys
from gazecut.notes import Notes
from gazecut.observers import Observers
from gazecut.protocols import Clip, Provenance
from gazecut.pursuit import Pursuit
from gazecut.result import FoundObject, JudgedTracklet, ResultMaps
from gazecut.tracklets import KeyFrames
from gazecut.values import Frames, HeatMaps, Judgement, MapSet, Points, QueryMaps, Tracklets
from gazecut.values.check import check_finite
from gazecut.witness import Witness
from gazecut.wording import counted

if TYPE_CHECKING:
    from gazecut.pipeline import Pipeline

Decide = Callable[[Tracklets, Judgement, np.ndarray, float | None], Judgement]
"""Has the last word on what is kept: tracklets, what the scorer says, the sampled frames (T,) int64, and the contrast of the attention."""


@dataclass(frozen=True, eq=False)
class Finding:
    """What one expression gave on one clip.

    Attributes:
        inquiry: Questions and answers.
        frame_indices: (Ts,) int64, the sampled frames.
        heatmaps: Where the model looked.
        points: What prompted the segmenter.
        tracklets: Every candidate left at the end of the loop.
        objects: The kept ones over the whole clip, numbered from 1 in the order of the loop.
        contrast: How far the attention for the object stands out of that for the background, see `gazecut.contrast`.
    """

    inquiry: Inquiry
    frame_indices: np.ndarray
    heatmaps: ResultMaps
    points: Points
    tracklets: tuple[JudgedTracklet, ...]
    objects: tuple[FoundObject, ...]
    contrast: float | None


class Study:
    """A pipeline's work on one clip; frames, MLLM sessions and the segmenter's session open when first needed."""

    def __init__(self, pipeline: Pipeline, clip: Clip, observers: Observers) -> None:
        """Decode nothing yet.

        Args:
            pipeline: Whose components work.
            clip: The clip.
            observers: Told of every stage.
        """
        self._pipeline, self._observers, self._name, self._closed = pipeline, observers, clip.name, False
        notes = Notes(pipeline.store, pipeline.runtime.work)
        self._sample = _Sample(pipeline, clip, observers)
        keys = ClipKeys(pipeline.keys, clip, self._sample, kept=pipeline.store is not None)
        self._witness = Witness(pipeline, self._sample, notes, keys, observers)
        self._pursuit = Pursuit(pipeline, clip, notes, keys, observers)

    @property
    def frames(self) -> Frames:
        """The sampled frames.

        Raises:
            ClipError: It is closed.
        """
        self.check_open()
        return self._sample()

    def findings(self, expressions: Sequence[str], decide: Sequence[Decide] = ()) -> Iterator[Finding]:
        """Ask about all expressions together, then follow what was found, one after the other.

        Args:
            expressions: What to look for.
            decide: Who has the last word on what is kept, one for each expression; none where the scorer has.

        Raises:
            PromptError: An expression is empty; before anything is asked.
            ClipError: It is closed.
        """
        for number, inquiry in enumerate(self._ask(expressions)):
            maps = self._fuse(_raw_maps(inquiry))
            fused = _aligned(maps.fused, len(self.frames))
            yield self.follow(inquiry, maps, fused, self.frames.indices, decide[number] if decide else None)

    def follow(self, inquiry: Inquiry, maps: MapSet, fused: HeatMaps, indices: np.ndarray, decide: Decide | None = None) -> Finding:
        """Points, tracklets, kept tracks: everything after the maps.

        Args:
            inquiry: Where the maps come from.
            maps: All maps, for scorers.
            fused: (Ts, h, w) float32 in [0, 1], in host memory.
            indices: (Ts,) int64, the sampled frames.
            decide: Who has the last word on what is kept; None for the scorer.

        Raises:
            ShapeError: The scorer left some out.
            ClipError: It is closed.
        """
        self.check_open()
        with self._observers.stage("select") as stage:
            key = KeyFrames(indices, fused, self._pipeline.selector.select(fused))
            stage.summary = counted(len(key.points), "point")
        tracklets = self._pursuit.find(key, self._pipeline.recipe.tracklets.suppress_above)
        with self._observers.stage("judge") as stage:
            judgement, stands_out = self._pipeline.scorer.judge(tracklets, maps, key.heat), contrast(inquiry)
            if len(judgement.scores) != len(tracklets):
                raise ShapeError(f"the scorer judged {len(judgement.scores)} tracklets of {len(tracklets)}; each must have a score.")
            judged = _judged(tracklets, judgement if decide is None else decide(tracklets, judgement, indices, stands_out))
            kept = [one for one in judged if one.kept]
            stage.summary = f"{len(kept)} kept"
        tracks = self._pursuit.follow([one.tracklet for one in kept], key)
        view = partial(_view_maps, maps, len(indices))
        return Finding(
            inquiry=inquiry,
            frame_indices=indices,
            heatmaps=ResultMaps(fused.numpy(), video=view("video"), frame=view("frame")),
            points=key.points,
            tracklets=judged,
            objects=tuple(
                FoundObject(number, one.score, track) for number, (one, track) in enumerate(zip(kept, tracks, strict=True), start=1)
            ),
            contrast=stands_out,
        )

    def provenance(self) -> dict[str, Provenance]:
        """Of the models that notes were made with, by kind; none where nothing was found in them."""
        noted = {"mllm": self._witness.provenance, "segmenter": self._pursuit.provenance}
        return {kind: provenance for kind, provenance in noted.items() if provenance is not None}

    def close(self) -> None:
        """Free what the MLLM and the segmenter hold for the clip, for good; a second call does nothing."""
        self._closed = True
        with closing(self._pursuit):  # whatever the MLLM's sessions say
            self._witness.close()

    def check_open(self) -> None:
        """Refuse to open again what nobody would close.

        Raises:
            ClipError: It is closed.
        """
        if self._closed:
            raise ClipError(f'the session on clip "{self._name}" is closed; open another one.')

    def _ask(self, expressions: Sequence[str]) -> list[Inquiry]:
        self.check_open()
        queries = self._pipeline.plan()
        length = len(self.frames)  # sampled in a stage of their own, before the others
        with self._observers.stage("ask") as stage:
            inquiries = Interview(self._witness, self._pipeline.recipe.prompts).ask(expressions, queries)
            questions = sum(len(inquiry.records) for inquiry in inquiries)
            stage.summary = f"{counted(questions, 'question')} about {counted(length, 'frame')}"
        self._witness.settle()
        return inquiries

    def _fuse(self, maps: MapSet) -> MapSet:
        with self._observers.stage("fuse"):
            for strategy in self._pipeline.fusion:
                maps = strategy.fuse(maps)
                name = f"a map of fusion strategy {type(strategy).__name__}"
                for entry in maps.open:
                    check_finite(name, entry.maps.numpy(), "finite ones, in [0, 1] after the last strategy")
            return maps


class _Sample:
    """The sampled frames; knows nothing of the study, so that both go, with the frames of a whole window, when the study does."""

    def __init__(self, pipeline: Pipeline, clip: Clip, observers: Observers) -> None:
        self._pipeline, self._clip, self._observers = pipeline, clip, observers

    def __call__(self) -> Frames:
        """The same each time."""
        return self._frames

    @cached_property
    def _frames(self) -> Frames:
        with self._observers.stage("sample") as stage:
            indices = self._pipeline.sampler.sample(self._clip)
            images = np.stack(list(self._clip.frames(indices.tolist())))
            stage.summary = f"{len(indices)} of {self._clip.length} frames"
            return Frames(images, indices, self._clip.fps)


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
