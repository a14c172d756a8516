from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gazecut.errors import ClipError, ShapeError
from gazecut_mllm.layout import stitch_tiles
from gazecut_mllm.sizes import grid_size, resize


def smooth(maps: np.ndarray, kernel: int, sigma: float) -> np.ndarray:
    """A plain Gaussian convolution with zeros around, float64."""
    reach = kernel // 2
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    padded = np.pad(maps.astype(np.float64), ((0, 0), (reach, reach), (reach, reach)))
    height, width = maps.shape[1:]
    rows = sum(tap * padded[:, at : at + height] for at, tap in enumerate(taps))
    return sum(tap * rows[:, :, at : at + width] for at, tap in enumerate(taps))


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_tiles_of_the_official_code(shared: Callable[[str], Path], kind: Callable[[np.ndarray], object]) -> None:
    data = np.load(shared("parity/internvl_tiles.npz"))
    stitched = stitch_tiles(kind(data["tokens"]), int(data["tile_rows"]), int(data["tile_cols"]), int(data["tile_grid"]))
    assert type(stitched) is type(kind(data["tokens"]))
    np.testing.assert_allclose(smooth(np.asarray(stitched), int(data["kernel"]), 1.0), data["smoothed"], atol=1e-5)


def test_tiles_are_laid_row_by_row() -> None:
    tokens = np.arange(2 * 3 * 4, dtype=np.float64)[None]
    stitched = stitch_tiles(tokens, 2, 3, 2)
    assert stitched.dtype == np.float64
    assert stitched[0].tolist() == [[0, 1, 4, 5, 8, 9], [2, 3, 6, 7, 10, 11], [12, 13, 16, 17, 20, 21], [14, 15, 18, 19, 22, 23]]
    assert stitch_tiles(tokens.astype(np.float16), 2, 3, 2).dtype == np.float32


def test_wrong_number_of_tile_tokens() -> None:
    with pytest.raises(ShapeError, match=r"tile tokens has shape \(1, 23\); wanted \(T, 24\)"):
        stitch_tiles(np.zeros((1, 23)), 2, 3, 2)


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((480, 854), (14, 26)),
        ((720, 1280), (14, 26)),
        ((1080, 1920), (14, 26)),
        ((480, 910), (14, 27)),
        ((480, 640), (17, 23)),
        ((360, 640), (13, 23)),
        ((1280, 720), (26, 14)),
        ((28, 28), (2, 2)),
        ((1, 1), (2, 2)),
        ((30, 400), (1, 14)),
    ],
)
def test_grids_of_the_method(size: tuple[int, int], grid: tuple[int, int]) -> None:
    assert grid_size(size, 28, 400) == grid


def test_frames_too_long() -> None:
    with pytest.raises(ClipError, match="frames are 201x1 px; the model takes an aspect of up to 200:1"):
        grid_size((1, 201), 28, 400)


def test_resizing_is_pils_bicubic() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)
    assert resize(frames, (20, 30)) is frames
    assert resize(frames, (40, 16)).shape == (2, 40, 16, 3)
