"""What size a frame is shown at: the resizing rule of Qwen2-VL (arXiv 2409.12191, section 2.1), in tokens instead of pixels."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from gazecut.errors import ClipError

MIN_TOKENS = 4
LONGEST_ASPECT = 200  # the authors' own limit


def grid_size(size: tuple[int, int], cell: int, max_tokens: int) -> tuple[int, int]:
    """Rows and columns of visual tokens for a frame, its aspect kept as far as whole cells allow.

    Args:
        size: (H, W) of the original frame, in pixels.
        cell: Pixels along each side of a visual token.
        max_tokens: Most tokens of the grid.

    Raises:
        ClipError: The frame is too long for its width, or wide for its height.
    """
    height, width = size
    if max(size) > LONGEST_ASPECT * min(size):
        raise ClipError(f"frames are {width}x{height} px; the model takes an aspect of up to {LONGEST_ASPECT}:1. Crop the clip.")
    rows, columns = max(1, round(height / cell)), max(1, round(width / cell))
    if rows * columns > max_tokens:
        shrink = math.sqrt(height * width / (max_tokens * cell * cell))
        return max(1, math.floor(height / shrink / cell)), max(1, math.floor(width / shrink / cell))
    if rows * columns < MIN_TOKENS:
        grow = math.sqrt(MIN_TOKENS * cell * cell / (height * width))
        return math.ceil(height * grow / cell), math.ceil(width * grow / cell)
    return rows, columns


def resize(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Frames (T, H, W, 3) uint8 at another size (H, W), bicubic as PIL does it."""
    height, width = size
    if images.shape[1:3] == size:
        return images
    return np.stack([np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)) for image in images])
