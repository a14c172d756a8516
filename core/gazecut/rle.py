"""Run-length codes of masks, in COCO's form (column-major, compressed counts)."""

from __future__ import annotations

import warnings
from typing import TypedDict

import numpy as np
from pycocotools import mask as coco


class Rle(TypedDict):
    """One mask: `size` is [H, W], `counts` COCO's compressed string."""

    size: list[int]
    counts: str


def encode(mask: np.ndarray) -> Rle:
    """The code of a mask (H, W) bool."""
    code = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(length) for length in code["size"]], "counts": code["counts"].decode("ascii")}


def decode(code: Rle) -> np.ndarray:
    """The mask (H, W) bool of a code."""
    with warnings.catch_warnings():
        # pycocotools 2.0.11 wraps its buffer in the way that NumPy 2 deprecates; the values are right
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return np.asarray(coco.decode(code), dtype=bool)


def area(code: Rle) -> int:
    """Pixels that a code covers."""
    return int(coco.area(code))
