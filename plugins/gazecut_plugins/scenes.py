"""Windows that begin and end at the cuts of a film, found by PySceneDetect (https://www.scenedetect.com)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

from gazecut.errors import ClipError
from gazecut.protocols import Clip
from gazecut.windows import even_windows
from gazecut_plugins.config import ScenesOptions
from gazecut_plugins.uniform import spread

LONGEST_SIDE = 256
"""Pixels of the reduced frames that are compared: a cut shows in them as well."""


class ScenesSampler:
    """Frames at even distances within each window; a window never spans a cut."""

    def __init__(self, config: ScenesOptions) -> None:
        self._config = config

    def windows(self, clip: Clip | None, fps: float) -> Iterator[range]:
        """One window for each scene; several that overlap for a long one.

        Raises:
            ClipError: It is a stream, whose cuts nobody knows yet.
        """
        if clip is None:
            raise ClipError(
                'sampler "scenes" must see the whole clip to find its cuts, and a stream is seen once; take sampler "windows", '
                "or save the stream to a file first."
            )
        for start, end in pairwise([0, *self._cuts(clip), clip.length]):
            for window in even_windows(self._config.longest, self._config.overlap, start):
                yield range(window.start, min(window.stop, end))
                if window.stop >= end:
                    break

    def sample(self, clip: Clip) -> np.ndarray:
        """Indices (T,) int64 into a window, T = min(frames, length)."""
        return spread(clip.length, self._config.frames)

    def _cuts(self, clip: Clip) -> list[int]:
        """First frames of all scenes but the first, ascending; every frame of the clip is decoded once."""
        options = self._config
        detector = AdaptiveDetector(options.threshold, options.shortest, min_content_val=options.change)
        found: list[FrameTimecode] = []
        for number, frame in enumerate(clip.frames()):
            found += detector.process_frame(FrameTimecode(number, clip.fps), _reduced(frame))
        return sorted({cut.frame_num for cut in found} - {0})


def _reduced(frame: np.ndarray) -> np.ndarray:
    """A small copy of a frame, blue first, as the detector expects it."""
    height, width = frame.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    small = cv2.resize(frame, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
