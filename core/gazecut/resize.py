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


def area_average(maps: Array, size: tuple[int, int]) -> Array:
    """Maps at a smaller size: each cell is the mean of every pixel that it touches.

    The bins are those of `torch.nn.functional.adaptive_avg_pool2d`: cell i of n covers pixels floor(i * H / n) to
    ceil((i + 1) * H / n), so neighbouring cells share a pixel where H is no multiple of n.

    Args:
        maps: (..., H, W), for example masks (T, H, W).
        size: (h, w) wanted, at most (H, W).

    Returns:
        (..., h, w) of the same kind and on the same device; float64 stays, else float32.

    Raises:
        ShapeError: The size has no cells.
    """
    values = floating(maps)
    if values.ndim < 2 or min(*values.shape[-2:], *size) < 1:
        raise ShapeError(
            f"cannot average maps of shape {tuple(values.shape)} to {tuple(size)}; wanted (..., H, W) and (h, w), each at least 1."
        )
    rows, columns = (like(_bin_weights(int(pixels), int(cells)), values) for pixels, cells in zip(values.shape[-2:], size, strict=True))
    return rows @ values @ columns.T


def _bin_weights(pixels: int, cells: int) -> np.ndarray:
    """(cells, pixels) float64: the share of each pixel in each cell's mean."""
    weights = np.zeros((cells, pixels))
    for cell in range(cells):
        low, high = cell * pixels // cells, -(-(cell + 1) * pixels // cells)
        weights[cell, low:high] = 1 / (high - low)
    return weights
