"""A frame with what was found on it, or with where the model looked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gazecut.pictures.painting import coverage, dim, heated, outline, spots, tint
from gazecut.pictures.palette import object_colour
from gazecut.values import Points

if TYPE_CHECKING:
    from gazecut.result import FoundObject

DIM = 0.25
"""How much darker everything else is, by default."""

OPACITY = 0.4
"""How much of an object's colour lies over it, by default."""


def with_objects(
    image: np.ndarray, objects: Sequence[FoundObject], frame: int, thickness: int, shades: tuple[float, float] = (DIM, OPACITY)
) -> np.ndarray:
    """A frame with its objects tinted and outlined in their colours, the rest darker.

    Args:
        image: (h, w, 3) uint8 RGB, the frame at any size.
        objects: Where they overlap, the later lies on top.
        frame: Index into the clip.
        thickness: Of outlines, in pixels of the image.
        shades: How much darker the rest is and how much of its colour lies over an object, each in [0, 1].
    """
    darker, opacity = shades
    present = [found for found in objects if found.track.codes[frame] is not None]
    covers = [coverage(found.track.mask(frame), (image.shape[0], image.shape[1])) for found in present]
    painted = dim(image, covers, darker)
    for found, cover in zip(present, covers, strict=True):
        tint(painted, cover, object_colour(found.id), opacity)
    for found, cover in zip(present, covers, strict=True):
        outline(painted, cover, object_colour(found.id), thickness)
    return painted


def with_attention(image: np.ndarray, heat: np.ndarray, points: Points, radius: int) -> np.ndarray:
    """A frame (H, W, 3) uint8 RGB under its map (h, w) in [0, 1], with the points that were chosen on it."""
    painted = heated(image, heat)
    spots(painted, list(zip(points.x.tolist(), points.y.tolist(), strict=True)), points.label.tolist(), radius)
    return painted
