"""Fusion strategy: geometric mean of the video view and the frame view, cell by cell."""

from collections.abc import Sequence
from dataclasses import replace

from gazecut.arrays import floating, namespace, unit_range
from gazecut.resize import resize
from gazecut.values import HeatMaps, MapSet, Query, QueryMaps

from gazecut_template.config import GeometricMeanOptions

VIEWS = ("video", "frame")


class GeometricMeanFusion:
    """Copies each query into both views; a cell is high where the model looked in both of them."""

    def __init__(self, config: GeometricMeanOptions) -> None:
        """There is nothing to set."""

    def plan(self, queries: Sequence[Query]) -> Sequence[Query]:
        """Each query once per view."""
        return [replace(query, view=view) for query in queries for view in VIEWS]

    def fuse(self, maps: MapSet) -> MapSet:
        """One open map per role; the views as they came stay in `views`, each brought to [0, 1]."""
        views = maps.map_open(_unit)
        roles = dict.fromkeys(entry.query.role for entry in views.open)
        folded = tuple(_mean(views.with_role(role)) for role in roles)
        return MapSet(open=folded, views=(*maps.views, *views.open))


def _unit(entry: QueryMaps) -> HeatMaps:
    """The maps in [0, 1]: frames of a video share one scale, single frames do not."""
    axes = (1, 2) if entry.query.view == "frame" else None
    return replace(entry.maps, values=unit_range(floating(entry.maps.values), axes))


def _mean(views: Sequence[QueryMaps]) -> QueryMaps:
    """One map per frame from maps (T', h', w') of each view, on the finest grid of them."""
    maps = [view.maps for view in views]
    slots, rows, columns = zip(*(each.values.shape for each in maps), strict=True)
    frames = min(count * each.frames_per_slot for count, each in zip(slots, maps, strict=True))
    size = (max(rows), max(columns))
    xp = namespace(maps[0].values)
    stacked = xp.stack([resize(each.per_frame(frames).values, size) for each in maps])
    mean = xp.prod(stacked, axis=0) ** (1 / len(maps))
    return QueryMaps(replace(views[0].query, view="fused"), HeatMaps(mean))
