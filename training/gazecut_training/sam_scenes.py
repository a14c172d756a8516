"""Scenes that are hard to follow: bodies of the pocket world that cross, leave, come back and vanish for a while.

The pocket world's own clips have few crossings and no vanishing. These are painted by the same painter, with the same shapes, colours
and backgrounds, and a seed gives one scene at every size and number of frames, too.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gazecut.world import COLOURS, SHAPES, Body, Plan
from gazecut.world.bodies import draw_ground

Array = NDArray[np.float64]

NOWHERE: Final = -9.0  # canvases: a centre so far away that nothing is painted
COUNT_SHARES: Final = (0.05, 0.35, 0.38, 0.22)  # of scenes with 1, 2, 3, 4 objects
RADII: Final = (0.05, 0.185)  # half widths in canvases; the pocket world has 0.078 to 0.172
SAME_COLOUR: Final = 0.15  # share of scenes in which two objects have one colour
ANY_TILT: Final = 0.3  # share of bodies that are turned by any angle
WAYS: Final = {"straight": 0.3, "cross": 0.3, "return": 0.2, "leave": 0.1, "still": 0.1}  # shares of the ways of bodies
VANISHING: Final = 0.3  # share of bodies that are gone for a while
GONE: Final = (0.1, 0.4)  # how long, in clips


@dataclass(frozen=True)
class Mover(Body):
    """A body on a path with corners, which may vanish for a while.

    Attributes:
        corners: (u, x, y) of each corner; u ascends from 0 to 1.
        gone: (from, to) in u, when it is nowhere; None for never.
    """

    corners: tuple[tuple[float, float, float], ...]
    gone: tuple[float, float] | None

    def path(self, moments: Array) -> Array:
        """Centres (M, 2) at the moments u (M,), in canvases."""
        at, x, y = np.asarray(self.corners).T
        centres = np.stack([np.interp(moments, at, x), np.interp(moments, at, y)], axis=1)
        if self.gone is not None:
            centres[(moments >= self.gone[0]) & (moments < self.gone[1])] = NOWHERE
        return centres


def hard_plan(seed: int) -> Plan:
    """The scene of a seed, without pixels."""
    rng = np.random.default_rng([seed, 2])
    number = 1 + int(rng.choice(4, p=COUNT_SHARES))
    colours = [str(c) for c in rng.permutation(list(COLOURS))[:number]]
    if number > 1 and rng.random() < SAME_COLOUR:
        colours[1] = colours[0]
    corners: list[Array] = []
    for _ in range(number):
        corners.append(_corners(rng, corners))
    bodies = tuple(_mover(rng, colour, way) for colour, way in zip(colours, corners, strict=True))
    order = rng.permutation(number)
    return Plan(tuple(bodies[i] for i in order), draw_ground(rng), float(rng.uniform(2.0, 8.0)))


def _mover(rng: np.random.Generator, colour: str, corners: Array) -> Mover:
    rgb = np.clip(np.asarray(COLOURS[colour]) + rng.integers(-14, 15, 3), 0, 255)
    tilt = math.pi if rng.random() < ANY_TILT else math.radians(10.0)
    start = float(rng.uniform(0.05, 0.95 - GONE[0]))
    return Mover(
        shape=str(rng.choice(SHAPES)),
        colour=colour,
        rgb=(int(rgb[0]), int(rgb[1]), int(rgb[2])),
        radius=float(rng.uniform(*RADII)),
        angle=float(rng.uniform(-tilt, tilt)),
        motion="still",
        start=(float(corners[0, 1]), float(corners[0, 2])),
        end=(float(corners[-1, 1]), float(corners[-1, 2])),
        crosses_edge=bool((corners[:, 1:] < 0).any() or (corners[:, 1:] > 1).any()),
        corners=tuple((float(u), float(x), float(y)) for u, x, y in corners),
        gone=(start, start + float(rng.uniform(*GONE))) if rng.random() < VANISHING else None,
    )


def _corners(rng: np.random.Generator, others: list[Array]) -> Array:
    """A path (C, 3) of (u, x, y); one that crosses meets another body's path at some moment."""
    way = str(rng.choice(list(WAYS), p=list(WAYS.values())))
    start, end = rng.uniform(0.08, 0.92, 2), rng.uniform(0.08, 0.92, 2)
    if way == "still":
        end = start
    if way == "cross" and others:
        other = others[int(rng.integers(len(others)))]
        meeting = float(rng.uniform(0.2, 0.8))
        place = [np.interp(meeting, other[:, 0], other[:, axis]) for axis in (1, 2)]
        met = np.asarray(place) + rng.normal(0.0, 0.04, 2)
        return np.array([(0.0, *start), (meeting, *met), (1.0, *end)])
    if way in ("return", "leave"):
        out = _outside(rng, start)
        leaves = float(rng.uniform(0.2, 0.6))
        if way == "leave":
            return np.array([(0.0, *start), (leaves + 0.3, *out), (1.0, *out)])
        back = min(1.0, leaves + float(rng.uniform(0.1, 0.3)))
        return np.array([(0.0, *start), (leaves, *out), (back, *out), (1.0, *end)])[: None if back < 1.0 else 3]
    return np.array([(0.0, *start), (1.0, *end)])


def _outside(rng: np.random.Generator, start: Array) -> Array:
    """A point beyond an edge; sometimes half of a body is still seen there."""
    out = np.array([start[0], rng.uniform(0.1, 0.9)])
    beyond = float(rng.uniform(0.0, 0.3))
    out[1] = -beyond if rng.random() < 0.5 else 1.0 + beyond
    return out if rng.random() < 0.5 else out[::-1].copy()
