"""Point selector: every cell above a threshold."""

from __future__ import annotations

import numpy as np

from gazecut.arrays import Array, floating, like, to_numpy
from gazecut.values import HeatMaps, Points
from gazecut.values.check import check_shape
from gazecut_plugins.config import ThresholdOptions


def threshold_points(maps: Array, threshold: float) -> Array:
    """Centres of all cells whose value reaches the threshold (DecAF, section 3.3).

    Args:
        maps: (T, h, w) in [0, 1].
        threshold: Smallest value that counts.

    Returns:
        (P, 4) of the same kind, float64 from float64 maps and else float32: frame, x, y, value; x and y as fractions of
        width and height; row by row within a frame.

    Raises:
        ShapeError: `maps` has other than three axes.
    """
    check_shape("maps", maps, ("T", "h", "w"))
    values = to_numpy(maps)
    frame, row, column = np.nonzero(values >= threshold)
    height, width = values.shape[1:]
    rows = np.stack([frame, (column + 0.5) / width, (row + 0.5) / height, values[frame, row, column].astype(np.float64)], axis=1)
    return like(rows, floating(maps))


class ThresholdSelector:
    """Every cell at or above a threshold is a candidate of its own."""

    def __init__(self, config: ThresholdOptions) -> None:
        self._threshold = config.threshold

    def select(self, maps: HeatMaps) -> Points:
        """Points on maps (T, h, w) in [0, 1]; none where no cell reaches the threshold, and none on a flat map, which points nowhere."""
        values = maps.numpy()
        flat = values.max(axis=(1, 2), keepdims=True) == values.min(axis=(1, 2), keepdims=True)
        return Points.single_clicks(threshold_points(np.where(flat, 0, values), self._threshold))
