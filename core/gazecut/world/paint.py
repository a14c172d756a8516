"""Pixels and masks of a plan."""

import math
from functools import cache
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from gazecut.world.bodies import Body, Ground, Plan

Pixels: TypeAlias = NDArray[np.uint8]
SUBPIXEL_BITS: Final = 6
NOISE_TILE: Final = 640  # px
NOISE_DEVIATION: Final = 32  # of the stored noise, before it is scaled


def paint(plan: Plan, moments: NDArray[np.float64], size: int) -> tuple[Pixels, Pixels]:
    """Paint a plan at some moments.

    Args:
        plan: The scene.
        moments: M moments u, 0 to 1.
        size: Width and height of the canvas in px.

    Returns:
        Frames (M, size, size, 3) uint8 RGB and labels (M, size, size) uint8: 0 is ground, i + 1 the visible
        part of body i.
    """
    ground = paint_ground(plan.ground, size)
    frames = np.repeat(ground[None], len(moments), axis=0)
    labels = np.zeros((len(moments), size, size), np.uint8)
    for number, body in enumerate(plan.bodies, start=1):
        shape = outline(body)
        for frame, label, centre in zip(frames, labels, body.path(moments), strict=True):
            points = _to_pixels((shape + centre) * size)
            cv2.fillPoly(frame, [points], body.rgb, cv2.LINE_AA, SUBPIXEL_BITS)
            cv2.fillPoly(label, [points], number, cv2.LINE_8, SUBPIXEL_BITS)
    for frame, moment in zip(frames, moments, strict=True):
        _add_noise(frame, plan, float(moment))
    return frames, labels


def outline(body: Body) -> NDArray[np.float64]:
    """Corners (P, 2) of a body around its centre, in canvases."""
    corners = _unit_outline(body.shape)
    cosine, sine = math.cos(body.angle), math.sin(body.angle)
    turn = np.array([[cosine, sine], [-sine, cosine]])
    return np.asarray(corners @ turn * body.radius)


def area(body: Body) -> float:
    """Area of a body in squared canvases, wholly visible."""
    x, y = outline(body).T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)


@cache
def _unit_outline(shape: str) -> NDArray[np.float64]:
    """Corners of a shape about 2 wide."""
    if shape == "circle":
        return _ring(48, 1.0, 1.0)
    if shape == "square":
        return np.array([(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)])
    if shape == "triangle":
        return np.array([(0.0, -1.05), (1.12, 0.85), (-1.12, 0.85)])
    if shape == "star":
        return _ring(10, 1.18, 0.5)
    arm = 0.36
    quarter = [(arm, -arm), (1.0, -arm), (1.0, arm)]
    return np.array([(x * c - y * s, x * s + y * c) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1)) for x, y in quarter])


def _ring(corners: int, outer: float, inner: float) -> NDArray[np.float64]:
    angles = np.arange(corners) * (2 * math.pi / corners) - math.pi / 2
    radii = np.where(np.arange(corners) % 2 == 0, outer, inner)
    return np.stack([np.cos(angles) * radii, np.sin(angles) * radii], axis=1)


def paint_ground(ground: Ground, size: int) -> Pixels:
    """The background alone, (size, size, 3) uint8 RGB."""
    canvas = np.empty((size, size, 3), np.uint8)
    canvas[:] = ground.light
    if ground.pattern == "plain":
        return canvas
    phase = (np.arange(size) + 0.5) / size / ground.period
    x, y = (phase + ground.shift[0]) % 1.0, (phase + ground.shift[1]) % 1.0
    if ground.pattern == "stripes":
        marked = np.broadcast_to(x < 0.5, (size, size)) if ground.upright else np.repeat((y < 0.5)[:, None], size, 1)
    elif ground.pattern == "checks":
        marked = (x < 0.5)[None] ^ (y < 0.5)[:, None]
    elif ground.pattern == "grid":
        marked = (x < 0.22)[None] | (y < 0.22)[:, None]
    else:
        marked = (x - 0.5)[None] ** 2 + (y - 0.5)[:, None] ** 2 < 0.085
    canvas[marked] = ground.dark
    return canvas


def _to_pixels(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Fixed-point coordinates in which pixel (0, 0) covers 0 to 1."""
    return np.asarray(np.rint((points - 0.5) * (1 << SUBPIXEL_BITS)), np.int32)


def _add_noise(frame: Pixels, plan: Plan, moment: float) -> None:
    """Add Gaussian pixel noise of the plan's strength, another one at every moment."""
    size = len(frame)
    key = int(moment * 7919 + plan.noise * 104729)
    tile = _noise_tile(max(NOISE_TILE, size + 128))
    top, left = key * 31 % (len(tile) - size), key * 17 % (len(tile) - size)
    grain = tile[top : top + size, left : left + size]
    noise = cv2.addWeighted(grain, plan.noise / NOISE_DEVIATION, grain, 0.0, 0.0)
    cv2.add(frame, noise, frame, dtype=cv2.CV_8U)


@cache
def _noise_tile(side: int) -> NDArray[np.int16]:
    """Normal noise of standard deviation `NOISE_DEVIATION`, drawn once."""
    return (np.random.default_rng(7).standard_normal((side, side, 3)) * NOISE_DEVIATION).astype(np.int16)
