"""The tiles of a contact sheet: one sampled frame, seen at each step of the way from attention to mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from gazecut.pictures.frames import DIM, OPACITY, with_attention, with_objects
from gazecut.pictures.painting import coverage, dashes, dim, heated, outline, resized, tint
from gazecut.pictures.palette import SOFT, Colour, object_colour, readable_on
from gazecut.result import JudgedTracklet, Result
from gazecut_plugins.exporters.lettering import Lettering

BADGE = 15
"""Height of a badge's box, in pixels of the sheet."""

_FINER = 2  # lines are painted larger and shrink to less than a pixel
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Candidate:
    """A tracklet as the sheet names it.

    Attributes:
        tracklet: The tracklet with its scores.
        name: The object's id for a kept one, a letter for a dropped one.
        colour: The object's colour, or grey.
    """

    tracklet: JudgedTracklet
    name: str
    colour: Colour


def named_candidates(tracklets: Sequence[JudgedTracklet]) -> list[Candidate]:
    """All tracklets, kept ones first: they are the objects 1 to K in the order of the loop; the others best first."""
    kept = [one for one in tracklets if one.kept]
    dropped = sorted((one for one in tracklets if not one.kept), key=lambda one: -one.score)
    named = [Candidate(one, str(number), object_colour(number)) for number, one in enumerate(kept, start=1)]
    return named + [Candidate(one, _LETTERS[place % len(_LETTERS)], SOFT) for place, one in enumerate(dropped)]


class Tiles:
    """Makes tiles of one size; each method takes the place of a frame among the sampled ones and its pixels."""

    def __init__(self, result: Result, size: tuple[int, int], lettering: Lettering) -> None:
        """Get ready.

        Args:
            result: What to show.
            size: (height, width) of a tile.
            lettering: For badges.
        """
        self._result = result
        self._size = size
        self._lettering = lettering
        self._easel = size[0] * _FINER, size[1] * _FINER
        self._candidates = named_candidates(result.tracklets)

    def frame(self, place: int, image: np.ndarray) -> np.ndarray:
        """The frame alone."""
        return resized(image, self._size)

    def heat(self, maps: np.ndarray, place: int, image: np.ndarray) -> np.ndarray:
        """A map (Ts, h, w) over the frame."""
        return resized(heated(resized(image, self._easel), maps[place]), self._size)

    def attention(self, place: int, image: np.ndarray) -> np.ndarray:
        """The fused map with the points that were chosen on it."""
        heat, points = self._result.heatmaps.fused[place], self._result.points.at(place)
        return resized(with_attention(resized(image, self._easel), heat, points, 2 * _FINER), self._size)

    def candidates(self, place: int, image: np.ndarray) -> np.ndarray:
        """All candidates' outlines: solid and named by number if kept, dashed and named by letter if dropped."""
        present = [(one, one.tracklet.tracklet.track.mask(place)) for one in reversed(self._candidates)]
        covers = [(one, cover) for one, mask in present if (cover := coverage(mask, self._easel)).any()]  # a stray pixel may fade away
        tile = dim(resized(image, self._easel), [], DIM)
        for one, cover in covers:
            if one.tracklet.kept:
                tint(tile, cover, one.colour, OPACITY)
                outline(tile, cover, one.colour, _FINER)
            else:
                dashes(tile, cover, _FINER)
        canvas = Image.fromarray(resized(tile, self._size))
        for one, cover in covers:
            badge(canvas, self._lettering, _above(cover), one)
        return np.asarray(canvas)

    def found(self, place: int, image: np.ndarray) -> np.ndarray:
        """The result's masks."""
        number = int(self._result.frame_indices[place])
        objects = sorted(self._result.objects, key=lambda found: (found.score, -found.id))
        return resized(with_objects(resized(image, self._easel), objects, number, _FINER), self._size)


def badge(canvas: Image.Image, lettering: Lettering, centre: tuple[float, float], candidate: Candidate) -> None:
    """Draw a candidate's name into a box of its colour, inside the canvas."""
    half = BADGE / 2
    x = min(max(centre[0], half), canvas.width - half - 1)
    y = min(max(centre[1], half), canvas.height - half - 1)
    draw = ImageDraw.Draw(canvas)
    draw.rounded_rectangle((x - half, y - half, x + half, y + half), radius=4, fill=candidate.colour)
    lettering.write(draw, (x, y), candidate.name, BADGE - 4, readable_on(candidate.colour), "mm")


def _above(cover: np.ndarray) -> tuple[float, float]:
    """(x, y) on the tile of a badge that stands on the largest piece of what is covered."""
    _, pieces, statistics, _ = cv2.connectedComponentsWithStats((cover > 0).astype(np.uint8))
    rows, columns = np.nonzero(pieces == 1 + statistics[1:, cv2.CC_STAT_AREA].argmax())
    top = rows.min()
    return float(columns[rows == top].mean()) / _FINER, top / _FINER - BADGE / 2 - 1
