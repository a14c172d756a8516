"""Candidates of one frame: the parts of a cut that their points name, and how much the cut can be trusted."""

from __future__ import annotations

import cv2
import numpy as np

from gazecut.values import Points
from gazecut_segmenter.grabcut import cut

RADIUS = 3  # px at working resolution around a click that are sure
BESIDE, ON, TOP_LEFT, BOTTOM_RIGHT = 0, 1, 2, 3  # labels of points


class FrameCut:
    """One cut of a frame, and a second one from firmer seeds as a check: where colours and map agree, both are the same."""

    def __init__(self, image: np.ndarray, colors: np.ndarray | None, seeds: np.ndarray, firm: np.ndarray) -> None:
        """Cut twice.

        Args:
            image: (h, w, 3) uint8.
            colors: (2, 65) float64 as learned, or None to take seeds as they are.
            seeds: (h, w) uint8 labels.
            firm: (h, w) uint8 labels that leave less open.
        """
        self._figure, self._check = cut(image, seeds, colors), cut(image, firm, colors)
        self._regions, self._check_regions = (cv2.connectedComponents(figure)[1] for figure in (self._figure, self._check))
        self._known: dict[tuple[int, ...], tuple[np.ndarray, float]] = {}

    def serves(self, places: np.ndarray) -> bool:
        """Whether a candidate's points, (n, 3) int64 x, y, label, are all clicks on the object that lie in the figure."""
        return bool((places[:, 2] == ON).all() and self._figure[places[:, 1], places[:, 0]].all())

    def named(self, places: np.ndarray) -> tuple[np.ndarray, float]:
        """The connected regions that a candidate's clicks lie in; the whole figure where it has no clicks.

        Args:
            places: (n, 3) int64: x, y, label.

        Returns:
            (h, w) uint8, 0 or 1, the same object for the same regions; and its overlap with the check in [0, 1].
        """
        clicks = places[places[:, 2] == ON]
        wanted = np.unique(self._regions[clicks[:, 1], clicks[:, 0]] if len(clicks) else self._regions)
        name = tuple(wanted[wanted > 0].tolist())
        if name not in self._known:
            mask = np.isin(self._regions, name)
            met = np.unique(self._check_regions[mask])
            check = np.isin(self._check_regions, met[met > 0])
            common, either = int(np.count_nonzero(mask & check)), int(np.count_nonzero(mask | check))
            self._known[name] = mask.astype(np.uint8), common / max(either, 1)
        return self._known[name]


def places_of(points: Points, candidate: int, size: tuple[int, int]) -> np.ndarray:
    """A candidate's points in working pixels.

    Args:
        points: The points of one frame.
        candidate: Which of its candidates.
        size: (h, w), working resolution.

    Returns:
        (n, 3) int64: x, y, label.
    """
    mine = points.candidate == candidate
    x = np.minimum((points.x[mine] * size[1]).astype(np.int64), size[1] - 1)
    y = np.minimum((points.y[mine] * size[0]).astype(np.int64), size[0] - 1)
    return np.stack([x, y, points.label[mine]], axis=1)


def marked(seeds: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Seeds with a candidate's points drawn in: ground outside of its box, discs around its clicks.

    Args:
        seeds: (h, w) uint8 labels.
        places: (n, 3) int64: x, y, label.

    Returns:
        (h, w) uint8 labels.
    """
    drawn, label = seeds.copy(), places[:, 2]
    for left, top in places[label == TOP_LEFT, :2]:
        drawn[:top], drawn[:, :left] = cv2.GC_BGD, cv2.GC_BGD
    for right, bottom in places[label == BOTTOM_RIGHT, :2]:
        drawn[bottom + 1 :], drawn[:, right + 1 :] = cv2.GC_BGD, cv2.GC_BGD
    for kind, value in ((BESIDE, cv2.GC_BGD), (ON, cv2.GC_FGD)):
        for x, y in places[label == kind, :2]:
            cv2.circle(drawn, (int(x), int(y)), RADIUS, value, cv2.FILLED)
    return drawn
