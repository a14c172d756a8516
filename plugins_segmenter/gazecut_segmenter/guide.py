"""A cut for every frame near a key frame: the cuts of the key frames on both sides, carried there and drawn anew.

As with key frames, nothing depends on who asks: all objects, whichever way they are followed, meet the same cuts, so masks
that are united in the end have one outline.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import cv2
import numpy as np

from gazecut_segmenter.cache import ArrayCache
from gazecut_segmenter.config import ClassicalOptions
from gazecut_segmenter.frames import FULL, WorkingFrames
from gazecut_segmenter.grabcut import cut
from gazecut_segmenter.key_frames import KeyFrames

UNSEEN = 0.1  # weight of a pixel whose motion is not the same both ways, where it is 1 for others
SURE = 0.9  # share of a band's whole width that must agree for a pixel to be settled


class Guide:
    """What keeps carried masks to the pixels along one course of frames."""

    def __init__(
        self, frames: WorkingFrames, cache: ArrayCache, options: ClassicalOptions, key_frames: KeyFrames, course: Sequence[int]
    ) -> None:
        """Take the course; nothing is computed yet.

        Args:
            frames: The clip's frames.
            cache: Where cuts are kept.
            options: Of the segmenter.
            key_frames: The maps and their frames.
            course: Ascending indices into the clip; those of key frames need not be among them.
        """
        mapped = set(key_frames.indices)
        self._frames, self._cache, self._options, self._key_frames = frames, cache, options, key_frames
        self._course = list(course)
        self._steps = {index: step for step, index in enumerate(self._course)}
        self._keys = np.array([step for step, index in enumerate(self._course) if index in mapped], np.int64)
        self._key = hashlib.blake2b(key_frames.key + repr(self._course).encode(), digest_size=16).digest()

    def reaches(self, index: int) -> bool:
        """Whether a frame of the course has a cut: whether a key frame is near."""
        return bool(self._near(self._steps[index]))

    def hold(self, soft: np.ndarray, index: int, alone: int) -> np.ndarray:
        """A carried mask after what its frame says.

        Args:
            soft: (h, w) uint8, 0 to 255, the mask as it was carried.
            index: The frame, one of the course.
            alone: For how many frames there was no cut; 0 where this frame has one.

        Returns:
            (h, w) uint8, 0 to 255.
        """
        if not alone:
            return held_to(soft, self.figure(index), self._options.overlap)
        if self._options.refine_every and alone % self._options.refine_every == 0:
            return self._outlined(soft, index) * np.uint8(FULL)
        return soft

    def figure(self, index: int) -> np.ndarray:
        """The cut of a frame that a key frame is near, (h, w) uint8, 0 or 1."""
        step = self._steps[index]
        near = self._near(step)
        if step in near:
            return self._key_frames.figure(index)
        held = self._cache.get(("between", self._key, index))
        return self._cache.put(("between", self._key, index), self._between(step, near)) if held is None else held

    def _near(self, step: int) -> list[int]:
        """Steps of the key frames within reach: this one alone, or the last before and the first after."""
        place = int(np.searchsorted(self._keys, step))
        around = self._keys[place : place + 1] if step in self._keys[place : place + 1] else self._keys[max(place - 1, 0) : place + 1]
        return [int(key) for key in around if abs(key - step) <= self._options.reach]

    def _between(self, step: int, near: Sequence[int]) -> np.ndarray:
        """The cut of a frame from the key frames on its two sides: the nearer one counts more, and one that did not see a pixel less."""
        weighted, weights = np.zeros((2, *self._frames.size), np.float32)
        for key in near:
            soft, trust = self._carried(key, step)
            weight = (trust.astype(np.float32) / FULL + UNSEEN) / abs(key - step)
            weighted, weights = weighted + weight * soft, weights + weight
        return self._outlined(weighted / weights, self._course[step])

    def _carried(self, key: int, step: int) -> np.ndarray:
        """The cut of the key frame at one step, carried to another step by step, and how far the motion can be trusted.

        Returns:
            (2, h, w) uint8, 0 to 255: the soft cut, and the trust.
        """
        toward = 1 if step > key else -1
        figure = self._key_frames.figure(self._course[key])
        both = np.stack([figure * np.uint8(FULL), np.full_like(figure, FULL)])
        for here in range(key, step, toward):
            name = ("carried", self._key, key, here + toward)
            held = self._cache.get(name)
            if held is None:
                before, after, upcoming = self._course[here], self._course[here + toward], self._course[here:]
                soft, trust = self._frames.carry(list(both), before, after, upcoming)
                held = self._cache.put(name, np.stack([soft, trust * self._frames.agreement(before, after, upcoming)]))
            both = held
        return both

    def _outlined(self, soft: np.ndarray, index: int) -> np.ndarray:
        """A soft mask (h, w), 0 to 255, with its outline drawn anew by a cut, (h, w) uint8, 0 or 1."""
        return cut(self._frames.image(index), outline_seeds(soft, self._options.band), self._key_frames.colors())


def outline_seeds(soft: np.ndarray, band: int) -> np.ndarray:
    """Seeds that leave open what is near a soft mask's outline, or undecided.

    Args:
        soft: (h, w) floating or uint8, 0 to 255.
        band: Pixels to either side of the outline.

    Returns:
        (h, w) uint8 GrabCut labels.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band + 1, 2 * band + 1))
    seeds = np.where(soft > FULL // 2, np.uint8(cv2.GC_PR_FGD), np.uint8(cv2.GC_PR_BGD))
    seeds[cv2.erode(soft, disc) > SURE * FULL] = cv2.GC_FGD
    seeds[cv2.dilate(soft, disc) < (1 - SURE) * FULL] = cv2.GC_BGD
    return seeds


def held_to(soft: np.ndarray, figure: np.ndarray, overlap: float) -> np.ndarray:
    """A carried mask, held to the cut of its frame: the regions that it meets, or the nearest one where it meets none.

    Args:
        soft: (h, w) uint8, 0 to 255.
        figure: (h, w) uint8, 0 or 1.
        overlap: Share of the smaller of both that a region and the mask must have in common to meet.

    Returns:
        (h, w) uint8, 0 or 255. Empty where the cut is; a mask that was empty becomes the largest region.
    """
    mask = soft > FULL // 2
    count, regions = cv2.connectedComponents(figure)
    areas = np.bincount(regions.ravel(), minlength=count)
    common = np.bincount(regions[mask], minlength=count)
    met = common > overlap * np.minimum(areas, np.count_nonzero(mask))
    met[0] = False
    if count > 1 and not met.any():
        met[_nearest(mask, figure, regions) if mask.any() else 1 + int(np.argmax(areas[1:]))] = True
    return np.asarray(met[regions] * np.uint8(FULL))


def _nearest(mask: np.ndarray, figure: np.ndarray, regions: np.ndarray) -> int:
    """The region with the pixel that lies nearest to a mask."""
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
    return int(regions.ravel()[np.argmin(np.where(figure > 0, distance, np.inf))])
