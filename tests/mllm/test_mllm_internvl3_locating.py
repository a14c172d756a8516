"""InternVL3: every visual token lies where the layout says, tile by tile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gazecut.protocols import Runtime
from gazecut.values import Frames, GridLayout
from gazecut_mllm.config import InternVL3Config
from gazecut_mllm.internvl3 import InternVL3Backend

# (H, W) in pixels and the tiles of a frame of that size: 1 to 12, of every kind of arrangement.
TILES = [
    ((40, 40), (1, 1)),
    ((20, 20), (1, 1)),  # tiny
    ((40, 80), (1, 2)),
    ((80, 40), (2, 1)),
    ((40, 120), (1, 3)),
    ((60, 60), (2, 2)),
    ((31, 155), (1, 5)),
    ((33, 47), (2, 3)),  # odd
    ((210, 29), (7, 1)),
    ((64, 129), (2, 4)),
    ((100, 100), (3, 3)),
    ((60, 140), (2, 5)),
    ((40, 421), (1, 11)),
    ((96, 128), (3, 4)),
    ((135, 101), (4, 3)),
    ((480, 854), (2, 4)),  # the tiles are small: a large frame takes the larger arrangement of its aspect
]
COUNTS = (1, 2, 3, 16)


@pytest.fixture(scope="module")
def internvl(checkpoint: Callable[[str], Path]) -> InternVL3Backend:
    return InternVL3Backend(InternVL3Config(weights=str(checkpoint("internvl3"))), Runtime("cpu"))


@pytest.mark.parametrize("view", ["video", "frame"])
@pytest.mark.parametrize(("size", "tiles"), TILES)
def test_every_token_lies_where_the_layout_says(
    internvl: InternVL3Backend, locating: Any, view: Any, size: tuple[int, int], tiles: tuple[int, int]
) -> None:
    layout = internvl.family.layout(Frames(np.zeros((2, *size, 3), np.uint8), np.arange(2), 4.0), view)
    assert layout.tiles == (tiles if view == "frame" else (1, 1))
    locating.locate(internvl, view, COUNTS[sum(size) % len(COUNTS)], size).check()


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("view", ["video", "frame"])
def test_whatever_the_number_of_frames(internvl: InternVL3Backend, locating: Any, view: Any, count: int) -> None:
    locating.locate(internvl, view, count, (66, 99), cells=12).check()


@pytest.mark.parametrize("view", ["video", "frame"])
def test_every_cell_of_one_frame(internvl: InternVL3Backend, locating: Any, view: Any) -> None:
    """Not a choice of them: each of 16 or of 6 x 16, whatever tile it is in."""
    found = locating.locate(internvl, view, 1, (66, 99), cells=1000)
    found.check()
    assert len(np.unique(found.wanted)) > (12 if view == "video" else 80)


def test_a_tile_in_the_wrong_place_does_not_pass(internvl: InternVL3Backend, locating: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_columns(layout: GridLayout, tokens: np.ndarray) -> np.ndarray:
        down, across = layout.tiles
        tiles = tokens.reshape(layout.slots, across, down, layout.rows // down, layout.columns // across)
        return tiles.transpose(0, 2, 3, 1, 4).reshape(layout.slots, layout.rows, layout.columns)

    monkeypatch.setattr(GridLayout, "fold", by_columns)
    with pytest.raises(AssertionError, match="changes under tokens"):
        locating.locate(internvl, "frame", 1, (66, 99)).check()


def test_maps_without_stitching_do_not_pass(internvl: InternVL3Backend, locating: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GridLayout, "fold", lambda layout, tokens: tokens.reshape(layout.slots, layout.rows, layout.columns))
    with pytest.raises(AssertionError, match="changes under tokens"):
        locating.locate(internvl, "frame", 1, (66, 99)).check()
