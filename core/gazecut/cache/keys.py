"""Names for things by their content: equal content, equal name, in every process and on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

_BYTES = 20  # of a digest: no two of anything will meet by chance


def digest(content: Any) -> str:
    """A name for plain data: mappings with text as keys, sequences, texts, numbers, truth values, None; the order of keys does not count.

    Returns:
        40 hexadecimal digits.

    Raises:
        TypeError: There is something else in it.
        ValueError: A number is not finite: nan is not equal to itself.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.blake2b(text.encode("ascii"), digest_size=_BYTES).hexdigest()


def digest_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """A name for arrays of numbers or truth values: their names, dtypes, shapes and values; how they lie in memory does not count.

    Returns:
        40 hexadecimal digits.
    """
    whole = hashlib.blake2b(digest_size=_BYTES)
    for name in sorted(arrays):
        array = arrays[name]
        whole.update(json.dumps([name, array.dtype.newbyteorder("<").str, array.shape]).encode("ascii"))
        whole.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return whole.hexdigest()
