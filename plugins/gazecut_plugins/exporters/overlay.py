"""The clip with its objects tinted and outlined, as a video that plays anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image, ImageDraw

from gazecut.errors import OutputError
from gazecut.pictures.frames import with_objects
from gazecut.pictures.painting import resized
from gazecut.pictures.palette import FAINT, NIGHT, PAPER, object_colour, readable_on
from gazecut.result import FoundObject, Result
from gazecut_plugins.exporters.config import OverlayOptions
from gazecut_plugins.exporters.lettering import Lettering

_LONGEST_SIDE = 4096  # px that enlarging keeps to; x264 takes 16384 at most
_THREADS = 2  # fixed: x264's result depends on their number
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

    def export(self, result: Result, folder: Path) -> None:
        """Paint and encode every frame of the clip.

        Raises:
            OutputError: The encoder refuses.
            ClipError: A frame cannot be decoded.
        """
        size = self._picture_size(result.clip.size)
        legend = self._legend(result, size) if self._config.legend else np.zeros((0, size[1], 3), np.uint8)
        objects = sorted(result.objects, key=lambda found: (found.score, -found.id))  # the best on top
        rate = Fraction(result.clip.fps).limit_denominator(1001)
        try:
            with av.open(str(folder / "overlay.mp4"), "w", options={"movflags": "+faststart"}) as container:
                stream = container.add_stream("libx264", rate=rate, options={"crf": str(self._config.quality), "preset": "veryfast"})
                stream.height, stream.width = _even(size[0] + len(legend)), _even(size[1])
                stream.pix_fmt = "yuv420p"
                stream.thread_count = _THREADS
                stream.colorspace = stream.color_primaries = stream.color_trc = _BT709
                stream.color_range = _STUDIO_RANGE
                for number, frame in enumerate(result.clip.frames()):
                    picture = np.concatenate([self._painted(resized(frame, size), objects, number), legend])
                    container.mux(stream.encode(_video_frame(picture)))
                container.mux(stream.encode())
        except av.FFmpegError as exc:
            raise OutputError(f"overlay.mp4: the encoder stopped: {exc}; make room, or leave exporter `overlay` out.") from exc

    def _picture_size(self, size: tuple[int, int]) -> tuple[int, int]:
        factor = max(1, min(-(-self._config.shortest_side // min(size)), _LONGEST_SIDE // max(size)))
        return size[0] * factor, size[1] * factor

    def _painted(self, image: np.ndarray, objects: Sequence[FoundObject], number: int) -> np.ndarray:
        thickness = max(2, round(min(image.shape[:2]) / 240))
        return with_objects(image, objects, number, thickness, (self._config.dim, self._config.opacity))

    def _legend(self, result: Result, size: tuple[int, int]) -> np.ndarray:
        """A strip (h, W, 3) uint8: the expression on the left, the objects with their scores on the right."""
        text = max(13, round(min(size) / 26))
        objects, end = self._legend_of_objects(result.objects, size[1], text)
        lines = self._lettering.wrapped(result.expression or result.clip.name, text, end - 1.2 * text, lines=2)
        step = round(1.4 * text)
        strip = Image.new("RGB", (size[1], text + step * max(1, len(lines))), NIGHT)
        strip.paste(objects, (0, (strip.height - objects.height) // 2))
        for number, line in enumerate(lines):
            self._lettering.write(ImageDraw.Draw(strip), (0.8 * text, text / 2 + step * (number + 0.5)), line, text, PAPER)
        return np.asarray(strip)

    def _legend_of_objects(self, objects: Sequence[FoundObject], width: int, text: int) -> tuple[Image.Image, float]:
        """One line with the objects from the right, as many as fit into half of it, and where it begins."""
        strip = Image.new("RGB", (width, 2 * text), NIGHT)
        draw, middle, end = ImageDraw.Draw(strip), float(text), width - 0.8 * text
        if not objects:
            end = self._write_left_of(draw, end, middle, "nothing found", text)
        for number, found in reversed(list(enumerate(objects))):
            if end < 0.5 * width:
                return strip, self._write_left_of(draw, end, middle, f"{number + 1} more", text)
            end = self._write_left_of(draw, end, middle, f"{found.score:.2f}", text)
            box = (end - 1.1 * text, middle - 0.65 * text, end + 0.2 * text, middle + 0.65 * text)
            colour = object_colour(found.id)
            draw.rounded_rectangle(box, radius=0.3 * text, fill=colour)
            if len(objects) > 1:
                self._lettering.write(draw, ((box[0] + box[2]) / 2, middle), str(found.id), round(0.85 * text), readable_on(colour), "mm")
            end = box[0] - 0.8 * text
        return strip, end

    def _write_left_of(self, draw: ImageDraw.ImageDraw, end: float, middle: float, words: str, text: int) -> float:
        """Write words that end at a place; where the next thing to their left may end."""
        self._lettering.write(draw, (end, middle), words, text, FAINT, "rm")
        return end - self._lettering.width(words, text) - 0.5 * text


def _even(length: int) -> int:
    return length + length % 2


def _video_frame(picture: np.ndarray) -> av.VideoFrame:
    """A picture as the encoder wants it; an odd last row or column is doubled, because yuv420p halves both."""
    height, width = picture.shape[:2]
    even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(even, format="rgb24")
    return frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
