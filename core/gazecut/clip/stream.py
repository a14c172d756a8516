"""Video streams opened with care: no network, no text painted as video, no frames beyond all measure; and their pixels."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.buffer import Buffer
from av.codec import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from gazecut.clip.pixels import LARGEST_FRAME, Turn, check_frame_size, over_black
from gazecut.errors import ClipError

CURE = "Check that it plays; if it does, write it anew: ffmpeg -i IN OUT.mp4"

_OPTIONS = {
    "protocol_whitelist": "file",  # a playlist must not fetch anything
    "max_pixels": str(LARGEST_FRAME),  # headers inside the stream may promise more than the container
}
_TEXT_FORMATS = frozenset({"tty"})  # FFmpeg paints text files as video
_MOST_THREADS = 16  # as FFmpeg itself
_AHEAD = 2**28  # bytes; each thread decodes a frame of its own ahead of the one that is wanted
_COVERS = Disposition.attached_pic | Disposition.timed_thumbnails
_RESERVED_MATRIX, _UNKNOWN_MATRIX = 3, 2  # of ITU-T H.273
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders leave out the alpha of WebM
_PALETTE = "pal8"  # its colours have alpha, though no component of its own


def open_stream(path: Path) -> tuple[InputContainer, VideoStream, VideoCodecContext]:
    """The file, its first moving picture (covers of songs do not move), and a decoder for that on all cores.

    Raises:
        ClipError: It is no video, has no video stream, or one whose frames are too large.
    """
    try:
        container = av.open(f"file:{path}", options=_OPTIONS)  # else FFmpeg takes "16:9.mp4" for a protocol
    except (av.FFmpegError, OSError, ValueError) as exc:
        raise ClipError(unreadable(path, exc)) from exc
    return (container, *moving_picture(container, path))


def moving_picture(container: InputContainer, path: Path) -> tuple[VideoStream, VideoCodecContext]:
    """The first moving picture of a container, and a decoder for it; where there is none, the container is closed.

    Raises:
        ClipError: It has no video stream, or one whose frames are too large.
    """
    moving = [stream for stream in container.streams.video if not stream.disposition & _COVERS]
    if moving and container.format.name not in _TEXT_FORMATS:
        try:
            return moving[0], _decoder(path, moving[0])
        except ClipError:
            container.close()
            raise
    found = "text" if moving else " and ".join(sorted({stream.type for stream in container.streams})) or "no streams"
    container.close()
    raise ClipError(f'"{path}" holds no video, found {found}; wanted a video file or a folder of images.')


def _decoder(path: Path, stream: VideoStream) -> VideoCodecContext:
    context = stream.codec_context
    if context is None:
        raise ClipError(f'"{path}" is coded in a way that this build of FFmpeg cannot decode. {CURE}')
    check_frame_size(path, context.width, context.height)
    frame_bytes = max(1, context.width * context.height * 3)
    if stream.metadata.get("alpha_mode") == "1" and context.name in _WITH_ALPHA:
        context = cast(VideoCodecContext, CodecContext.create(_WITH_ALPHA[context.name], "r"))
    context.options = {"max_pixels": str(LARGEST_FRAME)}
    context.thread_count = max(1, min(_MOST_THREADS, os.cpu_count() or 1, _AHEAD // frame_bytes))
    context.thread_type = "AUTO"
    return context


def packets(container: InputContainer, *streams: VideoStream) -> Iterator[Packet[Stream]]:
    """Packets of the streams, or of all, to the end; the last of each stream is empty and flushes its decoder."""
    try:
        yield from container.demux(*streams)
    except IndexError:
        # PyAV flushes the streams by number, and stumbles over one that appeared on the way: those it knows came before
        return


def display_turn(frame: VideoFrame) -> Turn:
    """How a frame is to be turned and mirrored, as its file says; angles between are taken to the nearest quarter."""
    matrix = cast("Mapping[str, Buffer]", frame.side_data).get("DISPLAYMATRIX")
    return Turn() if matrix is None else Turn.of_display_matrix(np.frombuffer(bytes(matrix), np.int32)[:6].tolist())


def to_rgb(frame: VideoFrame) -> np.ndarray:
    """Pixels (H, W, 3) uint8 RGB as stored, colours by the matrix and range that the stream names.

    Without a name it is BT.601 in limited range, as FFmpeg and OpenCV have it. Deep colours are rounded, not tone-mapped; both
    fields of an interlaced frame stay woven; grey is full range.

    Raises:
        av.FFmpegError: Its colours are of a kind that cannot be converted.
    """
    if frame.colorspace == _RESERVED_MATRIX:
        frame.colorspace = _UNKNOWN_MATRIX
    if frame.format.name == _PALETTE or any(component.is_alpha for component in frame.format.components):
        return over_black(frame.to_ndarray(format="rgba"))
    return frame.to_ndarray(format="rgb24")


def digest(frame: VideoFrame) -> int:
    """CRC-32 of a frame's first component (luma, or red with whatever is packed beside it): enough to know the frame again."""
    form, first = frame.format, frame.format.components[0]
    packed = all(component.plane == first.plane for component in form.components)
    bits = form.padded_bits_per_pixel if packed else -(-first.bits // 8) * 8
    plane = frame.planes[first.plane]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, abs(plane.line_size))
    return zlib.crc32(np.ascontiguousarray(rows[:, : frame.width * bits // 8]).data)  # beyond are bytes that nobody set


def unreadable(path: Path, reason: Exception, after: int | None = None) -> str:
    """Why a file cannot be read, and what to do."""
    text = getattr(reason, "strerror", None) or str(reason)
    where = "" if after is None else f" after frame {after}"
    return f'cannot read "{path}" as a video{where}: {text}. It is damaged, cut short or no video. {CURE}'
