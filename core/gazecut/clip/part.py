"""Parts of clips: from a moment to another, each n-th frame."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from numbers import Real
from typing import TypeAlias

import numpy as np

from gazecut.clip.indices import checked_indices
from gazecut.clip.passing import PassingClip
from gazecut.errors import ClipError
from gazecut.protocols import Clip

Moment: TypeAlias = str | float
"""A moment of a clip: seconds from its first frame as a number or text ("12.5", "1:02.5", "0:01:02.5"), or a frame ("240f")."""

_CLOCK = re.compile(r"(?:(?:(\d{1,6}):)?(\d{1,6}):)?(\d{1,9}(?:\.\d{1,9})?)", re.ASCII)
_FRAME = re.compile(r"(\d{1,12})f", re.ASCII)
_SLACK = 0.001
"""Seconds within which a frame counts as being at a moment: Matroska rounds time stamps to a millisecond."""


@dataclass(frozen=True)
class Part:
    """Which frames of its source a clip has; what a manifest records.

    Attributes:
        start: The first moment, as it was asked for; None for the beginning.
        end: The moment that ends it, itself outside, as it was asked for; None for the end.
        every: Each which frame is kept, at least 1.
        frames: Numbers of the kept frames in the source.
        source_length: Frames of the source.
    """

    start: Moment | None
    end: Moment | None
    every: int
    frames: range
    source_length: int

    def record(self) -> dict[str, str | float | int | None]:
        """The same in plain values, as JSON can hold them."""
        return {
            "start": _plain(self.start),
            "end": _plain(self.end),
            "every": int(self.every),
            "first_frame": self.frames[0],
            "last_frame": self.frames[-1],
            "source_frames": self.source_length,
        }


@dataclass(frozen=True)
class _Instant:
    """A moment, understood: a number of seconds or of frames."""

    value: float
    in_frames: bool


class PartClip:
    """A part of another clip; nothing is decoded that it does not need.

    Attributes:
        name: The name of the clip that it is a part of.
        length: Number of frames, at least 1.
        fps: Frames per second of the whole clip, divided by `part.every`.
        size: (H, W) in pixels.
        part: Which frames of the source these are.
        times: (T,) float64, seconds from this clip's first frame to each.
    """

    part: Part

    def __init__(self, clip: Clip, start: Moment | None = None, end: Moment | None = None, every: int = 1) -> None:
        """Find the frames.

        Args:
            clip: The whole clip.
            start: The first moment; None for the beginning.
            end: The moment that ends it, itself outside; None, or one beyond the end, for the end.
            every: Keep each n-th frame, at least 1.

        Raises:
            ClipError: A moment cannot be understood, the start lies beyond the end of the clip, no frame is left, or it is a stream.
        """
        check_part(start, end, every)
        if isinstance(clip, PassingClip):
            raise ClipError(f'clip "{clip.name}" is a stream, of which no part can be taken; cut it before, or save it to a file first.')
        times = frame_times(clip)
        first = 0 if start is None else _frame_at(start, times, clip.fps)
        stop = clip.length if end is None else min(_frame_at(end, times, clip.fps), clip.length)
        if first >= clip.length:
            raise ClipError(f'the part of clip "{clip.name}" starts at {_quoted(start)}, but {_extent(clip, times)}. Start earlier.')
        if stop <= first:
            raise ClipError(
                f'the part of clip "{clip.name}" from {_quoted(start)} to {_quoted(end)} has no frames; '
                f"wanted an end after the start, and a frame between them; {_extent(clip, times)}."
            )
        self._clip = clip
        self._frames = range(first, stop, every)
        source = clip.part if isinstance(clip, PartClip) else Part(None, None, 1, range(clip.length), clip.length)
        self.part = Part(start, end, every, source.frames[first:stop:every], source.source_length)
        self.name = clip.name
        self.length = len(self._frames)
        self.fps = clip.fps / every
        self.size = clip.size
        self.times = times[first:stop:every] - times[first]

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 RGB, all or those at ascending indices of this part.

        Raises:
            ClipError: A frame cannot be decoded, or an index is out of range or not ascending.
        """
        wanted = checked_indices(self.name, self.length, indices)
        return self._clip.frames([self._frames[index] for index in wanted])


def check_part(start: Moment | None, end: Moment | None, every: int) -> None:
    """Refuse what cannot be understood, before any clip is opened.

    Args:
        start: The first moment.
        end: The moment that ends it.
        every: Keep each n-th frame.

    Raises:
        ClipError: A moment cannot be understood, or `every` is no integer of at least 1.
    """
    if start is not None:
        _understood("start", start)
    if end is not None:
        _understood("end", end)
    if isinstance(every, bool) or not isinstance(every, int | np.integer) or every < 1:
        raise ClipError(f'every is "{every}"; wanted an integer of at least 1: 1 keeps all frames, 2 every second one.')


def frame_times(clip: Clip) -> np.ndarray:
    """Seconds from a clip's first frame to each, (T,) float64: real ones where the source has them, else even ones by its fps."""
    times = getattr(clip, "times", None)
    return np.arange(clip.length) / clip.fps if times is None else np.asarray(times, np.float64)


def _understood(name: str, moment: Moment) -> _Instant:
    if isinstance(moment, str):
        frame, clock = _FRAME.fullmatch(moment), _CLOCK.fullmatch(moment)
        if frame:
            return _Instant(int(frame[1]), in_frames=True)
        if clock:
            hours, minutes, seconds = int(clock[1] or 0), int(clock[2] or 0), float(clock[3])
            if (clock[2] is None or seconds < 60) and (clock[1] is None or minutes < 60):
                return _Instant(hours * 3600 + minutes * 60 + seconds, in_frames=False)
    elif isinstance(moment, Real) and not isinstance(moment, bool) and 0 <= float(moment) < math.inf:
        return _Instant(float(moment), in_frames=False)
    raise ClipError(
        f'{name} "{moment}" is no moment of a clip; wanted seconds from its first frame (12.5), '
        "with minutes and hours before them (1:02.5, 0:01:02.5), or a frame's number (240f)."
    )


def _frame_at(moment: Moment, times: np.ndarray, fps: float) -> int:
    """The first frame at a moment or after it."""
    instant = _understood("moment", moment)
    if instant.in_frames:
        return int(instant.value)
    return int(np.searchsorted(times, instant.value - min(_SLACK, 0.25 / fps)))


def _plain(moment: Moment | None) -> str | float | None:
    return moment if moment is None or isinstance(moment, str) else float(moment)


def _extent(clip: Clip, times: np.ndarray) -> str:
    return f"it has {clip.length} frames, the last at {times[-1]:.3f} s"


def _quoted(moment: Moment | None) -> str:
    return "its beginning" if moment is None else f'"{moment}"'
