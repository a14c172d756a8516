"""A clip that passes: frames of a camera or a pipe, seen once and in order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from gazecut.arrays import to_numpy
from gazecut.clip.array import NOMINAL_FPS, check_frame
from gazecut.errors import ClipError


class PassingClip:
    """Frames as they come; none is kept, so it can only be looked at window by window, and once.

    Attributes:
        name: What to call it in messages.
        length: Frames that have passed so far.
        fps: Frames per second.
        size: (H, W) in pixels.
    """

    def __init__(self, frames: Iterable[object], fps: float = NOMINAL_FPS, name: str = "stream") -> None:
        """Wait for the first frame, which tells the size.

        Args:
            frames: Frames (H, W, 3) uint8 RGB of one size, arrays or tensors; taken one at a time, and copied, so that a camera may use
                its memory again. An error that they raise passes on as it is.
            fps: Frames per second.
            name: What to call it.

        Raises:
            ClipError: None came, the first is no frame, or there can be none.
        """
        if isinstance(frames, str | bytes | np.ndarray) or not isinstance(frames, Iterable):
            raise ClipError(
                f'clip "{name}": cannot stream from {type(frames).__name__}; wanted an iterator of frames (H, W, 3) uint8. '
                "Files and arrays are opened with Pipeline.open or Pipeline.segment."
            )
        if not 0 < fps < math.inf:
            raise ClipError(f'clip "{name}": fps is {fps:g}; wanted more than 0.')
        self.name, self.fps, self.length = name, float(fps), 0
        self._coming = iter(frames)
        self._shape: tuple[int, ...] | None = None
        first = next(self._coming, None)
        if first is None:
            raise ClipError(f'clip "{name}" has no frames; the iterator ended at once.')
        self._first: np.ndarray | None = self._checked(first)
        self.size = (self._first.shape[0], self._first.shape[1])

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        """All frames (H, W, 3) uint8 RGB, as they come.

        Raises:
            ClipError: They passed before, single ones were asked for, or one is no frame or of another size.
        """
        if indices is not None or self._first is None:
            asked = "again" if indices is None else "one by one"
            raise ClipError(
                f'clip "{self.name}" is a stream: its frames cannot be seen {asked}, they pass once. Save them to a file first.'
            )
        first, self._first = self._first, None
        return self._pass(first)

    def _pass(self, first: np.ndarray) -> Iterator[np.ndarray]:
        self.length = 1
        yield first
        del first  # as long as the stream goes on
        for item in self._coming:
            frame = self._checked(item)
            self.length += 1
            yield frame

    def _checked(self, item: object) -> np.ndarray:
        frame = to_numpy(item)
        check_frame(self.name, self.length, frame, self._shape)
        self._shape = frame.shape
        return np.array(frame, order="C")
