"""Clips of image files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from gazecut.clip.array import NOMINAL_FPS
from gazecut.clip.indices import checked_indices
from gazecut.clip.stills import frame_count, guarded, open_image, upright_pixels, upright_size, written
from gazecut.errors import ClipError
from gazecut.wording import counted

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


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
            ClipError: A file is no image or holds several, or the sizes differ.
        """
        self._paths = tuple(paths)
        self.name = name
        self.length = len(self._paths)
        self.fps = fps
        self.size = _size(self._paths[0])
        for path in self._paths[1:]:
            size = _size(path)
            if size != self.size:
                raise ClipError(
                    f'images of clip "{name}" differ in size: {self._paths[0].name} is {written(self.size)}, '
                    f"{path.name} is {written(size)}; wanted one size. Bring them to one, or put them into folders of their own."
                )

    @classmethod
    def of_folder(cls, folder: Path) -> ImagesClip:
        """The images of a folder in natural order ("2.png" before "10.png").

        Numbers order the frames and no more: gaps between them stand for nothing. Hidden files, other files and folders are
        passed over.

        Raises:
            ClipError: The folder has no images, a file is no image, a link leads nowhere, or the sizes differ.
        """
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        named = [entry for entry in entries if entry.suffix.lower() in IMAGE_SUFFIXES]
        lost = next((entry for entry in named if entry.is_symlink() and not entry.exists()), None)
        if lost is not None:
            raise ClipError(f'the link "{lost}" leads nowhere, there is no "{lost.readlink()}"; mend or remove it.')
        images = sorted((entry for entry in named if entry.is_file()), key=_natural)
        if not images:
            raise ClipError(_without_images(folder, entries))
        return cls(images, name=folder.resolve().name or "frames")

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 RGB, all or those at ascending indices; each file is read when its frame is taken.

        Raises:
            ClipError: An index is out of range or not ascending, or a file cannot be decoded or changed its size.
        """
        wanted = checked_indices(self.name, self.length, indices)
        return (self._read(self._paths[index]) for index in wanted)

    def _read(self, path: Path) -> np.ndarray:
        with guarded(path), open_image(path) as image:
            pixels = upright_pixels(path, image)
        if pixels.shape[:2] != self.size:
            raise ClipError(
                f'the image "{path}" is {written(pixels.shape[:2])} now and was {written(self.size)} when the clip was opened; run again.'
            )
        return pixels


def _size(path: Path) -> tuple[int, int]:
    with guarded(path), open_image(path) as image:
        count = frame_count(image)
        if count > 1:
            raise ClipError(
                f'the image "{path}" holds {count} frames; among the images of a clip each must be one. Give it alone, as a clip.'
            )
        return upright_size(image)


def _natural(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Digits compare as numbers and stand before words; the name itself settles ties such as 1.png and 01.png."""
    parts = [part for part in re.split(r"(\d+)", path.stem.lower()) if part]
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], path.name


def _without_images(folder: Path, entries: Sequence[Path]) -> str:
    folders = sorted(entry.name for entry in entries if entry.is_dir())
    inside = f", {counted(len(folders), 'folder')} such as {folders[0]}" if folders else ""
    return (
        f'folder "{folder}" has no images ({counted(len(entries) - len(folders), "other file")}{inside}); '
        f"wanted files that end in {', '.join(sorted(IMAGE_SUFFIXES))}. "
        "Give the folder that holds the frames themselves, or a video file."
    )
