"""Objects from one window of a clip to the next: the same where their masks agree on the frames that both windows have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gazecut import rle
from gazecut.result import FoundObject
from gazecut.study import Decide
from gazecut.values import Judgement, MaskTrack, Tracklets
from gazecut.windows import Span


def agreement(earlier: Sequence[MaskTrack], later: Sequence[MaskTrack]) -> np.ndarray:
    """Mean IoU of every pair of tracks, over the frames where either of the two is there.

    Args:
        earlier: K tracks.
        later: L tracks of the same frames.

    Returns:
        (K, L) float64 in [0, 1]; 0 where both are absent from all frames.
    """
    total, frames = np.zeros((2, len(earlier), len(later)), np.float64)
    lengths = {len(track) for track in (*earlier, *later)}
    for frame in range(max(lengths, default=0)):
        first, second = ([track.codes[frame] for track in tracks] for tracks in (earlier, later))
        here, there = (np.array([code is not None for code in codes], bool) for codes in (first, second))
        total[np.ix_(here, there)] += rle.overlaps([code for code in first if code], [code for code in second if code])
        frames += here[:, None] | there
    return np.asarray(total / np.maximum(frames, 1))


def link(overlaps: np.ndarray, least: float) -> Iterator[tuple[int, int]]:
    """Pairs that are the same, each side at most once: the pair that agrees best first, of equals the first.

    Args:
        overlaps: (K, L) agreement of every pair.
        least: Agreement from which two may be the same.

    Yields:
        Row and column of each pair.
    """
    free = np.array(overlaps, np.float64)
    while free.size and free.max() >= least:
        row, column = (int(place) for place in np.unravel_index(free.argmax(), free.shape))
        yield row, column
        free[row, :] = free[:, column] = -1


@dataclass(eq=False)
class Thread:
    """An object on its way through the windows.

    Attributes:
        id: From 1, in the order in which objects are first shown; None as long as it was not.
        found: What the last window that saw it made of it: its track is over that window.
    """

    id: int | None
    found: FoundObject


class Linker:
    """One expression's objects, window after window; remembers those of the window before."""

    def __init__(self, least: float, contrast_above: float = 0.0) -> None:
        """Nothing was seen yet.

        Args:
            least: Mean IoU from which objects of neighbouring windows are the same.
            contrast_above: Contrast of the attention below which a window shows nothing; 0 for no such bar.
        """
        self._least, self._contrast_above = least, contrast_above
        self._before: Span | None = None
        self._threads: list[Thread] = []
        self._shown = 0

    def decide(self, span: Span) -> Decide:
        """Who has the last word on what the next window keeps.

        Windows without the object are many, so what is kept only for want of better is not. A candidate that goes on with an object
        of the window before is kept, however its score fell out in the new window; each such object has one continuation. Where the
        attention does not stand out against the background's, nothing is kept and nothing goes on.
        """

        def decide(tracklets: Tracklets, judgement: Judgement, indices: np.ndarray, contrast: float | None) -> Judgement:
            reasons = list(judgement.reasons or [""] * len(tracklets))
            kept = judgement.kept.copy()
            objection = self._objection(judgement, contrast)
            if objection:
                reasons = [f"{objection}: {reason}" if stays else reason for stays, reason in zip(kept, reasons, strict=True)]
                kept[:] = False
            if not self._is_dull(contrast):
                for thread, candidate in self._continued(span, tracklets, kept, indices):
                    kept[candidate] = True
                    reasons[candidate] = f"continues object {thread.id}" if thread.id else "continues an object of the window before"
            said = tuple(reasons) if judgement.reasons is not None or any(reasons) else None
            return replace(judgement, kept=kept, reasons=said, fallback=False)

        return decide

    def follow(self, span: Span, objects: Sequence[FoundObject]) -> list[Thread]:
        """Take a window's kept objects; gives the thread of each, an old one where it goes on.

        Args:
            span: The window.
            objects: Each with its track over the window.
        """
        shared = self._shared(span)
        overlaps = agreement(
            [_part(thread.found.track, self._frames, shared) for thread in self._threads],
            [_part(found.track, span.frames, shared) for found in objects],
        )
        threads = [Thread(None, found) for found in objects]
        for earlier, later in link(overlaps, self._least):
            threads[later].id = self._threads[earlier].id
        self._before, self._threads = span, threads
        return threads

    def show(self, span: Span) -> tuple[FoundObject, ...]:
        """The objects of the window that was taken last, on its own frames and by rising id; whoever is shown first gets the next id."""
        shown = []
        for thread in self._threads:
            track = _part(thread.found.track, span.frames, span.own)
            if any(code is not None for code in track.codes):
                if thread.id is None:
                    self._shown += 1
                    thread.id = self._shown
                shown.append(FoundObject(thread.id, thread.found.score, track))
        return tuple(sorted(shown, key=lambda found: found.id))

    def _objection(self, judgement: Judgement, contrast: float | None) -> str:
        """Why nothing new is kept, whatever the rule said; empty where there is no reason."""
        if judgement.fallback:
            return "no fall-back in windows"
        if self._is_dull(contrast):
            return f"attention like that for the background, contrast {contrast:.2f} below {self._contrast_above:g}"
        return ""

    def _is_dull(self, contrast: float | None) -> bool:
        return contrast is not None and contrast < self._contrast_above

    @property
    def _frames(self) -> range:
        return range(0) if self._before is None else self._before.frames

    def _shared(self, span: Span) -> range:
        return range(span.frames.start, max(self._frames.stop, span.frames.start))

    def _continued(self, span: Span, tracklets: Tracklets, kept: np.ndarray, indices: np.ndarray) -> Iterator[tuple[Thread, int]]:
        """Objects of the window before that nothing kept goes on with, each with the candidate that agrees best, if any does."""
        shared = self._shared(span)
        places = [place for place, index in enumerate(indices.tolist()) if index + span.frames.start in shared]
        at = [int(indices[place]) + span.frames.start - self._frames.start for place in places]
        overlaps = agreement(
            [_at(thread.found.track, at) for thread in self._threads], [_at(tracklet.track, places) for tracklet in tracklets]
        )
        for row, column in link(np.where(kept, overlaps, -1), self._least):
            overlaps[row, :] = overlaps[:, column] = -1
        overlaps[:, kept] = -1
        for row, column in link(overlaps, self._least):
            yield self._threads[row], column


def _part(track: MaskTrack, frames: range, wanted: range) -> MaskTrack:
    """A track over `frames`, on some of them."""
    return MaskTrack(track.size, tuple(track.codes[wanted.start - frames.start : wanted.stop - frames.start]))


def _at(track: MaskTrack, places: Sequence[int]) -> MaskTrack:
    return MaskTrack(track.size, tuple(track.codes[place] for place in places))
