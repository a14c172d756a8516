"""Complementary fusion: the whole video at low resolution and each frame at high resolution (DecAF, section 3.2, equation 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gazecut.arrays import Array, floating, namespace, unit_range
from gazecut.resize import resize
from gazecut.values import HeatMaps, MapSet, Query, QueryMaps
from gazecut.values.check import check_shape
from gazecut_fusion.config import ComplementaryOptions
from gazecut_fusion.scales import axes_of, scale_of

FUSED = "fused"


def complement(video_maps: Array, frame_maps: Array) -> Array:
    """Mean of the two views on the frame view's grid, then min-max over everything.

    Where the video has fewer maps, each is repeated for the frames that it covers and the surplus of an odd number dropped.

    Args:
        video_maps: (T', h', w') in [0, 1].
        frame_maps: (T, h, w) in [0, 1].

    Returns:
        (T, h, w) in [0, 1], of the same kind.

    Raises:
        ShapeError: Other than three axes.
    """
    check_shape("video maps", video_maps, ("T", "h", "w"))
    check_shape("frame maps", frame_maps, ("T", "h", "w"))
    frames = frame_maps.shape[0]
    per_slot = -(-frames // video_maps.shape[0])
    repeated = namespace(video_maps).repeat(floating(video_maps), per_slot, axis=0)[:frames]
    return unit_range((resize(repeated, tuple(frame_maps.shape[1:])) + floating(frame_maps)) / 2)


class ComplementaryFusion:
    """Copies each query into the views, and folds the views into one map."""

    def __init__(self, config: ComplementaryOptions) -> None:
        self._config = config

    def plan(self, queries: Sequence[Query]) -> Sequence[Query]:
        """Each query once per view, views in the recipe's order."""
        return [replace(query, view=view) for query in queries for view in self._config.views]

    def fuse(self, maps: MapSet) -> MapSet:
        """One open map per role; the views as they came stay in `views`, each brought to [0, 1]."""
        normalized = maps.map_open(_unit)
        roles = dict.fromkeys(entry.query.role for entry in normalized.open)
        folded = tuple(self._folded(normalized.with_role(role)) for role in roles)
        return MapSet(open=folded, views=(*maps.views, *normalized.open))

    def _folded(self, entries: Sequence[QueryMaps]) -> QueryMaps:
        by_view = {entry.query.view: entry for entry in entries}
        if len(by_view) == 1 or self._config.fold in by_view:
            return by_view.get(self._config.fold, entries[0])
        video, frame = by_view["video"], by_view["frame"]
        return QueryMaps(replace(frame.query, view=FUSED), HeatMaps(complement(video.maps.values, frame.maps.values)))


def _unit(entry: QueryMaps) -> HeatMaps:
    """The maps in [0, 1]; contrasted maps are so already."""
    return replace(entry.maps, values=unit_range(floating(entry.maps.values), axes_of(scale_of(entry.query.view))))
