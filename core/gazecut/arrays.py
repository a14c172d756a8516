"""NumPy arrays and torch tensors under one roof, without importing torch.

Array functions take either kind and return the same kind on the same device; float64 stays, everything else becomes float32.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import array_api_compat
import numpy as np

Array: TypeAlias = Any
"""A NumPy array or a torch tensor; docstrings give shape and dtype."""


def namespace(*arrays: Array) -> Any:
    """The array-API namespace that these arrays share.

    Raises:
        TypeError: They are of different kinds, or no arrays at all.
    """
    if arrays and all(isinstance(array, np.ndarray) for array in arrays):
        return np  # it follows the standard itself; what wraps it takes a tenth of a second to import
    return array_api_compat.array_namespace(*arrays)


def floating(array: Array) -> Array:
    """The same array as float64 if it is that, else as float32."""
    xp = namespace(array)
    return array if array.dtype in (xp.float64, xp.float32) else xp.astype(array, xp.float32)


def like(values: np.ndarray, reference: Array) -> Array:
    """NumPy values as an array of the reference's kind, dtype and device."""
    xp = namespace(reference)
    return xp.asarray(values, dtype=reference.dtype, device=array_api_compat.device(reference))


def to_numpy(array: Array) -> np.ndarray:
    """The same values as a NumPy array in host memory, bfloat16 as float32; no copy where there is none to make."""
    if isinstance(array, np.ndarray):
        return array
    if not hasattr(array, "detach"):
        return np.asarray(array)
    tensor = array.detach().cpu()
    return np.asarray((tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy())


def unit_range(values: Array, axes: tuple[int, ...] | None = None) -> Array:
    """Min-max to [0, 1] over `axes` (all by default); a constant stretch becomes 0 (DecAF's code divides it by 1).

    Args:
        values: Floating array of any shape.
        axes: Axes that share one minimum and one maximum.
    """
    xp = namespace(values)
    low = xp.min(values, axis=axes, keepdims=True)
    span = xp.max(values, axis=axes, keepdims=True) - low
    return (values - low) / xp.where(span == 0, xp.ones_like(span), span)
