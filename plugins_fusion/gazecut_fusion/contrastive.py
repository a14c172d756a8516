"""Contrastive fusion: what lights up for the object but not for the background (DecAF, section 3.2, equation 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gazecut.arrays import Array, floating, like, namespace, unit_range
from gazecut.errors import ShapeError
from gazecut.values import HeatMaps, MapSet, Query, QueryMaps
from gazecut.values.check import check_shape
from gazecut_fusion.config import ContrastiveOptions
from gazecut_fusion.scales import Scale, axes_of, scale_of


def contrast(object_maps: Array, background_maps: Array, *, kernel_size: int, sigma: float, normalize: Scale = "global") -> Array:
    """Smoothed object maps minus smoothed background maps, clamped to [0, 1], then min-max.

    Args:
        object_maps: (T, h, w), raw scores.
        background_maps: (T, h, w), raw scores.
        kernel_size: Side of the Gaussian kernel in cells, odd; 1 for no smoothing. Beyond the edge lies 0.
        sigma: Its standard deviation in cells.
        normalize: Min-max over all frames, or within each.

    Returns:
        (T, h, w) in [0, 1], of the same kind; a constant stretch becomes 0.

    Raises:
        ShapeError: The two differ in shape, or the kernel's side is even or below 1.
    """
    check_shape("object maps", object_maps, ("T", "h", "w"))
    check_shape("background maps", background_maps, tuple(object_maps.shape))
    raw = smooth(object_maps, kernel_size, sigma) - smooth(background_maps, kernel_size, sigma)
    return unit_range(namespace(raw).clip(raw, 0, 1), axes_of(normalize))


def smooth(maps: Array, kernel_size: int, sigma: float) -> Array:
    """Gaussian smoothing within each frame; a separable kernel, so one small band matrix per axis.

    Args:
        maps: (T, h, w).
        kernel_size: Side of the kernel in cells, odd; 1 for no smoothing. Beyond the edge lies 0, so border cells fade.
        sigma: Standard deviation in cells.

    Raises:
        ShapeError: The kernel's side is even or below 1.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ShapeError(f"kernel of side {kernel_size}; wanted an odd side of 1 or more.")
    values = floating(maps)
    rows, columns = (like(_band(int(cells), kernel_size, sigma), values) for cells in values.shape[1:])
    return rows @ values @ columns.T


def _band(cells: int, kernel_size: int, sigma: float) -> np.ndarray:
    """(cells, cells) float64: weight of each cell in each smoothed cell along one axis."""
    reach = kernel_size // 2
    distance = np.arange(cells)[:, None] - np.arange(cells)
    total = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2)).sum()
    return np.where(np.abs(distance) <= reach, np.exp(-(distance**2) / (2 * sigma**2)) / total, 0.0)


class ContrastiveFusion:
    """Asks for the background beside each object query, and subtracts it."""

    def __init__(self, config: ContrastiveOptions) -> None:
        self._config = config

    def plan(self, queries: Sequence[Query]) -> Sequence[Query]:
        """Each object query followed by its background query; those given alone where nothing is subtracted."""
        if not self._config.strength:
            return queries
        return [planned for query in queries for planned in (query, *self._background(query))]

    def fuse(self, maps: MapSet) -> MapSet:
        """Object maps less their view's background maps; the background entries are gone, unless it did not ask for them."""
        if not self._config.strength:
            return maps.map_open(lambda entry: self._contrasted(entry, None) if entry.query.role == "object" else entry.maps)
        background = {entry.query.view: entry.maps for entry in maps.with_role("background")}
        rest = tuple(entry for entry in maps.open if entry.query.role != "background")
        return replace(maps, open=rest).map_open(lambda entry: self._contrasted(entry, background.get(entry.query.view)))

    def _background(self, query: Query) -> tuple[Query, ...]:
        return (replace(query, role="background", prompt="background", steering=None),) if query.role == "object" else ()

    def _contrasted(self, entry: QueryMaps, background: HeatMaps | None) -> HeatMaps:
        view, values = entry.query.view, entry.maps.values
        subtracted = namespace(values).zeros_like(values) if background is None else self._config.strength * background.values
        kernel_size = self._config.kernel.frame if view == "frame" else self._config.kernel.video
        contrasted = contrast(values, subtracted, kernel_size=kernel_size, sigma=self._config.sigma, normalize=scale_of(view))
        return replace(entry.maps, values=contrasted)
