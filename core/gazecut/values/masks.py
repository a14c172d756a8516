"""Masks over time, as run-length codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gazecut import rle
from gazecut.errors import ShapeError


@dataclass(frozen=True)
class MaskTrack:
    """One object's masks over T frames; decoded when asked, so a long track stays small.

    Attributes:
        size: (H, W) in pixels.
        codes: One run-length code per frame; None where the object is absent.

    Raises:
        ShapeError: A code is of another size.
    """

    size: tuple[int, int]
    codes: tuple[rle.Rle | None, ...]

    def __post_init__(self) -> None:
        for frame, code in enumerate(self.codes):
            if code is not None and tuple(code["size"]) != self.size:
                raise ShapeError(f"mask track, frame {frame}: code of size {tuple(code['size'])}; wanted {self.size}.")

    @classmethod
    def from_masks(cls, masks: np.ndarray | Sequence[np.ndarray], size: tuple[int, int]) -> MaskTrack:
        """Encode masks (T, H, W) bool, or T masks (H, W)."""
        return cls(size, tuple(rle.encode(mask) if mask.any() else None for mask in masks))

    def __len__(self) -> int:
        return len(self.codes)

    def mask(self, frame: int) -> np.ndarray:
        """The mask of one frame, (H, W) bool."""
        code = self.codes[frame]
        return np.zeros(self.size, bool) if code is None else rle.decode(code)

    def masks(self) -> np.ndarray:
        """All masks, (T, H, W) bool."""
        return np.stack([self.mask(frame) for frame in range(len(self))]) if self.codes else np.zeros((0, *self.size), bool)
