"""Masks straight from heat maps: upsample, then Otsu's threshold on each frame (DecAF, section 3.2)."""

from __future__ import annotations

import array_api_compat
import cv2
import numpy as np

from gazecut.arrays import Array, namespace, to_numpy
from gazecut.resize import resize
from gazecut.values.check import check_shape


def otsu_masks(maps: Array, size: tuple[int, int]) -> Array:
    """Masks of maps, each frame with a threshold of its own.

    Args:
        maps: (T, h, w) in [0, 1].
        size: (H, W) of the masks, in pixels.

    Returns:
        (T, H, W) bool, of the same kind and on the same device.

    Raises:
        ShapeError: `maps` has other than three axes, or the size has no pixels.
    """
    check_shape("maps", maps, ("T", "h", "w"))
    masks = np.zeros((len(maps), *size), bool)
    for frame in range(len(maps)):
        masks[frame] = otsu_mask(to_numpy(resize(maps[frame], size)))
    xp = namespace(maps)
    return xp.asarray(masks, device=array_api_compat.device(maps))


def otsu_mask(heat: np.ndarray) -> np.ndarray:
    """Pixels above Otsu's threshold of one map at its full size.

    A constant map names nothing, so its mask is empty; the official code marks the whole frame unless the constant is 0.

    Args:
        heat: (H, W) floating in [0, 1]; truncated to 8 bits first, as in the official code.

    Returns:
        (H, W) bool.
    """
    levels = (heat * 255).astype(np.uint8)
    if levels.min() == levels.max():
        return np.zeros(levels.shape, bool)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return np.asarray(levels > threshold)
