"""What stands out of a clip: how the fakes see."""

from __future__ import annotations

import numpy as np


def standout(images: np.ndarray) -> np.ndarray:
    """How far each pixel is from the usual colour, (T, H, W) float64 in [0, 1]; the images are (T, H, W, 3) uint8."""
    usual = np.median(images.reshape(-1, 3), axis=0)
    return np.asarray(np.abs(images - usual).max(axis=-1) / 255)
