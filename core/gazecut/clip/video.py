"""Clips of video files, frame-exact.

Passes jump to the last key frame before a wanted frame, and check by time stamp and
pixels that they are where they should be.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

from gazecut.clip.indices import checked_indices
from gazecut.clip.scan import VideoIndex, scan
from gazecut.clip.stream import digest, open_stream, packets, to_rgb
from gazecut.errors import ClipError


class VideoClip:
    """A video file, decoded as frames are taken and never held.

    Frames are as they are stored, set upright: a pixel aspect ratio other than 1 is not stretched, the fields of interlaced
    video stay woven, transparent pixels lie over black.

    Attributes:
        name: The file's name.
        length: Number of frames that really decode, at least 1.
        fps: Mean frames per second.
        size: (H, W) in pixels, upright.
        times: (T,) float64, seconds from the first frame to each.
    """

    def __init__(self, path: Path) -> None:
        """Decode once to count the frames.

        Raises:
            ClipError: It is no video, has no video stream, is damaged or cut short, has no frames, or changes its size.
        """
        self._path = path
        self._index = scan(path)
        self.name = path.name
        self.times = self._index.times
        self.length = len(self.times)
        self.fps = self._index.fps
        self.size = self._index.turn.size(*self._index.shape)

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 RGB, all or those at ascending indices, decoded as they are taken, each at most once.

        Raises:
            ClipError: An index is out of range or not ascending, or the file changed since it was opened.
        """
        return self._decode(checked_indices(self.name, self.length, indices))

    def _decode(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        with closing(_Reader(self._path, self._index)) as reader:
            for number in wanted:
                yield self._index.turn.apply(to_rgb(reader.read(number)))


class _Reader:
    """Walks forward through a video and jumps over what nobody wants."""

    def __init__(self, path: Path, index: VideoIndex) -> None:
        self._path = path
        self._index = index
        self._keys = index.keys
        self._start()

    def read(self, number: int) -> VideoFrame:
        """The frame of that number, which must lie ahead.

        Raises:
            ClipError: It is not there any more, or another one is.
        """
        try:
            self._approach(number)
            frame = self._walk(number)
            if not self._known(number, frame) and self._jumped:
                self._restart()
                frame = self._walk(number)
        except (StopIteration, av.FFmpegError, OSError) as exc:
            raise ClipError(self._changed(number)) from exc
        if not self._known(number, frame):
            raise ClipError(self._changed(number))
        return frame

    def close(self) -> None:
        self._container.close()

    def _start(self) -> None:
        self._container, self._stream, self._decoder = open_stream(self._path)
        self._frames = self._decoded()
        self._next = 0
        self._jumped = False

    def _decoded(self) -> Iterator[VideoFrame]:
        for packet in packets(self._container, self._stream):
            yield from self._decoder.decode(packet)

    def _restart(self) -> None:
        """From the first frame on without jumps: the container calls frames key frames that are none, or damage spreads."""
        self.close()
        self._keys = ()
        self._start()

    def _walk(self, number: int) -> VideoFrame:
        frame = self._take()
        while self._next <= number:
            frame = self._take()
        return frame

    def _take(self) -> VideoFrame:
        self._next += 1
        return next(self._frames)

    def _known(self, number: int, frame: VideoFrame) -> bool:
        return (frame.height, frame.width) == self._index.shape and digest(frame) == self._index.digests[number]

    def _changed(self, number: int) -> str:
        return f'cannot decode frame {number} of "{self._path}" any more; the file changed since it was opened. Run again.'

    def _approach(self, number: int) -> None:
        """Jump to the last key frame before a number if it lies ahead; from the start again if the container misses it."""
        before = bisect_right(self._keys, number, key=lambda entry: entry[0])
        if before == 0 or self._keys[before - 1][0] <= self._next:
            return
        key, stamp = self._keys[before - 1]
        frames = self._landed(stamp)
        if frames is None:
            self._restart()
        else:
            self._frames, self._next, self._jumped = frames, key, True

    def _landed(self, stamp: int) -> Iterator[VideoFrame] | None:
        """Frames from a time stamp on; None where a seek does not lead to it."""
        try:
            self._container.seek(stamp, stream=self._stream)
            self._decoder.flush_buffers()
            frames = self._decoded()
            first = next((frame for frame in frames if frame.pts is not None and frame.pts >= stamp), None)
        except av.FFmpegError:
            return None
        return chain((first,), frames) if first is not None and first.pts == stamp else None
