"""Names for things by their content: equal content, equal name, in every process and on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_BYTES = 20  # of a digest: no two of anything will meet by chance
_LENGTH = 8  # bytes that tell how long the header of a safetensors file is
_BLOCK = 1 << 22  # bytes read at a time


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


def digest_files(files: Iterable[Path], verify: bool) -> str:
    """A name for files that exist, such as those of a checkpoint.

    Args:
        files: In an order that says something, or sorted.
        verify: Read every byte. Else a file is known by its name, size and time, and a safetensors file by its header, too.

    Returns:
        40 hexadecimal digits.
    """
    whole = hashlib.blake2b(digest_size=_BYTES)
    for file in files:
        whole.update(f"{file.name}\n".encode())
        whole.update(_content(file) if verify else _signs(file))
    return whole.hexdigest()


def _signs(file: Path) -> bytes:
    status = file.stat()
    signs = f"{status.st_size} {status.st_mtime_ns}\n".encode()
    if file.suffix != ".safetensors":
        return signs
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(_LENGTH), "little")
        return signs + opened.read(min(length, status.st_size))


def _content(file: Path) -> bytes:
    whole = hashlib.blake2b(digest_size=_BYTES)
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            whole.update(block)
    return whole.digest()
