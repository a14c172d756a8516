"""The sampled frames of a clip, in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gazecut.errors import ShapeError
from gazecut.values.check import check_dtype, check_shape


@dataclass(frozen=True, eq=False)
class Frames:
    """T frames of one clip.

    Attributes:
        images: (T, H, W, 3) uint8 RGB.
        indices: (T,) int64, where in the clip they stand, strictly ascending.
        fps: Frames per second of the clip (not of the sample).
    """

    images: np.ndarray
    indices: np.ndarray
    fps: float

    def __post_init__(self) -> None:
        check_shape("frames.images", self.images, ("T", "H", "W", 3))
        check_dtype("frames.images", self.images, "uint8")
        check_shape("frames.indices", self.indices, (len(self.images),))
        check_dtype("frames.indices", self.indices, "int64")
        if len(self.images) == 0 or (np.diff(self.indices) <= 0).any():
            raise ShapeError(f"frames.indices is {self.indices.tolist()}; wanted one or more, strictly ascending.")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.images.shape[1], self.images.shape[2]

    @property
    def seconds_between(self) -> float:
        """Mean time between neighbouring frames of the sample, in seconds; 0 for one frame."""
        return float(self.indices[-1] - self.indices[0]) / (len(self) - 1) / self.fps if len(self) > 1 else 0.0
