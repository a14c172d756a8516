"""Token layouts that need more than a reshape."""

from __future__ import annotations

import torch

from gazecut.arrays import Array, floating
from gazecut.errors import BackendError
from gazecut.values import GridLayout
from gazecut.values.check import check_shape


def stitch_tiles(tokens: Array, rows: int, cols: int, grid: int) -> Array:
    """Token scores of images cut into tiles, put together as whole images.

    Args:
        tokens: (T, rows * cols * grid * grid), tile after tile in reading order, each tile row by row.
        rows: Tiles from top to bottom.
        cols: Tiles from left to right.
        grid: Cells along each side of a tile.

    Returns:
        (T, rows * grid, cols * grid), same kind and device; float64 stays, else float32.

    Raises:
        ShapeError: Another number of tokens.
    """
    check_shape("tile tokens", tokens, ("T", rows * cols * grid * grid))
    images = GridLayout(len(tokens), rows * grid, cols * grid, tiles=(rows, cols))
    return images.fold(floating(tokens).reshape(-1))


def check_tiles(tiles: torch.Tensor, sequences: int, each: int, side: int) -> None:
    """Refuse tiles that a layout does not tell of.

    Args:
        tiles: What a checkpoint's processor made of the frames.
        sequences: Sequences B that it should have made them for.
        each: Tiles n of each.
        side: Pixels s along each side of a tile, as the model takes it.

    Raises:
        BackendError: They are not (B, n, 3, s, s).
    """
    wanted = (sequences, each, 3, side, side)
    if tuple(tiles.shape) != wanted:
        raise BackendError(
            f"the checkpoint's processor made tiles {tuple(tiles.shape)}; wanted {wanted}: sequences, tiles of each, channels, pixels. "
            "Check that the size of its image and video processor is image_size of its model."
        )
