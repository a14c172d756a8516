"""What sessions of segmenters without weights have in common: a clip, an end, and checks of what they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from types import TracebackType
from typing import Self

import numpy as np

from gazecut.errors import SegmenterError
from gazecut.protocols import Clip
from gazecut.values.check import check_dtype, check_shape


class ClipSession:
    """A session on one clip, as a context manager."""

    def __init__(self, clip: Clip) -> None:
        """Take the clip; nothing is decoded yet."""
        self._clip = clip
        self._open = True

    def close(self) -> None:
        """Free what is held; a second call does nothing."""
        self._open = False

    def __enter__(self) -> Self:
        """The session itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it."""
        self.close()

    def _check_frame(self, frame: int) -> None:
        """Refuse a closed session and a frame that the clip does not have."""
        if not self._open:
            raise SegmenterError(f"the segmenter's session on {self._clip.name} is closed; open another one.")
        if not 0 <= frame < self._clip.length:
            raise SegmenterError(f"{self._clip.name} has no frame {frame}; wanted 0 to {self._clip.length - 1}.")

    def _check_prompt(self, frame: int, masks: np.ndarray, frames: Sequence[int]) -> None:
        """Refuse a propagation that cannot start: a prompt outside of its frames, or masks of another size."""
        for index in (frame, *frames[:1], *frames[-1:]):
            self._check_frame(index)
        if frame not in frames or any(first >= second for first, second in pairwise(frames)):
            some = ", ".join(map(str, frames[:5])) + (", ..." if len(frames) > 5 else "")
            raise SegmenterError(f"cannot propagate from frame {frame} over frames {some}; wanted ascending ones, it among them.")
        check_shape("masks", masks, ("K", *self._clip.size))
        check_dtype("masks", masks, "bool")


def both_ways(frame: int, frames: Sequence[int]) -> tuple[list[int], list[int]]:
    """The ways of a propagation after its first frame: forwards to the end, and backwards to the start.

    Args:
        frame: Where it starts.
        frames: Ascending indices, `frame` among them.

    Returns:
        Frames after it ascending, and frames before it descending.
    """
    return [index for index in frames if index > frame], [index for index in reversed(frames) if index < frame]
