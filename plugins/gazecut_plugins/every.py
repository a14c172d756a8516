"""A frame each so many seconds."""

from __future__ import annotations

import numpy as np

from gazecut.clip import frame_times
from gazecut.protocols import Clip
from gazecut_plugins.config import EveryOptions
from gazecut_plugins.uniform import spread


class EverySampler:
    """Frames at even times from the first on, by the clip's own clock where it has one."""

    def __init__(self, config: EveryOptions) -> None:
        self._seconds, self._most = config.seconds, config.most

    def sample(self, clip: Clip) -> np.ndarray:
        """Indices (T,) int64: of each moment the last frame that is not after it; `most` of even distances where these would be more."""
        times = frame_times(clip)
        slack = 0.001 / clip.fps  # so that rounding does not push a frame behind its own moment
        come = np.ceil((times - slack) / self._seconds)  # the first moment at which each frame has come
        after = np.append(come[1:], np.floor((times[-1] + slack) / self._seconds) + 1)
        indices = np.flatnonzero(come < after)
        if self._most is not None and len(indices) > self._most:
            return spread(clip.length, self._most)
        return indices.astype(np.int64)
