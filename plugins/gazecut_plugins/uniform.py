"""Uniform frame sampling."""

from __future__ import annotations

import numpy as np

from gazecut.protocols import Clip
from gazecut_plugins.config import UniformOptions


def spread(length: int, frames: int) -> np.ndarray:
    """Indices (T,) int64 at even distances, T = min(frames, length), truncated to whole frames as DecAF's code does."""
    return np.linspace(0, length - 1, min(frames, length)).astype(np.int64)


class UniformSampler:
    """Frames at even distances, first and last included; all frames of a clip that has no more than asked."""

    def __init__(self, config: UniformOptions) -> None:
        self._frames = config.frames

    def sample(self, clip: Clip) -> np.ndarray:
        """Indices (T,) int64, T = min(frames, length)."""
        return spread(clip.length, self._frames)
