"""Windows of a long clip: where they lie, which of their frames are their own, and the frames of the one that is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from gazecut.clip.array import ArrayClip
from gazecut.clip.indices import checked_indices
from gazecut.errors import ClipError, ShapeError
from gazecut.optional import WindowSampler
from gazecut.protocols import Clip, Sampler

WINDOW_LENGTH = 64
"""Frames of a window where the recipe's sampler has none of its own."""

WINDOW_OVERLAP = 16
"""Frames that neighbouring windows have in common there."""


@dataclass(frozen=True)
class Span:
    """Where a window lies.

    Attributes:
        frames: All that it sees, indices into the clip.
        own: Those whose masks are taken from it: between the middles of its overlaps with the windows before and after.
    """

    frames: range
    own: range


def even_windows(length: int, overlap: int, start: int = 0) -> Iterator[range]:
    """Windows of one length without end.

    Args:
        length: Frames of each.
        overlap: Frames that neighbours have in common, less than `length`.
        start: First frame of the first.
    """
    return (range(first, first + length) for first in count(start, length - overlap))


def windows_of(sampler: Sampler, clip: Clip | None, fps: float) -> Iterator[range]:
    """A sampler's windows, checked as they are taken; even ones for a sampler that has none.

    Args:
        sampler: Whose windows.
        clip: The clip; None for a stream.
        fps: Frames per second.

    Raises:
        ShapeError: They leave frames out, or do not ascend.
    """
    windows = sampler.windows(clip, fps) if isinstance(sampler, WindowSampler) else even_windows(WINDOW_LENGTH, WINDOW_OVERLAP)
    before: range | None = None
    for window in windows:
        start, stop = (0, 0) if before is None else (before.start, before.stop)
        first = before is None
        fits = window.step == 1 and window.stop > stop and (window.start == 0 if first else start < window.start <= stop)
        if not fits:
            wanted = "one from frame 0 on" if first else f"one that begins in {start + 1} to {stop} and ends after {stop}"
            raise ShapeError(f"the sampler's window is frames {window.start} to {window.stop - 1}; wanted {wanted}.")
        yield window
        before = window
        if clip is not None and window.stop >= clip.length:
            return
    raise ShapeError(f"the sampler's windows end with frame {0 if before is None else before.stop - 1}, but the clip goes on.")


class Reel:
    """Frames of a clip as they pass, each taken once; it holds those of one window and the one after."""

    def __init__(self, clip: Clip) -> None:
        """Take nothing yet.

        Raises:
            ClipError: The clip's frames have passed already.
        """
        self._name, self._fps, self._size = clip.name, clip.fps, clip.size
        self._coming = clip.frames()
        self._held: list[np.ndarray] = []
        self._first = 0

    def spans(self, windows: Iterable[range]) -> Iterator[Span]:
        """Move from window to window to the end of the clip; the frames of the last span given are held.

        Args:
            windows: Ascending, overlapping or adjoining, from frame 0 on.

        Raises:
            ClipError: A frame cannot be decoded, or is none.
        """
        coming, own = iter(windows), 0
        window = next(coming)
        while True:
            end = self._move(window)
            if end <= window.stop:
                yield Span(range(window.start, end), range(own, end))
                return
            following = next(coming)
            seam = (following.start + window.stop) // 2
            yield Span(window, range(own, seam))
            window, own = following, seam

    def window(self, span: Span) -> ArrayClip:
        """The frames of a window as a clip of their own."""
        return ArrayClip(self._images(span.frames), self._fps, self._name)

    def stretch(self, span: Span) -> HeldClip:
        """The clip, of which only the window's own frames are at hand."""
        return HeldClip(self._images(span.own), span.own.start, self._name, self._fps)

    def close(self) -> None:
        """Let go of the frames, and of what decodes them; a second call does nothing."""
        self._held = []
        close = getattr(self._coming, "close", None)
        if close is not None:
            close()

    def _move(self, window: range) -> int:
        """Hold a window's frames, and look one ahead; returns how many frames the clip has for all that is known."""
        del self._held[: window.start - self._first]
        self._first = window.start
        for _ in range(window.stop + 1 - self._first - len(self._held)):
            frame = next(self._coming, None)
            if frame is None:
                break
            self._held.append(frame)
        return self._first + len(self._held)

    def _images(self, frames: range) -> list[np.ndarray]:
        return self._held[frames.start - self._first : frames.stop - self._first]


class HeldClip:
    """A clip of which only some frames are at hand.

    Attributes:
        name: What to call it in messages.
        length: Frames up to the last that is at hand.
        fps: Frames per second.
        size: (H, W) in pixels.
    """

    def __init__(self, images: list[np.ndarray], first: int, name: str, fps: float) -> None:
        """Take the frames.

        Args:
            images: Frames (H, W, 3) uint8, at least one.
            first: Index of the first of them.
            name: What to call the clip.
            fps: Frames per second.
        """
        self._images, self._first = images, first
        self.name, self.fps = name, fps
        self.length = first + len(images)
        self.size = (int(images[0].shape[0]), int(images[0].shape[1]))

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 RGB at ascending indices, each a copy; all only where the first is at hand.

        Raises:
            ClipError: An index is out of range, not ascending, or of a frame that has passed.
        """
        wanted = checked_indices(self.name, self.length, indices)
        if len(wanted) and wanted[0] < self._first:
            raise ClipError(
                f'frame {wanted[0]} of clip "{self.name}" has passed; at hand are {self._first} to {self.length - 1}. '
                "Ask for frames while their stretch is there."
            )
        return (np.array(self._images[index - self._first], order="C") for index in wanted)
