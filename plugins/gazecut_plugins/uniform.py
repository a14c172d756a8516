"""Uniform frame sampling."""

from __future__ import annotations

import numpy as np

from gazecut.protocols import Clip
from gazecut_plugins.config import UniformOptions


class UniformSampler:
    """Frames at even distances, first and last included; all frames of a clip that has no more than asked."""

    def __init__(self, config: UniformOptions) -> None:
        self._frames = config.frames

    def sample(self, clip: Clip) -> np.ndarray:
        """Indices (T,) int64, T = min(frames, length), truncated to whole frames as DecAF's code does."""
        count = min(self._frames, clip.length)
        return np.linspace(0, clip.length - 1, count).astype(np.int64)
