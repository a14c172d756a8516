"""Painting masks, outlines and heat on frames; every function returns a new image or paints the one that it names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import cv2
import numpy as np

from gazecut.pictures.palette import NIGHT, PAPER, Colour

HEAT_COLOURS = cv2.COLORMAP_INFERNO
"""Perceptually uniform, and rising in lightness, so it also reads in grey and with any colour vision."""

_HALO: Colour = PAPER
_STEPS_BLUR = 0.8  # in pixels of the mask
_FRACTION_BITS = 4  # sub-pixel positions of OpenCV's drawing


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image (H, W, 3) uint8 at another (height, width): averaged when smaller, smooth when larger."""
    height, width = size
    shrinks = height * width < image.shape[0] * image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def coverage(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """How much of each pixel a mask (H, W) bool covers at another (height, width), float32 in [0, 1].

    An enlarged mask loses the steps of its pixels, not its place.
    """
    height, width = size
    if mask.shape == size:
        return mask.astype(np.float32)
    if height * width < mask.size:
        return cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    factor = height / mask.shape[0]
    soft = cv2.GaussianBlur(cv2.resize(mask.astype(np.float32), (width, height)), (0, 0), factor * _STEPS_BLUR)
    return np.asarray(np.clip((soft - 0.5) * _STEPS_BLUR * 2 * factor + 0.5, 0, 1), np.float32)


def tint(image: np.ndarray, cover: np.ndarray, colour: Colour, opacity: float) -> None:
    """Lay a colour over what a coverage (H, W) covers of the image."""
    left, top, width, height = cv2.boundingRect((cover > 0).astype(np.uint8))
    part = image[top : top + height, left : left + width]
    alpha = cover[top : top + height, left : left + width, None] * opacity
    part[:] = (part * (1 - alpha) + np.array(colour, np.float32) * alpha).round()


def dim(image: np.ndarray, covers: Sequence[np.ndarray], share: float) -> np.ndarray:
    """The image, darker by a share outside all coverages (H, W)."""
    dark = cv2.convertScaleAbs(image, alpha=1 - share)
    if not covers:
        return dark
    light = reduce(np.maximum, covers)  # one by one: of many objects a stack would double what is held
    return cv2.blendLinear(image, dark, light, 1 - light)


def outline(image: np.ndarray, cover: np.ndarray, colour: Colour, thickness: int) -> None:
    """Paint the border of a coverage into the image, on a white line so that it shows on any ground."""
    borders = _borders(cover)
    for line_colour, line_thickness in ((_HALO, thickness + 2), (colour, thickness)):
        cv2.polylines(image, borders, True, line_colour, line_thickness, cv2.LINE_AA)


def dashes(image: np.ndarray, cover: np.ndarray, thickness: int) -> None:
    """Paint the border of a coverage into the image as a white dashed line."""
    length = 6 * thickness
    for border in _borders(cover):
        closed = np.concatenate([border, border[:1]])
        pieces = [closed[start : start + length // 2] for start in range(0, len(closed) - 1, length)]
        cv2.polylines(image, pieces, False, PAPER, thickness, cv2.LINE_AA)


def _borders(cover: np.ndarray) -> Sequence[np.ndarray]:
    """Outer and inner borders of what is covered, each (n, 1, 2) neighbouring pixels."""
    inside = (cover >= min(0.5, 0.6 * float(cover.max()))) & (cover > 0)  # small objects stay visible when they shrink
    return cv2.findContours(inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]


def heated(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A grey, dimmed frame (H, W, 3) under a map (h, w) in [0, 1]: the hotter, the less of the frame is left."""
    height, width = image.shape[:2]
    smooth = np.clip(cv2.resize(heat.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] * 0.7 + 20
    alpha = (0.2 + 0.65 * smooth)[..., None]
    return np.asarray((grey * (1 - alpha) + colour_scale(smooth) * alpha).round(), np.uint8)


def colour_scale(values: np.ndarray) -> np.ndarray:
    """Colours (..., 3) uint8 of values (H, W) in [0, 1]."""
    painted = cv2.applyColorMap((values * 255).round().astype(np.uint8), HEAT_COLOURS)
    return cv2.cvtColor(painted, cv2.COLOR_BGR2RGB)


def spots(image: np.ndarray, positions: Sequence[tuple[float, float]], labels: Sequence[int], radius: int) -> None:
    """Paint point prompts at (x, y) fractions of the image: dots on the object, crosses beside it, corners of boxes."""
    height, width = image.shape[:2]
    scale = 1 << _FRACTION_BITS
    for (x, y), label in zip(positions, labels, strict=True):
        centre = (round((x * width - 0.5) * scale), round((y * height - 0.5) * scale))
        reach = radius * scale
        for colour, thickness in ((NIGHT, radius), (PAPER, radius // 2)):
            if label == 1:
                cv2.circle(image, centre, reach, colour, thickness if colour == NIGHT else cv2.FILLED, cv2.LINE_AA, _FRACTION_BITS)
                continue
            for end in _strokes(label, reach):
                begin = (centre[0] + end[0][0], centre[1] + end[0][1])
                cv2.line(image, begin, (centre[0] + end[1][0], centre[1] + end[1][1]), colour, thickness, cv2.LINE_AA, _FRACTION_BITS)


def _strokes(label: int, reach: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Lines from a point: a cross for a negative click, a corner for a box."""
    if label == 0:
        return [((-reach, -reach), (reach, reach)), ((-reach, reach), (reach, -reach))]
    inward = 2 * reach if label == 2 else -2 * reach
    return [((0, 0), (inward, 0)), ((0, 0), (0, inward))]
