"""Image files opened with care: size checked before decoding, any failure as one kind of error."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from gazecut.clip.pixels import check_frame_size, image_to_rgb
from gazecut.errors import ClipError

_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_FROM_CAMERAS = ("JPEG", "MPO", "TIFF", "WEBP")  # PNG may hold EXIF behind its pixels: asking for it would decode them
_ANIMATED = ("GIF", "PNG", "TIFF", "WEBP")  # MPO holds one picture and its previews


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turns whatever goes wrong with an image within the block into a ClipError that names the file.

    Raises:
        ClipError: It is no image, damaged, too large or not to be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on size and damage: the first is checked here, the second ends in an error
            yield
    except ClipError:
        raise
    except PermissionError as exc:
        raise ClipError(f'cannot read the image "{path}": {exc.strerror}; check its permissions.') from exc
    except Image.DecompressionBombError as exc:
        raise ClipError(f'cannot read the image "{path}": it has more pixels than a frame may have. Reduce it first.') from exc
    except Exception as exc:
        # On damaged files decoders stumble over whatever comes first: struct.error, KeyError, zlib.error, ...
        text = str(exc).rstrip(".") or type(exc).__name__
        raise ClipError(f'cannot read the image "{path}": {text}; it is damaged, cut short or no image. Replace or remove it.') from exc


def open_image(path: Path) -> Image.Image:
    """An image whose header is read, to be closed; call it within `guarded`.

    Raises:
        ClipError: It is too large.
    """
    image = Image.open(path)
    try:
        check_frame_size(path, *image.size)
    except ClipError:
        image.close()
        raise
    return image


def frame_count(image: Image.Image) -> int:
    """Frames or pages of an image that is one of a kind that moves; 1 for any other."""
    return int(getattr(image, "n_frames", 1)) if image.format in _ANIMATED else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(H, W) as the camera was held, from the header alone."""
    width, height = image.size
    sideways = image.format in _FROM_CAMERAS and image.getexif().get(_EXIF_ORIENTATION) in _SIDEWAYS
    return (width, height) if sideways else (height, width)


def upright_pixels(path: Path, image: Image.Image) -> np.ndarray:
    """The image's current frame, (H, W, 3) uint8 RGB, as the camera was held.

    Raises:
        ClipError: Its numbers have no known range.
    """
    upright = ImageOps.exif_transpose(image) if image.format in _FROM_CAMERAS else image
    return image_to_rgb(path, upright, image.format)


def written(size: tuple[int, int]) -> str:
    """A size (H, W) as people write it, width first."""
    return f"{size[1]}x{size[0]}"
