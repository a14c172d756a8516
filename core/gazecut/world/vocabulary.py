"""Words of the pocket world and what they look like."""

from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["colour", "name", "size", "place", "combination", "motion", "several"]
Motion: TypeAlias = Literal["left", "right", "up", "down", "still"]
Side: TypeAlias = Literal["left", "right", "top", "bottom"]

KINDS: Final[tuple[Kind, ...]] = ("colour", "name", "size", "place", "combination", "motion", "several")
SHAPES: Final = ("circle", "square", "triangle", "star", "cross")
MOTIONS: Final[tuple[Motion, ...]] = ("left", "right", "up", "down", "still")
PATTERNS: Final = ("plain", "stripes", "checks", "dots", "grid")

COLOURS: Final[dict[str, tuple[int, int, int]]] = {  # RGB of objects, before jitter
    "red": (214, 40, 40),
    "green": (44, 170, 64),
    "blue": (50, 90, 230),
    "yellow": (240, 216, 50),
    "purple": (160, 60, 200),
    "orange": (242, 136, 32),
    "white": (240, 240, 240),
}
GROUNDS: Final[dict[str, tuple[int, int, int]]] = {  # RGB of backgrounds, before jitter
    "gray": (120, 120, 120),
    "brown": (104, 70, 44),
    "navy": (28, 34, 84),
    "olive": (96, 104, 40),
    "teal": (24, 98, 98),
    "black": (18, 18, 18),
}
DIRECTIONS: Final[dict[Motion, tuple[float, float]]] = {  # unit steps (x, y), y grows downwards
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "up": (0.0, -1.0),
    "down": (0.0, 1.0),
    "still": (0.0, 0.0),
}
PLACES: Final[dict[Side, str]] = {
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
}
