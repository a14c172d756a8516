"""LLaVA-OneVision: grids of the method at the real limits, and where every visual token lies.

The layout takes the grid to cover the frame exactly. Where a token truly looks is worked out here a second time, in pixels, from how the
frame is resized, padded and cut: a change there moves that token alone most, and it is less than a cell from where the layout says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlavaOnevisionConfig as ModelConfig
from transformers import LlavaOnevisionProcessor

from gazecut.errors import ClipError
from gazecut.protocols import Runtime
from gazecut.values import Frames, GridLayout
from gazecut_mllm.config import LlavaOnevisionConfig
from gazecut_mllm.llava_onevision import LlavaOnevision, LlavaOnevisionBackend

# (H, W) in pixels, of a dozen kinds, with the tiles (down, across) and the grid on tiles of 7 x 7 features.
SIZES = [
    ((30, 30), (1, 1), (7, 7)),
    ((20, 28), (1, 1), (5, 7)),  # tiny
    ((9, 11), (1, 1), (5, 7)),
    ((48, 97), (2, 4), (14, 28)),
    ((97, 48), (4, 2), (28, 14)),
    ((46, 137), (2, 5), (12, 35)),
    ((60, 60), (2, 2), (14, 14)),
    ((31, 155), (2, 6), (8, 42)),
    ((66, 99), (3, 4), (19, 28)),
    ((33, 47), (2, 2), (10, 14)),  # odd
    ((180, 29), (6, 1), (42, 7)),
    ((135, 101), (5, 4), (24, 18)),  # shrunk from here on
    ((120, 160), (4, 6), (18, 24)),
    ((480, 854), (4, 6), (15, 27)),
    ((500, 500), (6, 6), (21, 21)),
]
COUNTS = (1, 2, 3, 16)
REAL = LlavaOnevision(LlavaOnevisionConfig(weights="x"), None, ModelConfig())


@pytest.fixture(scope="module")
def llava(checkpoint: Callable[[str], Path]) -> LlavaOnevisionBackend:
    return LlavaOnevisionBackend(LlavaOnevisionConfig(weights=str(checkpoint("llava-onevision"))), Runtime("cpu"))


def empty(count: int, size: tuple[int, int]) -> Frames:
    return Frames(np.broadcast_to(np.uint8(0), (count, *size, 3)), np.arange(count), 25.0)


@pytest.mark.parametrize(
    ("size", "tiles", "grid", "tokens"),
    [
        ((480, 854), (2, 3), (46, 81), 3726),
        ((480, 910), (2, 3), (42, 81), 3402),
        ((720, 1280), (2, 4), (54, 96), 5184),
        ((1080, 1920), (3, 5), (60, 108), 6480),
        ((480, 640), (2, 2), (40, 54), 2160),
        ((360, 640), (1, 2), (27, 48), 1296),
        ((1280, 720), (4, 2), (96, 54), 5184),
        ((384, 384), (1, 1), (27, 27), 729),
        ((2304, 2304), (6, 6), (81, 81), 6561),
        ((1, 1), (1, 1), (27, 27), 729),
        ((100, 2300), (1, 6), (7, 162), 1134),
    ],
)
def test_grids_of_the_method(size: tuple[int, int], tiles: tuple[int, int], grid: tuple[int, int], tokens: int) -> None:
    layout = REAL.layout(empty(3, size), "frame")
    assert REAL.tiling(size).tiles == tiles
    assert ((layout.slots, layout.rows, layout.columns, layout.tiles), len(layout)) == ((3, *grid, (1, 1)), 3 * tokens)


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_a_video_has_196_tokens_a_frame(count: int) -> None:
    layout = REAL.layout(empty(count, (480, 854)), "video")
    assert (layout.slots, layout.rows, layout.columns, layout.frames_per_slot) == (count, 14, 14, 1)
    assert len(layout) == 196 * count


class _Pinpoints:
    image_grid_pinpoints = ModelConfig().image_grid_pinpoints


@given(st.tuples(st.integers(1, 2600), st.integers(1, 2600)))
def test_as_many_tokens_as_the_librarys_processor_counts_without_copy_and_newlines(size: tuple[int, int]) -> None:
    stock = LlavaOnevisionProcessor.__new__(LlavaOnevisionProcessor)
    stock.image_processor, stock.num_image_tokens, stock.vision_aspect_ratio = _Pinpoints, 27 * 27, "anyres_max_9"
    try:
        rows, columns = REAL.tiling(size).grid
    except ClipError:
        assert max(size) > 27 * min(size)
    else:
        assert stock._get_number_of_features(*size, 384, 384) == 27 * 27 + rows * (columns + 1)


@dataclass(frozen=True)
class Axis:
    """One axis of a frame on its tiles: where in the frame, as a fraction, a cell of the grid truly begins and ends."""

    length: int  # of the frame, in pixels
    shown: int  # the same on the tiles
    canvas: int  # all tiles along the axis, in pixels
    first: int  # the first feature that is kept
    kept: int
    cells: int
    tile: int
    patch: int

    def span(self, cell: int) -> tuple[float, float]:
        side = self.tile // self.patch

        def place(edge: float, end: bool) -> float:
            feature = math.ceil(edge) - 1 if end else math.floor(edge)
            pixel = feature // side * self.tile + (feature % side + edge - feature) * self.patch
            return (pixel - (self.canvas - self.shown) // 2) / self.shown

        begin, stop = (self.first + at * self.kept / self.cells for at in (cell, cell + 1))
        return place(begin, False), place(stop, True)

    def pixels(self, cell: int) -> list[int]:
        begin, stop = self.span(cell)
        return [pixel for pixel in range(self.length) if begin <= (pixel + 0.5) / self.length < stop]


def axes(family: LlavaOnevision, size: tuple[int, int]) -> tuple[Axis, Axis]:
    tiling, patch = family.tiling(size), family.tile // family.side
    canvas = [tiles * family.tile for tiles in tiling.tiles]
    scale = min(canvas[0] / size[0], canvas[1] / size[1])
    found = []
    for at, kept in enumerate((tiling.rows, tiling.columns)):
        shown = min(math.ceil(size[at] * scale), canvas[at])
        found.append(Axis(size[at], shown, canvas[at], kept.start, kept.stop - kept.start, tiling.grid[at], family.tile, patch))
    return found[0], found[1]


@given(st.tuples(st.integers(28, 2600), st.integers(28, 2600)))
def test_the_layout_is_less_than_a_cell_from_the_truth(size: tuple[int, int]) -> None:
    if max(size) > 20 * min(size):
        return
    for axis in axes(REAL, size):
        for cell in {0, 1, axis.cells // 3, axis.cells // 2, axis.cells - 2, axis.cells - 1} & set(range(axis.cells)):
            begin, stop = axis.span(cell)
            assert abs((begin + stop) / 2 - (cell + 0.5) / axis.cells) * axis.cells < 1


def test_how_far_it_is_for_clips_of_common_sizes() -> None:
    """The figures of the documentation, in cells: at most 0.7, on average a quarter."""
    away = []
    for size in ((480, 854), (480, 910), (720, 1280), (1080, 1920), (480, 640), (360, 640)):
        for axis in axes(REAL, size):
            spans = [axis.span(cell) for cell in range(axis.cells)]
            away += [abs((begin + stop) / 2 * axis.cells - cell - 0.5) for cell, (begin, stop) in enumerate(spans)]
    assert max(away) < 0.7
    assert np.mean(away) < 0.25


def embedded(backend: LlavaOnevisionBackend, images: np.ndarray) -> torch.Tensor:
    """Visual embeddings (B, V, d) of frames (B, H, W, 3), each a sequence of its own."""
    family, frames = backend.family, Frames(images, np.arange(len(images)), 4.0)
    layout = family.layout(frames, "frame")
    with torch.inference_mode():
        found = family.embeddings(backend._reader.hf.model, family.pixels(images[:, None], "frame", layout))
    assert found is not None
    return found


@pytest.mark.parametrize(("size", "tiles", "grid"), SIZES)
def test_a_change_where_a_token_truly_looks_moves_that_token_most(
    llava: LlavaOnevisionBackend, size: tuple[int, int], tiles: tuple[int, int], grid: tuple[int, int]
) -> None:
    family: Any = llava.family
    assert (family.tiling(size).tiles, family.tiling(size).grid) == (tiles, grid)
    rng, (down, across) = np.random.default_rng(size), axes(family, size)
    rows, columns = ([cell for cell in range(axis.cells) if axis.pixels(cell)] for axis in (down, across))
    corners = [(row, column) for row in (rows[0], rows[-1]) for column in (columns[0], columns[-1])]
    cells = list(dict.fromkeys(corners + [(int(rng.choice(rows)), int(rng.choice(columns))) for _ in range(12)]))
    images = np.repeat(rng.integers(0, 100, (1, *size, 3), dtype=np.uint8), 1 + len(cells), axis=0)
    for image, (row, column) in zip(images[1:], cells, strict=True):
        inside = np.ix_(down.pixels(row), across.pixels(column))
        image[inside] = 255 - image[inside]
    before, *after = embedded(llava, images)
    moved = torch.stack([torch.linalg.norm(each - before, dim=-1) for each in after]).numpy()
    wanted = np.array([row * grid[1] + column for row, column in cells])
    assert moved.argmax(1).tolist() == wanted.tolist()
    assert moved[:, wanted].argmax(0).tolist() == list(range(len(cells)))


def apart(layout: GridLayout, first: int, second: int) -> float:
    """How many cells two tokens are apart along the axis on which they are further; infinitely many in different frames."""
    (slot, row, column), (other, low, right) = (
        np.unravel_index(each, (layout.slots, layout.rows, layout.columns)) for each in (first, second)
    )
    return math.inf if slot != other else max(abs(int(row) - int(low)), abs(int(column) - int(right)))


@pytest.mark.parametrize(("size", "tiles", "grid"), SIZES)
def test_every_token_lies_where_the_layout_says(
    llava: LlavaOnevisionBackend, locating: Any, size: tuple[int, int], tiles: tuple[int, int], grid: tuple[int, int]
) -> None:
    count = COUNTS[sum(size) % len(COUNTS)]
    locating.locate(llava, "video", count, size).check()
    near(llava, locating, count, size)


def near(backend: LlavaOnevisionBackend, locating: Any, count: int, size: tuple[int, int]) -> None:
    found, layout = locating.locate(backend, "frame", count, size), backend.family.layout(empty(count, size), "frame")
    for wanted, most in zip(found.wanted, found.moved.argmax(1), strict=True):
        assert apart(layout, wanted, most) <= 1
        strongest = found.wanted[found.moved[:, wanted].argmax()]
        assert apart(layout, wanted, strongest) <= 1


@pytest.mark.parametrize("count", COUNTS)
def test_whatever_the_number_of_frames(llava: LlavaOnevisionBackend, locating: Any, count: int) -> None:
    locating.locate(llava, "video", count, (66, 99), cells=12).check()
    near(llava, locating, count, (66, 99))


@pytest.mark.parametrize("wrong", ["tiles by columns", "rows in the place of columns", "a tile in the place of a row"])
def test_features_in_the_wrong_place_do_not_pass(
    llava: LlavaOnevisionBackend, locating: Any, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    features = LlavaOnevision._features

    def misplaced(family: LlavaOnevision, model: Any, tiles: torch.Tensor) -> torch.Tensor:
        found = features(family, model, tiles)  # (B * 3 * 4, 7 * 7, d)
        if wrong == "tiles by columns":
            return found.unflatten(0, (-1, 4, 3)).transpose(1, 2).flatten(0, 2)
        if wrong == "rows in the place of columns":
            return found.unflatten(1, (7, 7)).transpose(1, 2).flatten(1, 2)
        return found.unflatten(0, (-1, 12)).flatten(1, 2).unflatten(1, (49, 12)).transpose(1, 2).flatten(0, 1)

    monkeypatch.setattr(LlavaOnevision, "_features", misplaced)
    with pytest.raises(AssertionError):
        near(llava, locating, 1, (66, 99))


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (4, 300)])
def test_frames_of_which_nothing_would_be_seen(size: tuple[int, int]) -> None:
    with pytest.raises(
        ClipError, match=rf"frames are {size[1]}x{size[0]} px; on \d+x\d+ px, .* less than a patch\. Crop the clip"
    ) as caught:
        REAL.layout(empty(1, size), "frame")
    assert caught.value.exit_status == 2
    assert len(REAL.layout(empty(1, size), "video")) == 196
