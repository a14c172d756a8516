"""Overlapping windows of one length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gazecut.protocols import Clip
from gazecut.windows import even_windows
from gazecut_plugins.config import WindowsOptions
from gazecut_plugins.uniform import spread


class WindowsSampler:
    """Frames at even distances within each window, its first and last included."""

    def __init__(self, config: WindowsOptions) -> None:
        self._config = config

    def windows(self, clip: Clip | None, fps: float) -> Iterator[range]:
        """Windows of `length` that share `overlap` with the next, without end."""
        scale = fps if self._config.unit == "seconds" else 1
        length = max(1, round(self._config.length * scale))
        return even_windows(length, min(round(self._config.overlap * scale), length - 1))

    def sample(self, clip: Clip) -> np.ndarray:
        """Indices (T,) int64 into a window, T = min(frames, length)."""
        return spread(clip.length, self._config.frames)
