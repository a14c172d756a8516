"""Clips of video files, frame-exact.

Opening decodes the file once from end to end, keeping time stamps only: containers miscount frames, and damage shows before
any model runs. Later passes jump to the last key frame before a wanted frame, and check where they landed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from gazecut.clip.array import NOMINAL_FPS
from gazecut.clip.indices import checked_indices
from gazecut.errors import ClipError

_LOCAL_ONLY = {"protocol_whitelist": "file"}  # a playlist must not fetch anything
_TEXT_FORMATS = frozenset({"tty"})  # FFmpeg paints text files as video
_CURE = "Check that it plays; if it does, write it anew: ffmpeg -i IN OUT.mp4"


@dataclass(frozen=True)
class _Index:
    """What the first pass learns.

    Attributes:
        length: Frames that decode.
        keys: (number, time stamp) of the frames after the first that decoding can start from, ascending; none where time
            stamps do not identify frames.
        shape: (H, W) as coded.
        quarter_turns: Counter-clockwise turns that set a frame upright, 0 to 3.
        fps: Frames per second.
    """

    length: int
    keys: tuple[tuple[int, int], ...]
    shape: tuple[int, int]
    quarter_turns: int
    fps: float


class VideoClip:
    """A video file, decoded as frames are taken and never held.

    Attributes:
        name: The file's name.
        length: Number of frames that really decode, at least 1.
        fps: Mean frames per second.
        size: (H, W) in pixels, upright.
    """

    def __init__(self, path: Path) -> None:
        """Decode once to count the frames.

        Raises:
            ClipError: It is no video, has no video stream, is damaged or cut short, has no frames, or changes its size.
        """
        self._path = path
        self._index = _scan(path)
        self.name = path.name
        self.length = self._index.length
        self.fps = self._index.fps
        height, width = self._index.shape
        self.size = (width, height) if self._index.quarter_turns % 2 else (height, width)

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 RGB, all or those at ascending indices, decoded as they are taken, each at most once.

        Raises:
            ClipError: An index is out of range or not ascending, or the file changed since it was opened.
        """
        return self._decode(checked_indices(self.name, self.length, indices))

    def _decode(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        with closing(_Reader(self._path, self._index.keys)) as reader:
            for number in wanted:
                image = reader.read(number).to_ndarray(format="rgb24")
                yield np.ascontiguousarray(np.rot90(image, self._index.quarter_turns))


class _Reader:
    """Walks forward through a video and jumps over what nobody wants."""

    def __init__(self, path: Path, keys: Sequence[tuple[int, int]]) -> None:
        self._path = path
        self._keys = keys
        self._start()

    def read(self, number: int) -> VideoFrame:
        """The frame of that number, which must lie ahead."""
        try:
            self._approach(number)
            frame = self._take()
            while self._next <= number:
                frame = self._take()
        except (StopIteration, av.FFmpegError) as exc:
            raise ClipError(
                f'cannot decode frame {number} of "{self._path}" any more; the file changed since it was opened. Run again.'
            ) from exc
        return frame

    def close(self) -> None:
        self._container.close()

    def _start(self) -> None:
        self._container, self._stream = _open(self._path)
        self._frames: Iterator[VideoFrame] = self._container.decode(self._stream)
        self._next = 0

    def _take(self) -> VideoFrame:
        self._next += 1
        return next(self._frames)

    def _approach(self, number: int) -> None:
        """Jump to the last key frame before a number if it lies ahead; from the start again if the container misses it."""
        before = bisect_right(self._keys, number, key=lambda entry: entry[0])
        if before == 0 or self._keys[before - 1][0] <= self._next:
            return
        key, time = self._keys[before - 1]
        self._container.seek(time, stream=self._stream)
        frames = self._container.decode(self._stream)
        landed = next((frame for frame in frames if frame.pts is not None and frame.pts >= time), None)
        if landed is not None and landed.pts == time:
            self._frames, self._next = chain((landed,), frames), key
        else:
            self.close()
            self._keys = ()
            self._start()


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    """The file and its first moving picture (covers of songs do not move), set to decode on all cores."""
    try:
        container = av.open(f"file:{path}", options=_LOCAL_ONLY)  # else FFmpeg takes "16:9.mp4" for a protocol
    except (av.FFmpegError, OSError) as exc:
        raise ClipError(_unreadable(path, exc)) from exc
    moving = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if moving and container.format.name not in _TEXT_FORMATS:
        moving[0].thread_type = "AUTO"
        return container, moving[0]
    found = "text" if moving else " and ".join(sorted({stream.type for stream in container.streams})) or "no streams"
    container.close()
    raise ClipError(f'"{path}" holds no video, found {found}; wanted a video file or a folder of images.')


def _scan(path: Path) -> _Index:
    """Decode everything, keep time stamps.

    Raises:
        ClipError: The file is damaged, cut short or without frames, or its frames change their size.
    """
    container, stream = _open(path)
    with container:
        times: list[int | None] = []
        key_times: set[int] = set()
        first: VideoFrame | None = None
        try:
            for packet in _whole_packets(path, container, stream):
                if packet.is_keyframe and packet.pts is not None:
                    key_times.add(packet.pts)
                for frame in packet.decode():
                    first = first or frame
                    _check_frame(path, len(times), frame, first)
                    times.append(frame.pts)
        except av.FFmpegError as exc:
            raise ClipError(_unreadable(path, exc, after=len(times))) from exc
        if first is None:
            raise ClipError(f'"{path}" holds a video stream without frames; wanted at least one. {_CURE}')
        rate = stream.average_rate or stream.guessed_rate
        return _Index(
            length=len(times),
            keys=_keys(times, key_times),
            shape=(first.height, first.width),
            quarter_turns=round(first.rotation / 90) % 4,
            fps=float(rate) if rate else NOMINAL_FPS,
        )


def _whole_packets(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """All packets of a stream, and a complaint where the file stops before it should."""
    count, end, step = 0, 0, 0
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise ClipError(f'"{path}" is cut short or damaged: packet {count} is incomplete. {_CURE}')
        if packet.size:  # the last packet is empty: it flushes the decoder
            count += 1
            step = packet.duration or step
            end = max(end, (packet.pts or 0) + step)
        yield packet
    promised = (stream.start_time or 0) + (stream.duration or 0)
    # Edit lists hide packets but shorten the duration too, so both must be missing.
    if count < stream.frames and end + step < promised:
        raise ClipError(f'"{path}" is cut short: {count} of {stream.frames} packets are there. {_CURE}')


def _check_frame(path: Path, number: int, frame: VideoFrame, first: VideoFrame) -> None:
    if frame.is_corrupt:
        raise ClipError(f'"{path}" is damaged: frame {number} cannot be decoded. {_CURE}')
    if (frame.width, frame.height) != (first.width, first.height):
        raise ClipError(
            f'"{path}" changes its size at frame {number}, from {first.width}x{first.height} to {frame.width}x{frame.height}; '
            f"wanted one size. {_CURE}"
        )


def _keys(times: Sequence[int | None], key_times: set[int]) -> tuple[tuple[int, int], ...]:
    """Where decoding can start, if every frame has a time stamp of its own and they ascend."""
    known = [time for time in times if time is not None]
    if len(known) < len(times) or any(after <= before for before, after in pairwise(known)):
        return ()
    return tuple((number, time) for number, time in enumerate(known) if number and time in key_times)


def _unreadable(path: Path, reason: Exception, after: int | None = None) -> str:
    text = getattr(reason, "strerror", None) or str(reason)
    where = "" if after is None else f" after frame {after}"
    return f'cannot read "{path}" as a video{where}: {text}. It is damaged, cut short or no video. {_CURE}'
