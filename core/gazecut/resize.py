"""Bilinear resizing of maps, on whatever array kind and device they live.

Pixel centres lie at half-integers and edges are clamped, so the numbers are those of `torch.nn.functional.interpolate`
with `align_corners=False` and no antialiasing, which is how DecAF's code brings its maps to another size.
"""

from __future__ import annotations

import numpy as np

from gazecut.arrays import Array, floating, like
from gazecut.errors import ShapeError


def resize(maps: Array, size: tuple[int, int]) -> Array:
    """Maps at another size, interpolated bilinearly.

    Interpolation is linear in each axis, so it is one small matrix per axis: rows @ map @ columns^T.

    Args:
        maps: (..., h, w), for example (T, h, w); a stack is resized as a whole, so pass few maps when H and W are large.
        size: (H, W) wanted, each at least 1.

    Returns:
        (..., H, W) of the same kind and on the same device; float64 stays, else float32.

    Raises:
        ShapeError: The maps have no cells, or the size no pixels.
    """
    values = floating(maps)
    if values.ndim < 2 or min(*values.shape[-2:], *size) < 1:
        shape = tuple(values.shape)
        raise ShapeError(f"cannot resize maps of shape {shape} to {tuple(size)}; wanted (..., h, w) and (H, W), each at least 1.")
    rows, columns = (like(axis_weights(int(cells), int(pixels)), values) for cells, pixels in zip(values.shape[-2:], size, strict=True))
    return rows @ values @ columns.T


def axis_weights(cells: int, pixels: int) -> np.ndarray:
    """Share of each cell in each pixel along one axis.

    Args:
        cells: Length of the axis before.
        pixels: Length of the axis after.

    Returns:
        (pixels, cells) float64; every row sums to 1 and has at most two entries above 0.
    """
    centre = np.clip((np.arange(pixels) + 0.5) * (cells / pixels) - 0.5, 0, cells - 1)
    low = np.minimum(centre.astype(np.int64), max(cells - 2, 0))
    weights = np.zeros((pixels, cells))
    weights[np.arange(pixels), low] = 1 - (centre - low)
    weights[np.arange(pixels), np.minimum(low + 1, cells - 1)] += centre - low
    return weights
