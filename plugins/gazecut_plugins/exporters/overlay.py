"""The clip with its objects tinted and outlined, as a video that plays anywhere.

Each stretch becomes a video of its own, with an encoder of its own, so that nothing has to be kept open between stretches and each
can be played at once. At the end their packets are copied behind each other.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from PIL import Image, ImageDraw

from gazecut.errors import OutputError
from gazecut.pictures.frames import with_objects
from gazecut.pictures.painting import resized
from gazecut.pictures.palette import FAINT, NIGHT, PAPER, object_colour, readable_on
from gazecut.result import FoundObject, Result
from gazecut.stretch import Stretch
from gazecut_plugins.exporters.config import OverlayOptions
from gazecut_plugins.exporters.lettering import Lettering

_PARTS = "overlay"  # folder of the stretches' videos
_LONGEST_SIDE = 4096  # px that enlarging keeps to; x264 takes 16384 at most
_THREADS = 1  # with more, the bytes depend on which of them is faster; painting takes longer than encoding anyway
_PLAIN = "cpu-independent=1"  # code for one processor alone gave other bytes in 1 of 50 runs: its macroblock tree reads what nobody set
_REORDERED = 2  # frames that x264 at most sends ahead of their turn; its preset "veryfast" has B-frames that others refer to
_SURE = 0.4  # part of the strip's width that the objects leave to the expression, however many they are
_SLOWEST = 32_767  # seconds per frame, nine hours: a few more and FFmpeg cannot write the file
_BT709 = 1  # FFmpeg's code of the colour space, its primaries and its transfer
_STUDIO_RANGE = 1


class OverlayExporter:
    """Writes `overlay.mp4` (H.264, yuv420p); one frame at a time, whatever the clip's length."""

    def __init__(self, config: OverlayOptions) -> None:
        """Take the options.

        Raises:
            OutputError: The font cannot be read.
        """
        self._config = config
        self._lettering = Lettering(config.font)

    def export_stretch(self, stretch: Stretch, folder: Path) -> None:
        """Paint and encode the frames of a stretch, into `overlay/` and the number of its first frame.

        Raises:
            OutputError: The encoder refuses.
            ClipError: A frame cannot be decoded.
        """
        size = self._picture_size(stretch.clip.size)
        legend = self._legend(stretch, size) if self._config.legend else np.zeros((0, size[1], 3), np.uint8)
        objects = sorted(stretch.objects, key=lambda found: (found.score, -found.id))  # the best on top
        (folder / _PARTS).mkdir(exist_ok=True)
        with _encoding(folder / _PARTS / f"{stretch.frames.start:08d}.mp4") as container:
            stream = self._stream(container, stretch.clip.fps, (size[0] + len(legend), size[1]))
            for place, frame in enumerate(stretch.images()):
                picture = np.concatenate([self._painted(resized(frame, size), objects, place), legend])
                container.mux(stream.encode(_video_frame(picture)))
            container.mux(stream.encode())

    def export(self, result: Result, folder: Path) -> None:
        """Copy what was encoded into one file.

        Raises:
            OutputError: The disk refuses.
        """
        rate = _rate(result.clip.fps)
        with _encoding(folder / "overlay.mp4") as container:
            stream: VideoStream | None = None
            for part in sorted((folder / _PARTS).iterdir()):
                with av.open(str(part)) as source:
                    stream = stream or container.add_stream_from_template(source.streams.video[0])
                    for packet in _placed(source.demux(video=0), int(part.stem), rate):
                        packet.stream = stream
                        container.mux(packet)
        shutil.rmtree(folder / _PARTS)

    def _picture_size(self, size: tuple[int, int]) -> tuple[int, int]:
        factor = max(1, min(-(-self._config.shortest_side // min(size)), _LONGEST_SIDE // max(size)))
        return size[0] * factor, size[1] * factor

    def _painted(self, image: np.ndarray, objects: Sequence[FoundObject], place: int) -> np.ndarray:
        thickness = max(2, round(min(image.shape[:2]) / 240))
        return with_objects(image, objects, place, thickness, (self._config.dim, self._config.opacity))

    def _stream(self, container: OutputContainer, fps: float, size: tuple[int, int]) -> VideoStream:
        """A video of pictures (height, width), ready to be encoded; the same for every stretch of a clip."""
        options = {"crf": str(self._config.quality), "preset": "veryfast", "x264-params": _PLAIN}
        stream = container.add_stream("libx264", rate=_rate(fps), options=options)
        stream.height, stream.width = _even(size[0]), _even(size[1])
        stream.pix_fmt = "yuv420p"
        stream.thread_count = _THREADS
        stream.colorspace = stream.color_primaries = stream.color_trc = _BT709
        stream.color_range = _STUDIO_RANGE
        return stream

    def _legend(self, stretch: Stretch, size: tuple[int, int]) -> np.ndarray:
        """A strip (h, W, 3) uint8: the expression on the left, the objects with their scores on the right.

        Its height follows from the expression alone, so that all stretches have pictures of one size.
        """
        text = max(13, round(min(size) / 26))
        words = stretch.expression or stretch.clip.name
        rows = 1 if self._lettering.width(words, text) <= _SURE * size[1] - 1.2 * text else 2
        objects, end = self._legend_of_objects(stretch.objects, size[1], text)
        lines = self._lettering.wrapped(words, text, end - 1.2 * text, lines=rows)
        step = round(1.4 * text)
        strip = Image.new("RGB", (size[1], text + step * rows), NIGHT)
        strip.paste(objects, (0, (strip.height - objects.height) // 2))
        top = (strip.height - step * len(lines)) / 2
        for number, line in enumerate(lines):
            self._lettering.write(ImageDraw.Draw(strip), (0.8 * text, top + step * (number + 0.5)), line, text, PAPER)
        return np.asarray(strip)

    def _legend_of_objects(self, objects: Sequence[FoundObject], width: int, text: int) -> tuple[Image.Image, float]:
        """One line with the objects, the best of them in order where not all fit into half of it, and where it begins."""
        strip = Image.new("RGB", (width, 2 * text), NIGHT)
        draw, middle, end = ImageDraw.Draw(strip), float(text), width - 0.8 * text
        shown = self._fitting(objects, end - 0.5 * width, text)
        if not objects:
            end = self._write_left_of(draw, end, middle, "nothing found", text)
        if len(shown) < len(objects):
            end = self._write_left_of(draw, end, middle, f"{len(objects) - len(shown)} more", text)
        for found in reversed(shown):
            end = self._write_left_of(draw, end, middle, f"{found.score:.2f}", text)
            box = (end - 1.1 * text, middle - 0.65 * text, end + 0.2 * text, middle + 0.65 * text)
            colour = object_colour(found.id)
            draw.rounded_rectangle(box, radius=0.3 * text, fill=colour)
            if len(objects) > 1:
                self._lettering.write(draw, ((box[0] + box[2]) / 2, middle), str(found.id), round(0.85 * text), readable_on(colour), "mm")
            end = box[0] - 0.8 * text
        return strip, end

    def _fitting(self, objects: Sequence[FoundObject], room: float, text: int) -> list[FoundObject]:
        """The best objects until so many pixels are filled, by id; the last may take more than is left."""
        count = 0
        ranked = sorted(objects, key=lambda found: (-found.score, found.id))
        while count < len(ranked) and room >= 0:
            room -= self._lettering.width(f"{ranked[count].score:.2f}", text) + 2.4 * text  # score, box and gaps
            count += 1
        return sorted(ranked[:count], key=lambda found: found.id)

    def _write_left_of(self, draw: ImageDraw.ImageDraw, end: float, middle: float, words: str, text: int) -> float:
        """Write words that end at a place; where the next thing to their left may end."""
        self._lettering.write(draw, (end, middle), words, text, FAINT, "rm")
        return end - self._lettering.width(words, text) - 0.5 * text


@contextmanager
def _encoding(file: Path) -> Iterator[OutputContainer]:
    """A file to encode into.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        with av.open(str(file), "w", options={"movflags": "+faststart"}) as container:
            yield container
    except av.FFmpegError as exc:
        raise OutputError(f"overlay.mp4: the encoder stopped: {exc}; make room, or leave exporter `overlay` out.") from exc


def _placed(packets: Iterable[Packet[VideoStream]], first: int, rate: Fraction) -> Iterator[Packet[VideoStream]]:
    """Packets of a video that begins with frame `first` of a longer one, with the time stamps that they have in that."""
    number = first
    for packet in packets:
        if packet.pts is not None:  # the last is empty
            packet.pts = first + round(packet.pts * packet.time_base * rate)
            packet.dts, packet.duration, packet.time_base = number - _REORDERED, 1, 1 / rate
            yield packet
            number += 1


def _rate(fps: float) -> Fraction:
    """Frames per second, or seconds per frame where those are more, as a small fraction: encoders want one."""
    return Fraction(fps).limit_denominator(1001) if fps >= 1 else 1 / Fraction(min(1 / fps, _SLOWEST)).limit_denominator(1001)


def _even(length: int) -> int:
    return length + length % 2


def _video_frame(picture: np.ndarray) -> av.VideoFrame:
    """A picture as the encoder wants it; an odd last row or column is doubled, because yuv420p halves both."""
    height, width = picture.shape[:2]
    even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(even, format="rgb24")
    return frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
