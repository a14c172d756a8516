"""Video as it comes through a pipe: encoded, in any form that can be read without going back, or bare frames."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, TypeAlias

import av
import numpy as np
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from gazecut.clip.array import NOMINAL_FPS
from gazecut.clip.pixels import Turn, check_frame_size
from gazecut.clip.stream import display_turn, moving_picture, packets, to_rgb
from gazecut.errors import ClipError

NAME = "standard input"
HOW = 'Pipe a video in, in a form that is read as it comes: ffmpeg -i IN -f matroska - | gazecut segment - "the dog"'

_OPTIONS = {"protocol_whitelist": "none"}  # what comes must not make FFmpeg open anything else
_RAW = re.compile(r"(?P<width>\d{1,5})x(?P<height>\d{1,5})(@(?P<fps>\d{1,4}(\.\d{1,6})?(/\d{1,6})?))?")
_RAW_WANTED = "wanted WIDTHxHEIGHT or WIDTHxHEIGHT@FPS, for example 640x480 or 640x480@25"
_MOST_MISSING = 1.0  # seconds at the end; last frames may show for long
_FOREVER = 30 * 24 * 3600  # seconds; who writes into a pipe does not know the end, and some forms then have a huge number
_SECONDS = Fraction(1, av.time_base)

LiveVideo: TypeAlias = "EncodedVideo | RawVideo"


class _Video(ABC):
    """Frames of a pipe, once and in order. A pipe that breaks ends them: what came before is good, and `broken` says how.

    Attributes:
        fps: Frames per second.
        broken: Why the frames ended before the stream did; empty as long as nothing went wrong.
    """

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self.broken = ""
        self._came = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 RGB, as they come.

        Raises:
            ClipError: The very first cannot be read.
        """
        for frame in self._frames():
            self._came += 1
            yield frame

    @abstractmethod
    def _frames(self) -> Iterator[np.ndarray]:
        """Frames, until something is wrong."""

    def _break(self, reason: str) -> None:
        """End, unless nothing came at all.

        Raises:
            ClipError: Nothing did.
        """
        if not self._came:
            raise ClipError(f"{NAME}: {reason}. {HOW}")
        self.broken = f"{NAME} broke off after {self._came} frames: {reason}"


class RawVideo(_Video):
    """Bare frames, rgb24: height times width times three bytes each, row by row from the top."""

    def __init__(self, file: BinaryIO, form: str) -> None:
        """Read nothing yet.

        Args:
            file: Where bytes come from.
            form: "640x480" or "640x480@25", width first.

        Raises:
            ClipError: The form is no such thing, or its frames are too large.
        """
        found = _RAW.fullmatch(form)
        width, height = (int(found["width"]), int(found["height"])) if found else (0, 0)
        fps = Fraction(found["fps"]) if found and found["fps"] and not re.search(r"/0+$", found["fps"]) else None
        if not width * height or (found and found["fps"] and not fps):
            raise ClipError(f'raw frames of "{form}" cannot be; {_RAW_WANTED}.')
        check_frame_size(Path(NAME), width, height)
        super().__init__(float(fps or NOMINAL_FPS))
        self._file, self._shape = file, (height, width, 3)

    def _frames(self) -> Iterator[np.ndarray]:
        wanted = self._shape[0] * self._shape[1] * 3
        try:
            while len(content := _exactly(self._file, wanted)) == wanted:
                yield np.frombuffer(content, np.uint8).reshape(self._shape)
        except OSError as exc:
            self._break(_reason(exc))
            return
        if content or not self._came:
            size = f"{self._shape[1]}x{self._shape[0]}"
            self._break(f"{len(content)} bytes of a frame came, a frame of {size} in rgb24 has {wanted}" if content else "nothing came")


class EncodedVideo(_Video):
    """An encoded stream: Matroska, WebM, MPEG-TS, fragmented MP4, Y4M, MJPEG and whatever else tells what it is."""

    def __init__(self, file: BinaryIO) -> None:
        """Read as much as it takes to know what it is.

        Args:
            file: Where bytes come from; it is never asked to go back.

        Raises:
            ClipError: Nothing comes, it is no video, or one that cannot be read as it comes.
        """
        pipe = _Pipe(file)
        try:
            self._container: InputContainer = av.open(pipe, "r", options=_OPTIONS)
        except (av.FFmpegError, OSError, ValueError) as exc:
            reason = f"{_reason(exc)}. It is no video, or one that cannot be read as it comes" if pipe.count else "nothing came"
            raise ClipError(f"{NAME}: {reason}. {HOW}") from exc
        self._stream: VideoStream
        self._decoder: VideoCodecContext
        self._stream, self._decoder = moving_picture(self._container, Path(NAME))
        super().__init__(float(self._stream.average_rate or self._stream.guessed_rate or NOMINAL_FPS))
        self._shape: tuple[int, int] | None = None
        self._turn = Turn()

    def _frames(self) -> Iterator[np.ndarray]:
        with self._container:
            try:
                for frame in self._decoded():
                    reason = self._objection(frame)
                    if reason:
                        self._break(reason)
                        return
                    yield self._turn.apply(to_rgb(frame))
            except (av.FFmpegError, OSError, ValueError) as exc:
                at_end = not self._came and "mp4" in self._container.format.name
                self._break("its index stands at its end, and a pipe cannot go back" if at_end else _reason(exc))

    def _decoded(self) -> Iterator[VideoFrame]:
        """Frames up to the first packet that is incomplete."""
        last = Fraction(0)
        for packet in packets(self._container, self._stream):
            if packet.is_corrupt:
                self._break(f"packet {self._came} is incomplete")
                return
            if packet.pts is not None and packet.time_base:
                last = max(last, (packet.pts + (packet.duration or 0)) * packet.time_base)
            yield from self._decoder.decode(packet)
        promised = (self._container.duration or 0) * _SECONDS
        if promised < _FOREVER and promised - last > _MOST_MISSING:
            self._break(f"it says that it lasts {float(promised):.1f} s, and ended after {float(last):.1f} s")

    def _objection(self, frame: VideoFrame) -> str:
        """What is wrong with a frame; empty for nothing."""
        shape = (frame.height, frame.width)
        if frame.is_corrupt:
            return f"frame {self._came} cannot be decoded"
        if self._shape is None:
            check_frame_size(Path(NAME), frame.width, frame.height)
            self._shape, self._turn = shape, display_turn(frame)
        if shape != self._shape:
            return f"frames changed their size from {self._shape[1]}x{self._shape[0]} to {frame.width}x{frame.height}"
        return ""


class _Pipe:
    """A file that can only be read; counts what came."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.count = 0

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self.count += len(content)
        return content


def _exactly(file: BinaryIO, size: int) -> bytes:
    """So many bytes, or what there is to the end."""
    content = bytearray()
    while len(content) < size and (more := file.read(size - len(content))):
        content += more
    return bytes(content)


def _reason(exc: Exception) -> str:
    return str(getattr(exc, "strerror", None) or exc)
