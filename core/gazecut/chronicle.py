"""What windows gave, one after the other, as one result: of each window its own frames."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np

from gazecut.interview import Inquiry
from gazecut.resize import resize
from gazecut.result import FoundObject, JudgedTracklet, ResultMaps, Window
from gazecut.rle import Rle
from gazecut.stretch import Stretch
from gazecut.study import Finding
from gazecut.values import MaskTrack, Points
from gazecut.windows import Span


@dataclass(frozen=True, eq=False)
class _Chapter:
    """What is kept of a window: no images, no logits, no raw maps.

    Attributes:
        window: The window, as the result shows it.
        inquiry: Questions and answers, without their maps.
        places: (n,) int64, which of its sampled frames are its own.
        heatmaps: On those.
        points: On those, numbered anew from 0.
    """

    window: Window
    inquiry: Inquiry
    places: np.ndarray
    heatmaps: ResultMaps
    points: Points


@dataclass
class _Trail:
    """Masks of one object, from its first frame on."""

    start: int
    score: float
    codes: list[Rle | None] = field(default_factory=list)


class Chronicle:
    """Collects one expression's windows. What it holds grows with the clip, but by codes, small maps and records alone."""

    def __init__(self) -> None:
        """Nothing happened yet."""
        self._chapters: list[_Chapter] = []
        self._trails: dict[int, _Trail] = {}

    def add(self, span: Span, finding: Finding, stretch: Stretch) -> None:
        """Take a window: what it gave, and what of it is final.

        Args:
            span: The window.
            finding: All that it gave; nothing of it is changed or held whole.
            stretch: Its objects on its own frames.
        """
        indices = finding.frame_indices + span.frames.start
        own = np.flatnonzero((indices >= span.own.start) & (indices < span.own.stop))
        window = Window(
            frames=span.frames,
            own=span.own,
            frame_indices=indices,
            tracklets=tuple(_without_logits(one, one.tracklet.track) for one in finding.tracklets),
            objects=tuple(found.id for found in stretch.objects),
            scores=tuple(found.score for found in stretch.objects),
            answers=tuple(finding.inquiry.records),
            category=finding.inquiry.category,
            contrast=finding.contrast,
        )
        heat = finding.heatmaps
        views = {name: None if maps is None else maps[own] for name, maps in (("video", heat.video), ("frame", heat.frame))}
        points = _renumbered(finding.points, own)
        self._chapters.append(_Chapter(window, _without_maps(finding.inquiry), own, ResultMaps(heat.fused[own], **views), points))
        for found in stretch.objects:
            trail = self._trails.setdefault(found.id, _Trail(span.own.start, found.score))
            trail.score = max(trail.score, found.score)
            trail.codes += [None] * (span.own.start - trail.start - len(trail.codes))
            trail.codes += found.track.codes

    @property
    def windows(self) -> tuple[Window, ...]:
        """All windows so far."""
        return tuple(chapter.window for chapter in self._chapters)

    def finding(self, length: int, size: tuple[int, int]) -> Finding:
        """All windows as one.

        Args:
            length: Frames of the clip.
            size: (H, W) of the clip.
        """
        chapters = self._chapters
        leading = max(chapters, key=lambda chapter: -np.inf if (best := chapter.window.best) is None else best.score)
        starts = np.cumsum([0, *(len(chapter.places) for chapter in chapters)]).tolist()
        tracklets = [one for chapter, start in zip(chapters, starts, strict=False) for one in _told(chapter, start, starts[-1])]
        objects = {number: MaskTrack(size, tuple(trail.codes)).placed(trail.start, length) for number, trail in self._trails.items()}
        return Finding(
            inquiry=leading.inquiry,
            frame_indices=np.concatenate([chapter.window.frame_indices[chapter.places] for chapter in chapters]),
            heatmaps=_joined([chapter.heatmaps for chapter in chapters]),
            points=_together([chapter.points for chapter in chapters], starts),
            tracklets=tuple(tracklets),
            objects=tuple(FoundObject(number, self._trails[number].score, track) for number, track in sorted(objects.items())),
            contrast=leading.window.contrast,
        )


def _without_logits(one: JudgedTracklet, track: MaskTrack, prompt_frame: int | None = None) -> JudgedTracklet:
    """A tracklet with another track, of which only masks are left."""
    frame = one.prompt_frame if prompt_frame is None else prompt_frame
    bare = replace(one.tracklet, prompt_frame=frame, track=track, logits=np.zeros((len(track), 0, 0), np.float16))
    return replace(one, tracklet=bare)


def _without_maps(inquiry: Inquiry) -> Inquiry:
    return replace(inquiry, readings={query: replace(reading, maps=None) for query, reading in inquiry.readings.items()})


def _renumbered(points: Points, own: np.ndarray) -> Points:
    """Points on some of the sampled frames, which count from 0."""
    here = np.isin(points.frame, own)
    columns = {name: np.asarray(column)[here] for name, column in vars(points).items()}
    return Points(**columns | {"frame": np.searchsorted(own, columns["frame"])})


def _together(points: list[Points], starts: list[int]) -> Points:
    columns: dict[str, list[np.ndarray]] = defaultdict(list)
    for some, start in zip(points, starts, strict=False):
        for name, column in vars(some).items():
            columns[name].append(np.asarray(column) + (start if name == "frame" else 0))
    return Points(**{name: np.concatenate(parts) for name, parts in columns.items()})


def _told(chapter: _Chapter, start: int, total: int) -> list[JudgedTracklet]:
    """Candidates that a window's own sampled frames prompted, on the sampled frames of all windows."""
    told = []
    own = chapter.places.tolist()
    for one in chapter.window.tracklets:
        if one.prompt_frame in own:
            track = MaskTrack(one.tracklet.track.size, tuple(one.tracklet.track.codes[place] for place in own)).placed(start, total)
            told.append(_without_logits(one, track, start + own.index(one.prompt_frame)))
    return told


def _joined(maps: list[ResultMaps]) -> ResultMaps:
    """Maps of all windows in one row."""
    return ResultMaps(
        fused=_stacked([some.fused for some in maps]),
        video=_stacked_if_any([some.video for some in maps]),
        frame=_stacked_if_any([some.frame for some in maps]),
    )


def _stacked_if_any(maps: list[np.ndarray | None]) -> np.ndarray | None:
    there = [some for some in maps if some is not None]
    return _stacked(there) if there else None


def _stacked(maps: list[np.ndarray]) -> np.ndarray:
    """Maps of one view, on the finest grid among them: a short last window may have got another one."""
    grid = max(some.shape[1:] for some in maps)
    return np.concatenate([some if some.shape[1:] == grid else np.asarray(resize(some, grid), np.float32) for some in maps])
