"""From what a file holds to frames (H, W, 3) uint8 RGB, by the same rules for images and videos.

Transparent pixels lie over black, as players show them. Sizes are those of the stored pixels: a pixel aspect ratio other than 1
is not stretched, so that masks fit the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from PIL import Image

from gazecut.errors import ClipError

LARGEST_FRAME = 2**26
"""Pixels of the largest frame that is read (8192 x 8192, twice 8K video): a header that promises more is an accident or an attack."""

_WIDE_TO_BYTE = 257  # 65535 / 255
_SIXTEEN_BITS_AS_I = ("PNG", "PPM")  # elsewhere mode "I" is 32 bits without a known range


def check_frame_size(path: Path, width: int, height: int) -> None:
    """Refuse frames that are too large to work with, before memory is asked for them.

    Raises:
        ClipError: More than `LARGEST_FRAME` pixels.
    """
    if width * height > LARGEST_FRAME:
        raise ClipError(
            f'"{path}" has frames of {width}x{height}, {width * height / 1e6:.0f} million pixels; '
            f"allowed are {LARGEST_FRAME / 1e6:.0f} million. Reduce it first: ffmpeg -i IN -vf scale=3840:-2 OUT.mp4"
        )


@dataclass(frozen=True)
class Turn:
    """How stored pixels become upright ones: first swap rows and columns, then mirror.

    Attributes:
        transpose: Swap rows and columns.
        mirror_x: Mirror left and right, after that.
        mirror_y: Mirror top and bottom, after that.
    """

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def of_display_matrix(cls, matrix: Sequence[int]) -> Self:
        """The nearest of the eight turns to a display matrix ((a, b, u), (c, d, v), (x, y, w)): (x, y) -> (ax + cy, bx + dy)."""
        a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(H, W) of the upright frame."""
        return (width, height) if self.transpose else (height, width)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The upright frame (H, W, 3), contiguous."""
        upright = cv2.transpose(image) if self.transpose else image
        if self.mirror_x or self.mirror_y:
            upright = cv2.flip(upright, -1 if self.mirror_x and self.mirror_y else int(self.mirror_x))
        return np.ascontiguousarray(upright)


def over_black(rgba: np.ndarray) -> np.ndarray:
    """Pixels (H, W, 4) uint8 with straight alpha, as (H, W, 3) over black."""
    alpha = cv2.cvtColor(np.ascontiguousarray(rgba[..., 3]), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.multiply(np.ascontiguousarray(rgba[..., :3]), alpha, scale=1 / 255))


def image_to_rgb(path: Path, image: Image.Image, kind: str | None) -> np.ndarray:
    """The pixels of an image as (H, W, 3) uint8 RGB.

    Args:
        path: Its file, for messages.
        image: The image.
        kind: Its file's format, as Pillow calls it.

    Raises:
        ClipError: Its numbers have no known range.
    """
    mode = image.mode
    if mode == "F" or (mode == "I" and kind not in _SIXTEEN_BITS_AS_I):
        kept = "floating-point numbers" if mode == "F" else "32-bit integers"
        raise ClipError(
            f'the image "{path}" holds {kept}, and nothing says which of them is white; '
            "wanted 8 or 16 bits per channel. Scale and save it anew."
        )
    if mode.startswith("I"):  # 16 bits per pixel; Pillow would clip them at 255
        grey = (np.asarray(image, np.float32) / _WIDE_TO_BYTE).round().clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        return over_black(np.asarray(image.convert("RGBA")))
    return np.array(image.convert("RGB"))
