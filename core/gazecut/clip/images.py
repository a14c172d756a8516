"""Clips of image files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from gazecut.clip.array import NOMINAL_FPS
from gazecut.clip.indices import checked_indices
from gazecut.errors import ClipError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})

_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_FROM_CAMERAS = ("JPEG", "MPO", "TIFF", "WEBP")  # PNG may hold EXIF behind its pixels: asking for it would decode them
_WIDE_TO_BYTE = 257  # 65535 / 255


class ImagesClip:
    """Image files as frames; only headers are read until a frame is taken.

    Attributes:
        name: What to call it in messages and file names.
        length: Number of frames, at least 1.
        fps: Nominal frames per second; images do not say.
        size: (H, W) in pixels, upright.
    """

    def __init__(self, paths: Sequence[Path], name: str, fps: float = NOMINAL_FPS) -> None:
        """Read the headers.

        Args:
            paths: One image per frame, in order; at least one.
            name: What to call the clip.
            fps: Frames per second.

        Raises:
            ClipError: A file is no image, or the sizes differ.
        """
        self._paths = tuple(paths)
        self.name = name
        self.length = len(self._paths)
        self.fps = fps
        self.size = _upright_size(self._paths[0])
        for path in self._paths[1:]:
            size = _upright_size(path)
            if size != self.size:
                raise ClipError(
                    f'images of clip "{name}" differ in size: {self._paths[0].name} is {_written(self.size)}, '
                    f"{path.name} is {_written(size)}; wanted one size. Bring them to one, or put them into folders of their own."
                )

    @classmethod
    def of_folder(cls, folder: Path) -> ImagesClip:
        """The images of a folder in natural order ("2.png" before "10.png"); hidden and other files are passed over.

        Raises:
            ClipError: The folder has no images, a file is no image, or the sizes differ.
        """
        files = [entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith(".")]
        images = sorted((file for file in files if file.suffix.lower() in IMAGE_SUFFIXES), key=_natural)
        if not images:
            raise ClipError(
                f'folder "{folder}" has no images ({len(files)} other files); '
                f"wanted files that end in {', '.join(sorted(IMAGE_SUFFIXES))}. "
                "Give the folder that holds the frames themselves, or a video file."
            )
        return cls(images, name=folder.resolve().name or "frames")

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 RGB, all or those at ascending indices; each file is read when its frame is taken.

        Raises:
            ClipError: An index is out of range or not ascending, or a file cannot be decoded.
        """
        wanted = checked_indices(self.name, self.length, indices)
        return (_read(self._paths[index]) for index in wanted)


def _natural(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Digits compare as numbers and stand before words; the name itself settles ties such as 1.png and 01.png."""
    parts = [part for part in re.split(r"(\d+)", path.stem.lower()) if part]
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], path.name


def _upright_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            width, height = image.size
            sideways = image.format in _FROM_CAMERAS and image.getexif().get(_EXIF_ORIENTATION) in _SIDEWAYS
    except (OSError, Image.DecompressionBombError) as exc:
        raise ClipError(_unreadable(path, exc)) from exc
    return (width, height) if sideways else (height, width)


def _read(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image) if image.format in _FROM_CAMERAS else image
            if upright.mode.startswith("I"):  # 16 bits per pixel; Pillow would clip them at 255
                grey = (np.asarray(upright, np.float32) / _WIDE_TO_BYTE).round().clip(0, 255).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=2)
            return np.array(upright.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as exc:
        raise ClipError(_unreadable(path, exc)) from exc


def _unreadable(path: Path, reason: Exception) -> str:
    text = str(reason).rstrip(".") or type(reason).__name__
    return f'cannot read the image "{path}": {text}; it is damaged, cut short or no image. Replace or remove it.'


def _written(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
