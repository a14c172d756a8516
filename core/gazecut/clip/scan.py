"""What one pass over a video file tells: how many frames really decode, when they show, and where decoding can start.

Containers miscount frames, and damage shall show before any model runs, so everything is decoded once, keeping time stamps only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from gazecut.clip.array import NOMINAL_FPS
from gazecut.clip.extent import promised_bytes
from gazecut.clip.pixels import Turn, check_frame_size
from gazecut.clip.stream import CURE, digest, display_turn, open_stream, packets, to_rgb, unreadable
from gazecut.errors import ClipError

_MICROSECOND = Fraction(1, 1_000_000)
_TELL_THEIR_DURATION = frozenset({"matroska,webm", "flv", "asf"})  # elsewhere it may be a guess by bit rate
_FAR_BEYOND = (1.0, 0.1)  # seconds, and part of the whole, that may be missing at the end: last frames may show for long
_RATES_AGREE = 0.01  # part by which the rate in the header may differ from that of the time stamps


@dataclass(frozen=True)
class VideoIndex:
    """What the pass learns.

    Attributes:
        keys: (number, time stamp) of the frames after the first that decoding can start from, ascending; none where time
            stamps do not identify frames.
        digests: (T,) uint32, what to know each frame again by.
        shape: (H, W) as coded.
        turn: What sets a frame upright.
        fps: Mean frames per second.
        times: (T,) float64, seconds from the first frame to each.
    """

    keys: tuple[tuple[int, int], ...]
    digests: np.ndarray
    shape: tuple[int, int]
    turn: Turn
    fps: float
    times: np.ndarray


def scan(path: Path) -> VideoIndex:
    """Decode everything, keep time stamps.

    Raises:
        ClipError: The file is damaged, cut short or without frames, its frames change their size, or have colours that cannot
            be converted.
    """
    missing = promised_bytes(path) - path.stat().st_size
    if missing > 0:
        raise ClipError(f'"{path}" is cut short: its last {missing} bytes are missing. {CURE}')
    container, stream, decoder = open_stream(path)
    if container.duration is None:
        # That such a file was cut short only the decoder can tell; with a frame for each thread it hands frames out before it knows.
        decoder.thread_type = "SLICE"
    with container:
        found = _Findings(path)
        try:
            for packet in _whole_packets(path, container, stream):
                found.note_packet(packet)
                for frame in decoder.decode(packet):
                    found.note_frame(frame)
        except (av.FFmpegError, OSError) as exc:
            raise ClipError(unreadable(path, exc, after=len(found.stamps))) from exc
        return found.index(stream)


class _Findings:
    """What was seen so far."""

    def __init__(self, path: Path) -> None:
        self.stamps: list[int | None] = []
        self._path = path
        self._key_stamps: set[int] = set()
        self._digests: list[int] = []
        self._shape: tuple[int, int] | None = None
        self._turn = Turn()
        self._colours: set[tuple[str, int]] = set()

    def note_packet(self, packet: Packet[VideoStream]) -> None:
        if packet.is_keyframe and packet.pts is not None:
            self._key_stamps.add(packet.pts)

    def note_frame(self, frame: VideoFrame) -> None:
        shape = (frame.height, frame.width)
        if frame.is_corrupt:
            raise ClipError(f'"{self._path}" is damaged: frame {len(self.stamps)} cannot be decoded. {CURE}')
        if self._shape is None:
            check_frame_size(self._path, frame.width, frame.height)
            self._shape, self._turn = shape, display_turn(frame)
        if shape != self._shape:
            raise ClipError(
                f'"{self._path}" changes its size at frame {len(self.stamps)}, from {self._shape[1]}x{self._shape[0]} to '
                f"{frame.width}x{frame.height}; wanted one size. {CURE}"
            )
        if (frame.format.name, frame.colorspace) not in self._colours:
            self._check_colours(frame)
            self._colours.add((frame.format.name, frame.colorspace))
        self.stamps.append(frame.pts)
        self._digests.append(digest(frame))

    def index(self, stream: VideoStream) -> VideoIndex:
        if self._shape is None:
            raise ClipError(f'"{self._path}" holds a video stream without frames; wanted at least one. {CURE}')
        stamps = ascending(self.stamps)
        return VideoIndex(
            keys=tuple((number, stamp) for number, stamp in enumerate(stamps) if number and stamp in self._key_stamps),
            digests=np.array(self._digests, np.uint32),
            shape=self._shape,
            turn=self._turn,
            fps=_rate(stream, stamps),
            times=_times(stream, stamps, len(self.stamps)),
        )

    def _check_colours(self, frame: VideoFrame) -> None:
        try:
            to_rgb(frame)
        except (av.FFmpegError, ValueError) as exc:
            reason = getattr(exc, "strerror", None) or exc
            raise ClipError(
                f'"{self._path}" has colours that cannot be converted to RGB (pixel format {frame.format.name}, '
                f"matrix {frame.colorspace}): {reason}. Convert it first: ffmpeg -i IN -vf format=yuv420p OUT.mp4"
            ) from exc


def ascending(stamps: Sequence[int | None]) -> list[int]:
    """The time stamps, if every frame has one of its own and they ascend; else none."""
    known = [stamp for stamp in stamps if stamp is not None]
    sound = len(known) == len(stamps) and all(after > before for before, after in pairwise(known))
    return known if sound else []


def _whole_packets(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """All packets of a stream, and a complaint where the file stops before it should."""
    count, step = 0, 0
    last = Fraction(0)  # end of what is there of any stream, s
    end = 0
    for any_packet in packets(container):
        last = max(last, _end(any_packet))
        if any_packet.stream.index != stream.index:  # packets that flush a decoder know their stream by this alone
            continue
        packet = cast("Packet[VideoStream]", any_packet)
        if packet.is_corrupt:
            raise ClipError(f'"{path}" is cut short or damaged: packet {count} is incomplete. {CURE}')
        if packet.size:  # the last packet is empty: it flushes the decoder
            count += 1
            step = packet.duration or step
            end = max(end, (packet.pts or 0) + step)
        yield packet
    promised = (stream.start_time or 0) + (stream.duration or 0)
    # Edit lists hide packets but shorten the duration too, so both must be missing.
    if count < stream.frames and end + step < promised:
        raise ClipError(f'"{path}" is cut short: {count} of {stream.frames} packets are there. {CURE}')
    _check_duration(path, container, float(last))


def _end(packet: Packet[Stream]) -> Fraction:
    if packet.pts is None or not packet.size or not packet.time_base:
        return Fraction(0)
    return (packet.pts + (packet.duration or 0)) * Fraction(packet.time_base)


def _check_duration(path: Path, container: InputContainer, last: float) -> None:
    if container.format.name not in _TELL_THEIR_DURATION or not container.duration:
        return
    promised = float(container.duration * _MICROSECOND)  # of Matroska it counts from zero, not from the first frame
    seconds, part = _FAR_BEYOND
    if promised - last > max(seconds, part * promised):
        raise ClipError(f'"{path}" is cut short or damaged: it says that it lasts {promised:.1f} s, and ends after {last:.1f} s. {CURE}')


def _rate(stream: VideoStream, stamps: Sequence[int]) -> float:
    """Frames per second: what the header says, unless the time stamps say otherwise."""
    told = stream.average_rate or stream.guessed_rate
    if len(stamps) > 1 and stream.time_base:
        seen = (len(stamps) - 1) / ((stamps[-1] - stamps[0]) * stream.time_base)
        if not told or abs(seen - told) > _RATES_AGREE * told:
            return float(seen)
    return float(told) if told else NOMINAL_FPS


def _times(stream: VideoStream, stamps: Sequence[int], length: int) -> np.ndarray:
    if stamps and stream.time_base:
        return (np.asarray(stamps, np.int64) - stamps[0]) * float(stream.time_base)
    return np.arange(length) / _rate(stream, stamps)
