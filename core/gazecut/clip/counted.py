"""A clip that counts what is decoded of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from gazecut.clip.part import frame_times
from gazecut.protocols import Clip
from gazecut.work import Work


class CountedClip:
    """Another clip, frame by frame the same.

    Attributes:
        name: The clip's.
        length: The clip's.
        fps: The clip's.
        size: The clip's.
    """

    def __init__(self, clip: Clip, work: Work) -> None:
        """Take the clip, and where to count."""
        self._clip, self._work = clip, work
        self.name, self.length, self.fps, self.size = clip.name, clip.length, clip.fps, clip.size

    @property
    def times(self) -> np.ndarray:
        """Seconds from the first frame to each, (T,) float64, as `frame_times` gives them of the clip."""
        return frame_times(self._clip)

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 RGB, all or those at ascending indices, counted as they are taken.

        Raises:
            ClipError: As the clip's own.
        """
        frames = self._clip.frames(indices)
        return (self._count(frame) for frame in frames)

    def _count(self, frame: np.ndarray) -> np.ndarray:
        self._work.frames_decoded += 1
        return frame
