"""Heat maps: where the model looked, on the grid of its visual tokens."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gazecut.arrays import Array, floating, namespace, to_numpy
from gazecut.errors import ShapeError
from gazecut.values.check import check_shape
from gazecut.values.questions import Query


@dataclass(frozen=True)
class Cell:
    """What one visual token covers.

    Attributes:
        frames: Which of the sampled frames. The last slot of an odd number of frames names one that is not there: the vision tower sees
            the last frame twice.
        left: Left edge, a fraction of the frame's width; belongs to the cell.
        top: Upper edge, a fraction of the frame's height; belongs to the cell.
        right: Right edge, where the next cell starts.
        bottom: Lower edge, where the next cell starts.
    """

    frames: range
    left: float
    top: float
    right: float
    bottom: float

    @property
    def center(self) -> tuple[float, float]:
        """Its middle (x, y), in fractions of the frame."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def pixels(self, size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of the pixels of a frame of size (H, W) whose centers the cell holds; none where cells are smaller."""
        height, width = size
        return _pixels(self.top, self.bottom, height), _pixels(self.left, self.right, width)


@dataclass(frozen=True)
class GridLayout:
    """Which frames and which pixels each visual token of a view covers.

    The grid covers the whole frame with cells of one size. Tokens stand slot by slot; within a slot row by row, or, where the model saw
    the frame cut into tiles, tile by tile in reading order and row by row within each.

    Attributes:
        slots: Temporal slots T' (for "frame": sampled frames T).
        rows: Cells h from top to bottom, over all tiles.
        columns: Cells w from left to right, over all tiles.
        frames_per_slot: Sampled frames that one slot covers (2 where the vision tower merges pairs).
        tiles: Tiles from top to bottom and from left to right; they divide rows and columns.

    Raises:
        ShapeError: A number below 1, or tiles that do not divide the grid.
    """

    slots: int
    rows: int
    columns: int
    frames_per_slot: int = 1
    tiles: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if min(self.slots, self.rows, self.columns, self.frames_per_slot, *self.tiles) < 1:
            raise ShapeError(f"grid layout: {self}; wanted numbers of 1 or more.")
        if self.rows % self.tiles[0] or self.columns % self.tiles[1]:
            raise ShapeError(
                f"grid layout: {self.tiles[0]}x{self.tiles[1]} tiles do not divide {self.rows}x{self.columns} cells; "
                "wanted as many cells in every tile."
            )

    def __len__(self) -> int:
        """Number of tokens T' * h * w."""
        return self.slots * self.rows * self.columns

    def fold(self, tokens: Array) -> Array:
        """Token scores (T' * h * w,) as maps (T', h, w) of whole frames; kind, dtype and device stay.

        Raises:
            ShapeError: Another number of tokens.
        """
        check_shape("token scores", tokens, (len(self),))
        (down, across), (rows, columns) = self.tiles, self._tile
        xp = namespace(tokens)
        whole = xp.permute_dims(xp.reshape(tokens, (self.slots, down, across, rows, columns)), (0, 1, 3, 2, 4))
        return xp.reshape(whole, (self.slots, self.rows, self.columns))

    def cell(self, token: int) -> Cell:
        """What a token covers.

        Args:
            token: Its place among the visual tokens of all slots, from 0.

        Raises:
            ShapeError: There are fewer tokens.
        """
        if not 0 <= token < len(self):
            raise ShapeError(f"grid layout: token {token} of {len(self)}; wanted 0 to {len(self) - 1}.")
        rows, columns = self._tile
        slot, within = divmod(token, self.rows * self.columns)
        tile, inside = divmod(within, rows * columns)
        row = tile // self.tiles[1] * rows + inside // columns
        column = tile % self.tiles[1] * columns + inside % columns
        first = slot * self.frames_per_slot
        return Cell(
            frames=range(first, first + self.frames_per_slot),
            left=column / self.columns,
            top=row / self.rows,
            right=(column + 1) / self.columns,
            bottom=(row + 1) / self.rows,
        )

    def token(self, frame: int, x: float, y: float) -> int:
        """The token that covers a place, as its place among the visual tokens of all slots.

        Args:
            frame: Which of the sampled frames, from 0.
            x: From the left edge, a fraction of the width, in [0, 1).
            y: From the upper edge, a fraction of the height, in [0, 1).

        Raises:
            ShapeError: The place is outside the frames.
        """
        frames = self.slots * self.frames_per_slot
        if not (0 <= frame < frames and 0 <= x < 1 and 0 <= y < 1):
            raise ShapeError(f"grid layout: x {x}, y {y} in frame {frame} is outside; wanted [0, 1), and frames 0 to {frames - 1}.")
        rows, columns = self._tile
        row, column = _interval(y, self.rows), _interval(x, self.columns)
        tile = row // rows * self.tiles[1] + column // columns
        inside = row % rows * columns + column % columns
        return frame // self.frames_per_slot * self.rows * self.columns + tile * rows * columns + inside

    @property
    def _tile(self) -> tuple[int, int]:
        """Rows and columns of cells of one tile."""
        return self.rows // self.tiles[0], self.columns // self.tiles[1]


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


def _interval(place: float, parts: int) -> int:
    """Which of the equal parts of [0, 1) a place is in; a part's own lower edge is in it, however division rounds."""
    return bisect_right(range(parts), place, key=lambda part: part / parts) - 1


def _pixels(start: float, stop: float, length: int) -> slice:
    """The pixels whose centers are in [start, stop), of so many."""
    return slice(math.ceil(start * length - 0.5), math.ceil(stop * length - 0.5))
