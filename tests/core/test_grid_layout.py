"""Where every cell lies: tokens, maps and places of the frame agree."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gazecut.errors import ShapeError
from gazecut.values import Cell, GridLayout

sides = st.integers(1, 6)


@st.composite
def layouts(draw: st.DrawFn) -> GridLayout:
    down, across, rows, columns = (draw(sides) for _ in range(4))
    return GridLayout(draw(st.integers(1, 3)), down * rows, across * columns, draw(st.integers(1, 2)), (down, across))


@given(layouts())
def test_every_token_has_a_cell_of_its_own_and_every_cell_its_token(layout: GridLayout) -> None:
    seen = set()
    for index in range(len(layout)):
        cell = layout.cell(index)
        seen.add((cell.frames.start, cell.top, cell.left))
        assert len(cell.frames) == layout.frames_per_slot
        for frame in cell.frames:
            assert layout.token(frame, *cell.center) == index
            assert layout.token(frame, cell.left, cell.top) == index  # a cell's own edges, exactly
    assert len(seen) == len(layout)


@given(layouts())
def test_cells_cover_every_slot_once(layout: GridLayout) -> None:
    cells = [layout.cell(index) for index in range(len(layout))]
    for first in {cell.frames.start for cell in cells}:
        of_slot = [cell for cell in cells if cell.frames.start == first]
        lefts, rights = sorted({cell.left for cell in of_slot}), sorted({cell.right for cell in of_slot})
        tops, bottoms = sorted({cell.top for cell in of_slot}), sorted({cell.bottom for cell in of_slot})
        # every edge is the next cell's start, the same number; no gap, no overlap
        assert lefts == [0.0, *rights[:-1]]
        assert rights[-1] == 1.0
        assert len(lefts) == layout.columns
        assert tops == [0.0, *bottoms[:-1]]
        assert bottoms[-1] == 1.0
        assert len(tops) == layout.rows
        assert len(of_slot) == layout.rows * layout.columns
        assert math.isclose(sum((cell.right - cell.left) * (cell.bottom - cell.top) for cell in of_slot), 1.0)


@given(layouts(), st.sampled_from([np.asarray, torch.from_numpy]))
def test_maps_show_a_token_where_its_cell_is(layout: GridLayout, kind: Callable[[np.ndarray], object]) -> None:
    maps = layout.fold(kind(np.arange(len(layout))))
    assert type(maps) is type(kind(np.arange(2)))
    assert tuple(maps.shape) == (layout.slots, layout.rows, layout.columns)
    for slot, row, column in np.ndindex(maps.shape):
        cell = layout.cell(int(maps[slot, row, column]))
        assert cell.frames.start == slot * layout.frames_per_slot
        assert (cell.top, cell.left) == (row / layout.rows, column / layout.columns)


@given(layouts(), st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_every_pixel_is_in_one_cell(layout: GridLayout, size: tuple[int, int]) -> None:
    owners = np.full(size, -1)
    for index in range(layout.rows * layout.columns):
        rows, columns = layout.cell(index).pixels(size)
        assert (owners[rows, columns] == -1).all()
        owners[rows, columns] = index
    for row, column in np.ndindex(size):
        assert owners[row, column] == layout.token(0, (column + 0.5) / size[1], (row + 0.5) / size[0])


@given(layouts(), st.integers(0, 5), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_the_cell_of_a_place_holds_it(layout: GridLayout, frame: int, x: float, y: float) -> None:
    frame %= layout.slots * layout.frames_per_slot
    cell = layout.cell(layout.token(frame, x, y))
    assert frame in cell.frames
    assert cell.left <= x < cell.right
    assert cell.top <= y < cell.bottom


def test_tiles_are_read_one_after_another() -> None:
    layout = GridLayout(1, 4, 6, tiles=(2, 3))
    assert layout.fold(np.arange(24))[0].tolist() == [
        [0, 1, 4, 5, 8, 9],
        [2, 3, 6, 7, 10, 11],
        [12, 13, 16, 17, 20, 21],
        [14, 15, 18, 19, 22, 23],
    ]
    assert layout.cell(6) == Cell(range(1), 2 / 6, 1 / 4, 3 / 6, 2 / 4)
    assert layout.cell(6).pixels((8, 12)) == (slice(2, 4), slice(4, 6))


def test_two_frames_share_a_slot() -> None:
    layout = GridLayout(2, 3, 2, 2)
    assert layout.cell(11).frames == range(2, 4)
    assert [layout.token(frame, 0.9, 0.9) for frame in range(4)] == [5, 5, 11, 11]


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: GridLayout(0, 2, 2), r"slots=0.*wanted numbers of 1 or more"),
        (lambda: GridLayout(1, 2, 2, tiles=(0, 1)), r"tiles=\(0, 1\)\); wanted numbers of 1 or more"),
        (lambda: GridLayout(1, 4, 5, tiles=(2, 2)), "2x2 tiles do not divide 4x5 cells; wanted as many cells in every tile"),
        (lambda: GridLayout(2, 2, 2).cell(8), "token 8 of 8; wanted 0 to 7"),
        (lambda: GridLayout(2, 2, 2).cell(-1), "token -1 of 8; wanted 0 to 7"),
        (lambda: GridLayout(2, 2, 2).token(0, 1.0, 0.5), r"x 1\.0, y 0\.5 in frame 0 is outside; wanted \[0, 1\), and frames 0 to 1"),
        (lambda: GridLayout(2, 2, 2, 2).token(4, 0.5, 0.5), r"in frame 4 is outside; wanted \[0, 1\), and frames 0 to 3"),
        (lambda: GridLayout(2, 2, 2).token(0, 0.5, -0.1), r"y -0\.1 in frame 0 is outside"),
        (lambda: GridLayout(1, 4, 6, tiles=(2, 3)).fold(np.zeros(23)), r"token scores has shape \(23,\); wanted \(24\)"),
    ],
)
def test_messages(use: Callable[[], object], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        use()
