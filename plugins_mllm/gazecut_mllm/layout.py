"""Token layouts that need more than a reshape."""

from __future__ import annotations

from gazecut.arrays import Array, floating, namespace
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
    values = floating(tokens)
    tiles = namespace(values).reshape(values, (-1, rows, cols, grid, grid))
    whole = namespace(values).permute_dims(tiles, (0, 1, 3, 2, 4))  # (T, rows, grid, cols, grid)
    return namespace(values).reshape(whole, (-1, rows * grid, cols * grid))
