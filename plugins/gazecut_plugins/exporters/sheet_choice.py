"""What a contact sheet shows: of a clip that was looked at as a whole some sampled frames, of a long one the windows that matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gazecut.result import JudgedTracklet, Result, ResultMaps, Window
from gazecut.values import MaskTrack, Points
from gazecut.wording import counted

_FRAMES_OF_A_WINDOW = 4  # on a sheet of several; enough to see whether a candidate moves with the object


@dataclass(frozen=True, eq=False)
class Choice:
    """What to show.

    Attributes:
        result: The result, or what it has of the windows that are shown.
        places: (n,) int64, which of its sampled frames are shown.
        headings: What stands above the first frame of each window, by the frame's position among those that are shown.
        windows: How many windows are shown; 0 where the clip was looked at as a whole.
    """

    result: Result
    places: np.ndarray
    headings: Mapping[int, str] = field(default_factory=dict)
    windows: int = 0


def spread(count: int, most: int) -> np.ndarray:
    """All of `count` places, or `most` of them at even distances, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def choose(result: Result, pictured: Sequence[int], most: int) -> Choice:
    """What to show of a result.

    Args:
        result: The result.
        pictured: Ascending indices of the sampled frames whose pictures are at hand.
        most: Frames that may be shown.
    """
    there = np.isin(result.frame_indices, np.asarray(pictured, np.int64))
    if not result.windows:
        places = np.flatnonzero(there)
        return Choice(result, places[spread(len(places), most)] if len(places) else places)
    windows = _that_matter(result.windows, max(1, most // _FRAMES_OF_A_WINDOW))
    of_each = [np.flatnonzero(_within(result.frame_indices, window)) for window in windows]
    kept = np.concatenate(of_each)
    excerpt = _excerpt(result, kept)
    chosen: list[int] = []
    headings = {}
    for window, places in zip(windows, of_each, strict=True):
        pictures = places[there[places]]
        if len(pictures):
            headings[len(chosen)] = _heading(window, 1 + result.windows.index(window))
            chosen += pictures[spread(len(pictures), max(1, most // len(windows)))].tolist()
    return Choice(excerpt, np.searchsorted(kept, np.array(chosen, np.int64)), headings, len(windows))


def _that_matter(windows: Sequence[Window], count: int) -> list[Window]:
    """So many windows in their order: the best one of each object, more that show any, and the best of the others."""
    by_score = sorted(windows, key=_score, reverse=True)
    objects = sorted({number for window in windows for number in window.objects})
    of_objects = [next(window for window in by_score if number in window.objects) for number in objects]
    ranked = [*of_objects, *(window for window in by_score if window.objects), *by_score]
    chosen = list({window.frames.start: window for window in ranked}.values())[:count]
    return sorted(chosen, key=lambda window: window.frames.start)


def _score(window: Window) -> float:
    return -np.inf if window.best is None else window.best.score


def _within(indices: np.ndarray, window: Window) -> np.ndarray:
    return np.asarray((indices >= window.own.start) & (indices < window.own.stop))


def _heading(window: Window, number: int) -> str:
    """Which window it is, and what came of it."""
    if window.objects:
        names = ", ".join(map(str, window.objects))
        found = f"object {names}" if len(window.objects) == 1 else f"{counted(len(window.objects), 'object')}: {names}"
    else:
        found = "no candidate" if window.best is None else f"nothing kept, best {window.best.score:.2f}"
    return f"window {number}: {found}"


def _excerpt(result: Result, places: np.ndarray) -> Result:
    """What a result has on some of its sampled frames, and the candidates that come from them.

    Args:
        result: The result.
        places: (n,) int64, ascending.
    """
    heat = result.heatmaps
    video, frame = (None if maps is None else maps[places] for maps in (heat.video, heat.frame))
    wanted = set(places.tolist())
    return replace(
        result,
        frame_indices=result.frame_indices[places],
        heatmaps=ResultMaps(heat.fused[places], video=video, frame=frame),
        points=_points_at(result.points, places),
        tracklets=tuple(_at(one, places) for one in result.tracklets if one.prompt_frame in wanted),
    )


def _points_at(points: Points, places: np.ndarray) -> Points:
    columns = {name: np.asarray(column) for name, column in vars(points).items()}
    here = np.isin(columns["frame"], places)
    columns = {name: column[here] for name, column in columns.items()}
    return Points(**columns | {"frame": np.searchsorted(places, columns["frame"])})


def _at(one: JudgedTracklet, places: np.ndarray) -> JudgedTracklet:
    track = MaskTrack(one.tracklet.track.size, tuple(one.tracklet.track.codes[place] for place in places.tolist()))
    frame = int(np.searchsorted(places, one.prompt_frame))
    logits = np.asarray(one.tracklet.logits)[places]
    return replace(one, tracklet=replace(one.tracklet, prompt_frame=frame, track=track, logits=logits))
