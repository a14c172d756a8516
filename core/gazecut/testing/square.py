"""A synthetic clip whose truth is known to the pixel."""

from __future__ import annotations

import numpy as np

from gazecut.clip import ArrayClip

GROUND = (30, 30, 30)
SQUARE = (220, 60, 40)
FPS = 8.0


class MovingSquare(ArrayClip):
    """A clip of a bright square that moves to the right over a dark ground.

    Attributes:
        images: Its frames, (T, H, W, 3) uint8 RGB.
        truth: Where the square is, (T, H, W) bool.
    """

    def __init__(self, truth: np.ndarray) -> None:
        """Paint what is true, (T, H, W) bool."""
        self.images = np.where(truth[..., None], np.array(SQUARE, np.uint8), np.array(GROUND, np.uint8))
        self.truth = truth
        super().__init__(self.images, FPS, "moving square")


def moving_square(frames: int = 8, size: tuple[int, int] = (64, 80)) -> MovingSquare:
    """Render the clip; the same arguments give the same pixels.

    Args:
        frames: Number of frames T, at least 1.
        size: (H, W) in pixels, any from 1 x 1 up. The square's side is 3/8 of the shorter one.
    """
    height, width = size
    side = max(1, 3 * min(size) // 8)
    truth = np.zeros((frames, height, width), bool)
    top, edge = (height - side) // 2, (width - side) // 8
    for index, left in enumerate(np.linspace(edge, width - side - edge, frames).round().astype(int)):
        truth[index, top : top + side, left : left + side] = True
    return MovingSquare(truth)
