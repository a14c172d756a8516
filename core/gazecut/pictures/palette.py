"""Colours that people with any kind of colour vision can tell apart.

The eight of Okabe and Ito, "Color Universal Design" (2008), without black: first as they are, then lighter, then darker.
"""

from __future__ import annotations

from typing import TypeAlias

Colour: TypeAlias = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

INK: Colour = (28, 30, 34)
SOFT: Colour = (104, 110, 120)
FAINT: Colour = (214, 218, 224)
PAPER: Colour = (255, 255, 255)
NIGHT: Colour = (22, 24, 28)

_OKABE_ITO: tuple[Colour, ...] = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (240, 228, 66),  # yellow
    (0, 114, 178),  # blue
    (213, 94, 0),  # vermilion
)
_SHADES = ((0.0, PAPER), (0.5, PAPER), (0.45, INK))

MOST_COLOURS = 255
"""A palette image has 256 values, and 0 is the background."""


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """The first colour with a share, 0 to 1, of the other."""
    red, green, blue = (round(one * (1 - share) + two * share) for one, two in zip(colour, other, strict=True))
    return red, green, blue


def object_colour(number: int) -> Colour:
    """Colour of object `number`, from 1; 21 differ, then they begin again."""
    shade, place = divmod(number - 1, len(_OKABE_ITO))
    share, towards = _SHADES[shade % len(_SHADES)]
    return mix(_OKABE_ITO[place], towards, share)


def readable_on(colour: Colour) -> Colour:
    """Dark or white ink, whichever reads better on a colour (relative luminance of WCAG 2, without gamma)."""
    red, green, blue = colour
    return INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 128 else PAPER


def png_palette() -> list[int]:
    """256 colours as PNG wants them, (768,) values 0 to 255: black for the background, then the objects'."""
    colours = [(0, 0, 0), *(object_colour(number) for number in range(1, MOST_COLOURS + 1))]
    return [value for colour in colours for value in colour]
