"""Clips of one image file that moves: GIF, WebP, APNG, or the pages of a TIFF."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from gazecut.clip.array import NOMINAL_FPS
from gazecut.clip.images import ImagesClip
from gazecut.clip.indices import checked_indices
from gazecut.clip.stills import frame_count, guarded, open_image, upright_pixels, upright_size, written
from gazecut.errors import ClipError

ANIMATED_SUFFIXES = frozenset({".gif", ".apng"})
"""Images that count as a clip when given alone, but not among the frames of a folder."""

_HURRIED = 10  # ms; browsers show frames that ask for no more than this ...
_UNHURRIED = 100  # ... for this long


def open_image_file(path: Path) -> ImagesClip | AnimationClip:
    """The clip of one image file: a single frame, or all of one that moves.

    Raises:
        ClipError: It is no image, damaged, or its frames differ in size.
    """
    with guarded(path), open_image(path) as image:
        still = frame_count(image) == 1
    return ImagesClip([path], name=path.name) if still else AnimationClip(path)


class AnimationClip:
    """Frames of one file, decoded as they are taken and never held.

    Attributes:
        name: The file's name.
        length: Number of frames that really decode, at least 1.
        fps: Mean frames per second; nominal for pages, which have no times.
        size: (H, W) in pixels.
        times: (T,) float64, seconds from the first frame to each.
    """

    def __init__(self, path: Path) -> None:
        """Decode once, to find damage and the time of each frame.

        Raises:
            ClipError: It is no image, damaged, or its frames differ in size.
        """
        self._path = path
        self.name = path.name
        with guarded(path), open_image(path) as image:
            self._numbers = _frames_shown(image)
            self.size = upright_size(image)
        self.length = len(self._numbers)
        spans: list[float] = []
        for span, _ in self._decoded(range(self.length)):
            spans.append(span)
        self.fps = self.length / sum(spans)
        self.times = np.concatenate([[0.0], np.cumsum(spans[:-1])])

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 RGB, all or those at ascending indices, decoded as they are taken.

        Raises:
            ClipError: An index is out of range or not ascending, or the file changed since it was opened.
        """
        wanted = checked_indices(self.name, self.length, indices)
        return (pixels for _, pixels in self._decoded(wanted))

    def _decoded(self, wanted: Sequence[int]) -> Iterator[tuple[float, np.ndarray]]:
        """Seconds on show and pixels of frames."""
        with guarded(self._path):
            image = open_image(self._path)
        with image:
            for index in wanted:
                with guarded(self._path):
                    image.seek(self._numbers[index])
                    pixels = upright_pixels(self._path, image)
                if pixels.shape[:2] != self.size:
                    raise ClipError(
                        f'"{self._path}" changes its size at frame {index}, from {written(self.size)} to {written(pixels.shape[:2])}; '
                        "wanted one size. Save the frames as images of one size, or as a video."
                    )
                yield _seconds(image), pixels


def _frames_shown(image: Image.Image) -> range:
    """Frames that belong to the animation; an APNG may begin with a picture for those who cannot play it."""
    count = frame_count(image)
    return range(1 if count > 1 and getattr(image, "default_image", False) else 0, count)


def _seconds(image: Image.Image) -> float:
    if image.format == "TIFF":
        return 1 / NOMINAL_FPS
    asked = float(image.info.get("duration") or 0)
    return (asked if asked > _HURRIED else _UNHURRIED) / 1000
