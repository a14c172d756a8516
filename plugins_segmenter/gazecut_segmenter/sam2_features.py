"""Frames as SAM 2 sees them, encoded once while their features fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gazecut.protocols import Clip
from gazecut_segmenter.sam2_shared import Features

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's RGB in [0, 1], as SAM 2 was trained with
BLOCK = 8  # frames decoded together, so that walking backwards does not seek for every frame


def network_input(image: np.ndarray, side: int) -> Tensor:
    """A frame as the network takes it: squashed to a square as the official video predictor does it (PIL, bicubic), normalised.

    Args:
        image: (H, W, 3) uint8 RGB.
        side: S, pixels of the square.

    Returns:
        (1, 3, S, S) float32 on the CPU.
    """
    square = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
    values = torch.from_numpy(square.transpose(2, 0, 1).astype(np.float32)) / 255
    return ((values - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None])[None]


class FeatureStore:
    """Features of a clip's frames, by clip index, at most so many at a time.

    When room is needed, the frame that a plan needs last goes first, and one that it does not need at all before that. So a
    sweep forwards and backwards encodes each frame at most twice, however long the clip is.
    """

    def __init__(self, clip: Clip, encode: Callable[[np.ndarray], Features], room: int) -> None:
        """Start empty.

        Args:
            clip: Where frames come from.
            encode: Features of a frame (H, W, 3) uint8.
            room: Most frames kept.
        """
        self._clip, self._encode, self._room = clip, encode, room
        self._kept: dict[int, Features] = {}
        self._plan: list[int] = []  # last one first
        self._images: dict[int, np.ndarray] = {}

    def plan(self, order: Sequence[int]) -> None:
        """Say which frames will be asked for next, in what order."""
        self._plan = list(reversed(order))
        self._images.clear()  # those of a way that was left halfway

    def __getitem__(self, frame: int) -> Features:
        """Features of a frame, by its index in the clip.

        Raises:
            ClipError: It cannot be decoded.
        """
        if self._plan and self._plan[-1] == frame:
            self._plan.pop()
        features = self._kept.pop(frame, None)
        if features is None:
            self._make_room()
            features = self._encode(self._image(frame))
        self._kept[frame] = features  # the last one in is the last one used
        return features

    def clear(self) -> None:
        """Let go of everything."""
        self._kept.clear()
        self._images.clear()
        self._plan.clear()

    def _make_room(self) -> None:
        if len(self._kept) < self._room:
            return
        wait: dict[int, float] = dict.fromkeys(self._kept, math.inf)
        for steps, frame in enumerate(reversed(self._plan)):
            if wait.get(frame) == math.inf:
                wait[frame] = steps
        del self._kept[max(wait, key=wait.__getitem__)]

    def _image(self, frame: int) -> np.ndarray:
        """A frame (H, W, 3) uint8; those that the plan will want next are decoded along with it."""
        if frame not in self._images:
            ahead = [later for later in self._plan[-1 : -2 * BLOCK : -1] if later not in self._kept]
            wanted = sorted({frame, *ahead[: BLOCK - 1]} - self._images.keys())
            self._images |= zip(wanted, self._clip.frames(wanted), strict=True)
        return self._images.pop(frame)
