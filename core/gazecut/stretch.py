"""What is final of a clip that is still being looked at: a few frames, with the masks on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gazecut.errors import ShapeError
from gazecut.protocols import Clip
from gazecut.values import MaskTrack

if TYPE_CHECKING:
    from gazecut.result import FoundObject, Result, Window


@dataclass(frozen=True, eq=False)
class Stretch:
    """Frames of one clip whose masks will not change any more, for one expression.

    Stretches of an expression come in order and adjoin: the first begins with frame 0, together they are the clip.

    Attributes:
        expression: As the user typed it.
        clip: The clip; of its frames at least these can be decoded, and of a stream no others. Its `length` is what is known so far:
            at least `frames.stop`.
        frames: Where in the clip these frames stand.
        objects: What is there, by rising id. An id stays with an object from one stretch to the next, and counts from 1 in the order
            of appearance. A track covers exactly these frames, its first mask is of `frames.start`; the score is that of the window
            that found it, so it may differ from stretch to stretch.
        sampled: The frames among them that the multimodal LLM saw, ascending indices into the clip.

    Raises:
        ShapeError: There are no frames, a track has another number of them, or a sampled frame is none of them.
    """

    expression: str
    clip: Clip
    frames: range
    objects: tuple[FoundObject, ...]
    sampled: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.frames) or self.frames.step != 1 or self.frames.start < 0:
            raise ShapeError(f"stretch.frames is {self.frames}; wanted one frame or more, each after the one before.")
        for found in self.objects:
            if len(found.track) != len(self.frames):
                raise ShapeError(f"stretch: object {found.id} has masks of {len(found.track)} frames; wanted {len(self.frames)}.")
        if not set(self.sampled) <= set(self.frames):
            raise ShapeError(f"stretch.sampled is {self.sampled}; wanted frames {self.frames.start} to {self.frames.stop - 1}.")

    def images(self) -> Iterator[np.ndarray]:
        """Its frames (H, W, 3) uint8 RGB, in order.

        Raises:
            ClipError: A frame cannot be decoded.
        """
        return self.clip.frames(self.frames)

    def mask(self, frame: int) -> np.ndarray:
        """Union of all objects on one frame, (H, W) bool.

        Args:
            frame: Index into the clip; one of `frames`.

        Raises:
            ShapeError: It is none of them.
        """
        if frame not in self.frames:
            raise ShapeError(f"stretch: frame {frame} is not part of it; wanted {self.frames.start} to {self.frames.stop - 1}.")
        union = np.zeros(self.clip.size, bool)
        for found in self.objects:
            union |= found.track.mask(frame - self.frames.start)
        return union


def stretches_of(result: Result) -> Iterator[Stretch]:
    """A result as it came: window by window where its clip was looked at in windows, else in one piece."""
    if result.windows:
        yield from (_shown_by(window, result) for window in result.windows)
    else:
        yield Stretch(result.expression, result.clip, range(result.clip.length), result.objects, tuple(result.frame_indices.tolist()))


def _shown_by(window: Window, result: Result) -> Stretch:
    """What a window showed on its own frames, with the scores that it gave."""
    here, found = slice(window.own.start, window.own.stop), {one.id: one for one in result.objects}
    objects = [
        replace(found[number], score=score, track=MaskTrack(result.clip.size, tuple(found[number].track.codes[here])))
        for number, score in zip(window.objects, window.scores, strict=True)
    ]
    sampled = tuple(index for index in window.frame_indices.tolist() if index in window.own)
    return Stretch(result.expression, result.clip, window.own, tuple(objects), sampled)
