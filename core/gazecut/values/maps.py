"""Heat maps: where the model looked, on the grid of its visual tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gazecut.arrays import Array, floating, namespace, to_numpy
from gazecut.errors import ShapeError
from gazecut.values.check import check_shape
from gazecut.values.questions import Query


@dataclass(frozen=True)
class GridLayout:
    """Which frame and which pixels each visual token of a view covers.

    Attributes:
        slots: Temporal slots T' (for "frame": sampled frames T).
        rows: Cells h from top to bottom.
        columns: Cells w from left to right.
        frames_per_slot: Sampled frames that one slot covers (2 where the vision tower merges pairs).
    """

    slots: int
    rows: int
    columns: int
    frames_per_slot: int = 1

    def fold(self, tokens: Array) -> Array:
        """Token scores (T' * h * w,), slot by slot and row by row, as (T', h, w).

        Raises:
            ShapeError: Another number of tokens.
        """
        check_shape("token scores", tokens, (self.slots * self.rows * self.columns,))
        return tokens.reshape((self.slots, self.rows, self.columns))


@dataclass(frozen=True, eq=False)
class HeatMaps:
    """One map per temporal slot.

    Attributes:
        values: (T', h, w) floating, larger where the model looked more; in [0, 1] once fused.
        frames_per_slot: Sampled frames that one map covers.

    Raises:
        ShapeError: `values` has other than three axes, or `frames_per_slot` is below 1.
    """

    values: Array
    frames_per_slot: int = 1

    def __post_init__(self) -> None:
        check_shape("heat maps", self.values, ("T", "h", "w"))
        if self.frames_per_slot < 1:
            raise ShapeError(f"heat maps: frames_per_slot is {self.frames_per_slot}; wanted 1 or more.")

    def per_frame(self, frames: int) -> HeatMaps:
        """The same maps with one per sampled frame: slots repeated, the surplus of an odd number dropped.

        Raises:
            ShapeError: The slots do not cover that many frames.
        """
        slots = self.values.shape[0]
        if -(-frames // self.frames_per_slot) != slots:
            raise ShapeError(f"{slots} maps of {self.frames_per_slot} frames each do not cover {frames} frames.")
        repeated = namespace(self.values).repeat(self.values, self.frames_per_slot, axis=0)
        return HeatMaps(repeated[:frames])

    def numpy(self) -> np.ndarray:
        """The values in host memory, (T', h, w), float32 or float64."""
        return to_numpy(floating(self.values))


@dataclass(frozen=True, eq=False)
class QueryMaps:
    """Heat maps with the query that they answer."""

    query: Query
    maps: HeatMaps


@dataclass(frozen=True, eq=False)
class MapSet:
    """The maps of one expression on their way through fusion.

    Attributes:
        open: Maps that wait to be folded, in the order of the plan; one at the end.
        views: Per-view maps as they were when the views were folded together; for evidence and for scorers.
    """

    open: tuple[QueryMaps, ...]
    views: tuple[QueryMaps, ...] = ()

    def with_role(self, role: str) -> tuple[QueryMaps, ...]:
        """The open maps whose query has that role."""
        return tuple(entry for entry in self.open if entry.query.role == role)

    def map_open(self, change: Callable[[QueryMaps], HeatMaps]) -> MapSet:
        """The same set with every open entry's maps changed."""
        return replace(self, open=tuple(replace(entry, maps=change(entry)) for entry in self.open))

    def view(self, name: str) -> HeatMaps | None:
        """The object maps of a view, or None where that view was not asked."""
        for entry in (*self.views, *self.open):
            if entry.query.view == name and entry.query.role == "object":
                return entry.maps
        return None

    @property
    def fused(self) -> HeatMaps:
        """The one open map.

        Raises:
            ShapeError: Several are open still: a strategy opened an axis and did not fold it.
        """
        if len(self.open) != 1:
            names = ", ".join(f"{entry.query.role} on {entry.query.view}" for entry in self.open) or "none"
            raise ShapeError(f"fusion left {len(self.open)} maps ({names}); wanted one: a strategy must fold what it opens.")
        return self.open[0].maps
