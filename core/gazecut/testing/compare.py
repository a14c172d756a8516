"""Whether two values are the same to the bit, whatever they are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from gazecut.arrays import Array, floating, to_numpy

Fingerprint = Mapping[str, object]


def fingerprint(value: object, name: str) -> dict[str, object]:
    """What a value holds, by the path to it; arrays as dtype, shape and a digest of their bytes.

    Args:
        value: Arrays of either kind, values of `gazecut.values`, sequences, mappings and plain data, in any nesting. Of other objects
            only the class counts.
        name: What to call it in paths.
    """
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return {name: _array(value)}
    parts = _parts(value)
    if parts is None:
        plain = isinstance(value, str | bytes | int | float | type(None))
        return {name: value if plain else type(value).__qualname__}
    found: dict[str, object] = {name: type(value).__qualname__ if is_dataclass(value) else len(parts)}
    for part, inside in parts.items():
        found |= fingerprint(inside, f"{name}{part}")
    return found


def difference(before: Fingerprint, after: Fingerprint) -> str | None:
    """The path of the first thing that differs, or None."""
    return next((path for path in {**before, **after} if before.get(path) != after.get(path)), None)


def _parts(value: object) -> dict[str, Any] | None:
    if is_dataclass(value) and not isinstance(value, type):
        return {f".{field.name}": getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return {f"[{key!r}]": inside for key, inside in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return {f"[{index}]": value[index] for index in range(len(value))}
    return None


def _array(array: Array) -> tuple[str, tuple[int, ...], str]:
    dtype = str(array.dtype)
    values = to_numpy(floating(array) if "float16" in dtype else array)  # NumPy has no bfloat16
    return dtype, tuple(array.shape), hashlib.sha256(values.tobytes()).hexdigest()
