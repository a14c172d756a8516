"""Run-length codes of masks, in COCO's form (column-major, compressed counts)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from pycocotools import mask as coco


class Rle(TypedDict):
    """One mask: `size` is [H, W], `counts` COCO's compressed string."""

    size: list[int]
    counts: str


def encode(mask: np.ndarray) -> Rle:
    """The code of a mask (H, W) bool; of numbers, all but 0 count."""
    code = coco.encode(np.asfortranarray(mask, dtype=bool).view(np.uint8))
    return {"size": [int(length) for length in code["size"]], "counts": code["counts"].decode("ascii")}


def decode(code: Rle) -> np.ndarray:
    """The mask (H, W) bool of a code."""
    with warnings.catch_warnings():
        # pycocotools 2.0.11 wraps its buffer in the way that NumPy 2 deprecates; the values are right
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return np.asarray(coco.decode(code), dtype=bool)


def overlaps(first: Sequence[Rle], second: Sequence[Rle]) -> np.ndarray:
    """Intersection over union of every pair, (K, L) float64, without decoding any; two empty masks overlap by 0."""
    if not first or not second:
        return np.zeros((len(first), len(second)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)  # as above
        found = np.asarray(coco.iou(list(first), list(second), [False] * len(second)), np.float64)
    return np.nan_to_num(found)


def area(code: Rle) -> int:
    """Pixels that a code covers."""
    return int(coco.area(code))
