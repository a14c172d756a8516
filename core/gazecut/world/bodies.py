"""What a scene holds before it has pixels: bodies on straight paths over a patterned ground.

Everything is relative to the canvas (0 to 1, y downwards) and to the clip (u runs from 0 to 1), so that one
seed gives one scene at every size and number of frames.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gazecut.world.vocabulary import COLOURS, DIRECTIONS, GROUNDS, MOTIONS, PATTERNS, SHAPES, Motion

Theme: TypeAlias = Literal["free", "twins", "sizes", "motion", "several"]
Array: TypeAlias = NDArray[np.float64]

THEMES: Final[tuple[Theme, ...]] = ("free", "twins", "sizes", "motion", "several")
THEME_SHARES: Final = (0.34, 0.2, 0.14, 0.22, 0.1)
COUNT_SHARES: Final = (0.05, 0.45, 0.42, 0.08)  # of scenes with 1, 2, 3, 4 objects
RADII: Final = (0.078, 0.172)  # half widths: 40 to 88 px of 256
TRAVEL: Final = (0.25, 0.55)  # length of a path, in canvases per clip
SAMPLES: Final = np.linspace(0.0, 1.0, 9)  # moments at which a layout is judged
CANDIDATES: Final = 48  # paths drawn at once for one body
EDGE: Final = 0.01


@dataclass(frozen=True)
class Body:
    """One object: a shape of one colour on a straight path.

    Attributes:
        shape: One of `SHAPES`.
        colour: One of the names in `COLOURS`.
        rgb: The colour as painted, 0 to 255.
        radius: Half the width, in canvases.
        angle: Tilt in radians, clockwise.
        motion: The direction of the path, or "still".
        start: Centre (x, y) at u = 0, in canvases; outside 0 to 1 for a body that enters.
        end: Centre (x, y) at u = 1.
        crosses_edge: True for a body that enters or leaves the canvas.
    """

    shape: str
    colour: str
    rgb: tuple[int, int, int]
    radius: float
    angle: float
    motion: Motion
    start: tuple[float, float]
    end: tuple[float, float]
    crosses_edge: bool

    def path(self, moments: Array) -> Array:
        """Centres (M, 2) at the moments u (M,), in canvases."""
        start, end = np.asarray(self.start), np.asarray(self.end)
        return np.asarray(start + (end - start) * moments[:, None])


@dataclass(frozen=True)
class Ground:
    """The background: two tones of one colour in a pattern.

    Attributes:
        colour: One of the names in `GROUNDS`.
        pattern: One of `PATTERNS`.
        light: RGB of the ground, 0 to 255.
        dark: RGB of the pattern on it.
        period: Length of one repeat, in canvases.
        shift: Offset of the pattern (x, y), in periods.
        upright: True for stripes that run from top to bottom.
    """

    colour: str
    pattern: str
    light: tuple[int, int, int]
    dark: tuple[int, int, int]
    period: float
    shift: tuple[float, float]
    upright: bool

    @property
    def text(self) -> str:
        """Colour and pattern, such as "gray stripes"."""
        return f"{self.colour} {self.pattern}"


@dataclass(frozen=True)
class Plan:
    """A scene without pixels; bodies are in painting order, the last lies on top."""

    bodies: tuple[Body, ...]
    ground: Ground
    noise: float


@dataclass(frozen=True)
class _Look:
    shape: str
    colour: str
    radius: float
    motion: Motion


def draw_plan(rng: np.random.Generator, counts: tuple[int, ...] | None, theme: Theme | None, scale: float) -> Plan:
    """Draw a scene; the same generator state gives the same scene.

    Args:
        rng: Source of every choice.
        counts: Numbers of objects to choose from evenly; None takes the world's own mix of 1 to 4.
        theme: How the objects resemble each other; None draws one.
        scale: Factor on all radii.
    """
    ground = draw_ground(rng)
    drawn: Theme = THEMES[int(rng.choice(len(THEMES), p=THEME_SHARES))]
    theme = drawn if theme is None else theme
    while True:
        number = int(rng.choice(counts)) if counts else 1 + int(rng.choice(4, p=COUNT_SHARES))
        looks = _draw_looks(rng, number, theme, scale)
        bodies = _place(rng, looks)
        if bodies is not None:
            return Plan(bodies, ground, float(rng.uniform(2.0, 8.0)))


def draw_ground(rng: np.random.Generator) -> Ground:
    """Draw a background."""
    colour = str(rng.choice(list(GROUNDS)))
    light = np.clip(np.asarray(GROUNDS[colour]) + rng.integers(-10, 11, 3), 0, 255)
    contrast = rng.uniform(0.45, 0.65) if rng.random() < 0.5 else rng.uniform(1.45, 1.7)
    dark = np.clip(light * contrast + (14 if contrast > 1 else 0), 0, 255).astype(int)
    if contrast < 1 and colour in ("black", "navy"):
        dark = np.clip(light * 1.6 + 20, 0, 255).astype(int)
    return Ground(
        colour=colour,
        pattern=str(rng.choice(PATTERNS)),
        light=_rgb(light),
        dark=_rgb(dark),
        period=float(rng.uniform(0.08, 0.16)),
        shift=(float(rng.random()), float(rng.random())),
        upright=bool(rng.random() < 0.5),
    )


def _draw_looks(rng: np.random.Generator, number: int, theme: Theme, scale: float) -> list[_Look]:
    shapes = [str(s) for s in rng.permutation(SHAPES)[:number]]
    if theme == "free" and number > 1 and rng.random() < 0.15:
        shapes[1] = shapes[0]
    colours = [str(c) for c in rng.permutation(list(COLOURS))[:number]]
    motions = [MOTIONS[int(rng.integers(4))] if rng.random() < 0.55 else MOTIONS[4] for _ in range(number)]
    largest = RADII[1] if number < 4 else 0.13
    radii = rng.uniform(RADII[0], largest, number)
    if theme == "free" and number > 1 and rng.random() < 0.3:
        colours[1] = colours[0]
    if theme == "twins":
        twins = number if rng.random() < 0.5 else 2
        colours[:twins] = [colours[0]] * min(twins, number)
    if theme in ("twins", "sizes"):
        radii = _spread_radii(rng, number, largest)
        if theme == "sizes" and rng.random() < 0.6:
            colours = [colours[0]] * number
    if theme == "motion":
        motions = [MOTIONS[int(i)] for i in rng.permutation(5)[:number]]
        if rng.random() < 0.75:
            colours = [colours[0]] * number
            radii = np.full(number, rng.uniform(RADII[0], largest)) * rng.uniform(0.97, 1.03, number)
    if theme == "several" and number > 1:
        shapes[1], colours[1] = shapes[0], colours[0]
    return [_Look(s, c, float(r) * scale, m) for s, c, r, m in zip(shapes, colours, radii, motions, strict=True)]


def _spread_radii(rng: np.random.Generator, number: int, largest: float) -> Array:
    """Radii at least 0.034 apart where that many fit."""
    gap = min(0.034, (largest - RADII[0]) / max(number, 1))
    loose = np.sort(rng.uniform(RADII[0], largest - gap * (number - 1), number))
    return np.asarray(rng.permutation(loose + gap * np.arange(number)))


def _place(rng: np.random.Generator, looks: list[_Look]) -> tuple[Body, ...] | None:
    """Give every look a path, or None when the canvas is too full."""
    may_overlap = rng.random() < 0.3
    paths: list[Array] = []
    bodies: list[Body] = []
    for look in looks:
        crosses = look.motion != "still" and rng.random() < 0.12
        starts, ends = _draw_paths(rng, look, crosses)
        steps = starts[:, None] + (ends - starts)[:, None] * SAMPLES[:, None]  # (C, 9, 2)
        fits = np.ones(CANDIDATES, dtype=bool)
        for other, path in zip(looks, paths, strict=False):
            gap = np.hypot(*np.moveaxis(steps - path, -1, 0)) / (look.radius + other.radius)
            fits &= (gap.min(1) > 0.4) & ((gap < 1.04).mean(1) <= (0.34 if may_overlap else 0.0))
        if not fits.any():
            return None
        chosen = int(fits.argmax())
        paths.append(steps[chosen])
        bodies.append(_body(rng, look, starts[chosen], ends[chosen], crosses))
    return tuple(bodies)


def _draw_paths(rng: np.random.Generator, look: _Look, crosses: bool) -> tuple[Array, Array]:
    """Starts and ends (C, 2) of candidate paths."""
    direction = np.asarray(DIRECTIONS[look.motion])
    room = 1.0 - 2.0 * (look.radius + EDGE)
    length = rng.uniform(TRAVEL[0], min(TRAVEL[1], max(room, TRAVEL[0])), (CANDIDATES, 1))
    drift = rng.uniform(-0.08, 0.08, (CANDIDATES, 1)) * direction[::-1]
    way = (direction + drift) * length
    low = look.radius + EDGE - np.minimum(way, 0.0)
    high = 1.0 - look.radius - EDGE - np.maximum(way, 0.0)
    starts = low + (high - low) * rng.random((CANDIDATES, 2))
    if crosses:
        axis = int(np.abs(direction).argmax())
        beyond = look.radius * rng.uniform(0.3, 1.1, CANDIDATES)
        ahead = direction[axis] > 0
        enters = rng.random() < 0.5
        far_edge = -beyond if ahead == enters else 1.0 + beyond
        starts[:, axis] = far_edge if enters else far_edge - way[:, axis]
    return starts, starts + way


def _body(rng: np.random.Generator, look: _Look, start: Array, end: Array, crosses: bool) -> Body:
    rgb = np.clip(np.asarray(COLOURS[look.colour]) + rng.integers(-14, 15, 3), 0, 255)
    return Body(
        shape=look.shape,
        colour=look.colour,
        rgb=_rgb(rgb),
        radius=look.radius,
        angle=float(rng.uniform(-1.0, 1.0) * math.radians(10.0)),
        motion=look.motion,
        start=(float(start[0]), float(start[1])),
        end=(float(end[0]), float(end[1])),
        crosses_edge=crosses,
    )


def _rgb(values: NDArray[np.integer]) -> tuple[int, int, int]:
    return int(values[0]), int(values[1]), int(values[2])
