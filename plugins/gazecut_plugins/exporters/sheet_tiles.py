"""The tiles of a contact sheet: one sampled frame, seen at each step of the way from attention to mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from gazecut import rle
from gazecut.pictures.frames import DIM, OPACITY, with_attention, with_objects
from gazecut.pictures.painting import coverage, dashes, dim, heated, outline, resized, tint
from gazecut.pictures.palette import NIGHT, SOFT, Colour, object_colour
from gazecut.result import JudgedTracklet, Result
from gazecut_plugins.exporters.lettering import Lettering
from gazecut_plugins.exporters.sheet_labels import Label, Labels

_FINER = 2  # lines are painted larger and shrink to less than a pixel
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_MOST_DROPPED = 5  # that are named on a tile, the best ones
_OVER = 2  # pixels between a mask and the label above it


@dataclass(frozen=True)
class Candidate:
    """A tracklet as the sheet names it.

    Attributes:
        tracklet: The tracklet with its scores.
        name: The object's id for a kept one, letters for a dropped one.
        colour: The object's colour, or grey.
    """

    tracklet: JudgedTracklet
    name: str
    colour: Colour


def named_candidates(result: Result) -> list[Candidate]:
    """All tracklets, kept ones first: they have the names of their objects; the others best first."""
    ids = dict(enumerate(_object_ids(result)))
    kept = sorted((number, place) for place, number in ids.items() if number is not None)
    named = [Candidate(result.tracklets[place], str(number), object_colour(number)) for number, place in kept]
    rest = sorted((one for place, one in enumerate(result.tracklets) if ids[place] is None), key=lambda one: -one.score)
    return named + [Candidate(one, _letters(place), SOFT) for place, one in enumerate(rest)]


def _object_ids(result: Result) -> Iterator[int | None]:
    """The object that each tracklet became; None for a dropped one, and for one whose object is not shown where it was found.

    Of a clip that was looked at as a whole, kept tracklets are the objects 1 to K in their order. Those of a window may go on with an
    object of the one before: it is the one that their masks are of.
    """
    number = 0
    for one in result.tracklets:
        number += one.kept
        if one.kept and result.windows:
            yield _most_alike(result, one)
        else:
            yield number if one.kept else None


def _most_alike(result: Result, one: JudgedTracklet) -> int | None:
    code, frame = one.tracklet.track.codes[one.prompt_frame], int(result.frame_indices[one.prompt_frame])
    there = [(found.id, other) for found in result.objects if (other := found.track.codes[frame]) is not None]
    if code is None or not there:
        return None
    overlaps = rle.overlaps([code], [other for _, other in there])[0]
    return there[int(overlaps.argmax())][0] if overlaps.max() > 0 else None


def _letters(place: int) -> str:
    """A to z, then aa, ab and so on."""
    before, last = divmod(place, len(_LETTERS))
    return (_letters(before - 1) if before else "") + _LETTERS[last]


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
        self._candidates = named_candidates(result)
        self._suppressed = result.suppressed

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
        """All candidates' outlines: solid and named by number if kept, dashed if dropped; with names and scores where they come from."""
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
        self._label(canvas, place, covers[::-1])
        return np.asarray(canvas)

    def _label(self, canvas: Image.Image, place: int, covers: Sequence[tuple[Candidate, np.ndarray]]) -> None:
        """Name kept candidates everywhere, all with their scores on the frame that prompted them, and count what it prompted in vain."""
        busy = np.zeros(self._easel, bool)
        for _, cover in covers:
            busy |= cover > 0
        labels = Labels(canvas, self._lettering, busy[::_FINER, ::_FINER])
        if count := int(self._suppressed[place]):
            labels.add(Label((f"{count} suppressed", f"-{count}"), NIGHT, None))
        dropped = 0
        for one, cover in covers:
            born = one.tracklet.prompt_frame == place
            dropped += born and not one.tracklet.kept
            if one.tracklet.kept or (born and dropped <= _MOST_DROPPED):
                scored = (f"{one.name}  {one.tracklet.score:.2f}",) if born else ()
                labels.add(Label((*scored, one.name), one.colour, _above(cover)))
        labels.draw()

    def found(self, place: int, image: np.ndarray) -> np.ndarray:
        """The result's masks."""
        number = int(self._result.frame_indices[place])
        objects = sorted(self._result.objects, key=lambda found: (found.score, -found.id))
        return resized(with_objects(resized(image, self._easel), objects, number, _FINER), self._size)


def _above(cover: np.ndarray) -> tuple[float, float]:
    """(x, y) on the tile just above the largest piece of what is covered."""
    _, pieces, statistics, _ = cv2.connectedComponentsWithStats((cover > 0).astype(np.uint8))
    rows, columns = np.nonzero(pieces == 1 + statistics[1:, cv2.CC_STAT_AREA].argmax())
    top = rows.min()
    return float(columns[rows == top].mean()) / _FINER, top / _FINER - _OVER
