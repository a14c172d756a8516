"""Labels on a tile: none covers another, none leaves the tile; each stands near what it names, and beside it rather than on it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from gazecut.pictures.palette import Colour, readable_on
from gazecut_plugins.exporters.lettering import Lettering

HEIGHT = 17
"""Height of a label's box, in pixels of the sheet."""

_TEXT = 13
_ROUND = 4
_STEP = 3  # between places that are tried
_FARTHEST = 60  # from what a label names; further away it would name something else
_AVERSION = 240  # pixels that a label goes out of its way rather than to cover what should be seen
_GAP = 1


@dataclass(frozen=True)
class Label:
    """What to write, and what it names.

    Attributes:
        texts: Wordings to try, the fullest first.
        colour: Of the box.
        at: (x, y) that the middle of the label's lower edge would like to be at; None for the whole tile, in a lower corner.
    """

    texts: tuple[str, ...]
    colour: Colour
    at: tuple[float, float] | None


def label_width(lettering: Lettering, text: str) -> int:
    """Width of a label's box in pixels."""
    return max(HEIGHT - 2, round(lettering.width(text, _TEXT)) + 7)


def write_label(draw: ImageDraw.ImageDraw, lettering: Lettering, corner: tuple[float, float], text: str, colour: Colour) -> None:
    """Draw one label, its top left corner at (x, y)."""
    x, y = corner
    width = label_width(lettering, text)
    draw.rounded_rectangle((x, y, x + width - 1, y + HEIGHT - 1), radius=_ROUND, fill=colour)
    lettering.write(draw, (x + width / 2, y + HEIGHT / 2), text, _TEXT, readable_on(colour), "mm")


class Labels:
    """Puts labels on one tile, in the order in which they matter."""

    def __init__(self, canvas: Image.Image, lettering: Lettering, busy: np.ndarray) -> None:
        """Begin with a tile without labels.

        Args:
            canvas: The tile.
            lettering: For the text.
            busy: (H, W) bool, what should rather be seen.
        """
        self._canvas, self._lettering = canvas, lettering
        self._busy = cv2.integral(busy.astype(np.uint8))  # (H + 1, W + 1): sums over boxes by four corners
        self._taken: list[tuple[float, float, float, float]] = []
        self._placed: list[tuple[Label, str, tuple[float, float]]] = []

    def add(self, label: Label) -> bool:
        """Find a place for a label, in its fullest wording that has one; whether there was any."""
        for text in label.texts:
            width = label_width(self._lettering, text)
            corner = self._place(label.at, width)
            if corner is not None:
                self._taken.append((*corner, corner[0] + width, corner[1] + HEIGHT))
                self._placed.append((label, text, corner))
                return True
        return False

    def draw(self) -> None:
        """Draw all labels, with a line to what it names from each that had to stand apart."""
        draw = ImageDraw.Draw(self._canvas)
        for label, text, (x, y) in self._placed:
            middle = x + label_width(self._lettering, text) / 2
            if label.at and np.hypot(middle - label.at[0], y + HEIGHT - label.at[1]) > HEIGHT:
                draw.line((middle, y + HEIGHT / 2, *label.at), fill=label.colour, width=1)
        for label, text, corner in self._placed:
            write_label(draw, self._lettering, corner, text, label.colour)

    def _place(self, at: tuple[float, float] | None, width: int) -> tuple[float, float] | None:
        """Top left corner (x, y) of the best free box, or None."""
        right, bottom = self._canvas.width - width, self._canvas.height - HEIGHT
        if right < 0 or bottom < 0:
            return None
        if at is None:
            x, y, apart = np.array([0, right]), np.array([bottom, bottom]), np.zeros(2)
        else:
            wished = at[0] - width / 2, at[1] - HEIGHT
            spans = zip((right, bottom), wished, strict=True)
            columns, rows = (np.unique([*np.arange(0, most, _STEP), most, min(max(wish, 0), most)]) for most, wish in spans)
            x, y = (each.ravel() for each in np.meshgrid(columns, rows))
            apart = np.hypot(x - wished[0], y - wished[1])
        free = apart <= apart.min() + _FARTHEST
        cost = apart + _AVERSION * self._covered(x, y, width)
        for left, top, end, floor in self._taken:
            free &= (x >= end + _GAP) | (x + width + _GAP <= left) | (y >= floor + _GAP) | (y + HEIGHT + _GAP <= top)
        if not free.any():
            return None
        best = np.flatnonzero(free)[cost[free].argmin()]
        return float(x[best]), float(y[best])

    def _covered(self, x: np.ndarray, y: np.ndarray, width: int) -> np.ndarray:
        """Share of what is busy in boxes with their corners at (x, y)."""
        left, top = x.astype(np.int64), y.astype(np.int64)
        above, below = (self._busy[rows, left + width] - self._busy[rows, left] for rows in (top, top + HEIGHT))
        return np.asarray((below - above) / (width * HEIGHT))
