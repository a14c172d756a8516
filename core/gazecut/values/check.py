"""How values check themselves: one message for every array that does not fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gazecut.arrays import Array
from gazecut.errors import ShapeError


def check_shape(name: str, array: Array, axes: Sequence[int | str]) -> None:
    """Refuse an array whose shape does not fit.

    Args:
        name: What the array is called where it stands, for the message.
        array: NumPy array or torch tensor.
        axes: One entry per axis: a number (that length) or a letter (any length).

    Raises:
        ShapeError: Another number of axes, or another length where a number is asked.
    """
    shape = tuple(array.shape)
    fits = len(shape) == len(axes) and all(isinstance(axis, str) or axis == length for axis, length in zip(axes, shape, strict=True))
    if not fits:
        wanted = ", ".join(str(axis) for axis in axes)
        raise ShapeError(f"{name} has shape {shape}; wanted ({wanted}).")


def check_dtype(name: str, array: Array, *allowed: str) -> None:
    """Refuse an array of another dtype, named as NumPy and torch both print them ("float32", "bool", ...).

    Raises:
        ShapeError: The dtype is none of those.
    """
    found = str(array.dtype).removeprefix("torch.")
    if found not in allowed:
        raise ShapeError(f"{name} has dtype {found}; wanted {' or '.join(allowed)}.")


def check_finite(name: str, array: np.ndarray, wanted: str) -> None:
    """Refuse an array with values that are not finite; no threshold and no record can take them.

    Args:
        name: What the array is called where it stands, for the message.
        array: Of numbers.
        wanted: What should be there instead, for the message.

    Raises:
        ShapeError: There is such a value.
    """
    if not np.isfinite(array).all():
        raise ShapeError(f"{name} has values that are not finite; wanted {wanted}.")
