"""Which of several objects a pixel belongs to, where the cuts of a clip see one figure alone.

A cut parts figure from ground and knows nothing of objects. Those that touch or cross are one region of it, and each of them meets
the whole region. So such pixels are divided: by the colours that each object had on its prompted frame, and by where its carried
mask says that it is. Whatever else the figure held on that frame takes part as one more object, so that an object that is followed
alone does not swallow another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, partial

import cv2
import numpy as np

from gazecut_segmenter.frames import FULL

BINS = (8, 16, 16)  # of L, a and b
SPREAD = 1.0  # bins, standard deviation: shades move a little from frame to frame
FLOOR = 1e-4  # share of an object's pixels that any colour is thought to have
NEARNESS = 2.0  # weight of a carried mask against the logarithm of a colour's likelihood
FORESIGHT = 0.7  # share of that weight for where the object would be had it moved on as before it touched another
INERTIA = 0.5  # of an object's motion from frame to frame
SMOOTH = 1.5  # px, standard deviation over which pixels are judged together
FAMILIAR = 0.5  # share of a region's pixels in an object's own colours from which it may be the object come back


class Objects:
    """Several objects of one prompted frame, and the colours that each had there.

    Attributes:
        colors: One per object, (bins,) float32: the logarithm of how likely each bin of colours is on it.
        sights: One per object: where the prompted frame shows it, at rest.
    """

    def __init__(self, image: np.ndarray, masks: Sequence[np.ndarray], frame: int) -> None:
        """Learn their colours.

        Args:
            image: (h, w, 3) uint8 RGB, the prompted frame.
            masks: Each (h, w) bool; an empty one stays empty, having no colours by which to find it again.
            frame: Its index in the clip.
        """
        bins = color_bins(image)
        self.colors = [_logarithms(bins[mask]) for mask in masks]
        self.sights = [_Sight(mask, frame) for mask in masks]


@dataclass
class _Sight:
    """Where an object was last seen whole, and how it moved.

    Attributes:
        mask: (h, w) bool.
        frame: Index in the clip.
        velocity: (2,) float64, pixels per frame, x and y.
    """

    mask: np.ndarray
    frame: int
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))

    def at(self, frame: int) -> np.ndarray:
        """Where it would be on a frame had it moved on as before, (h, w) float32 in [0, 1]."""
        x, y = self.velocity * (frame - self.frame)
        moved = cv2.warpAffine(self.mask.astype(np.float32), np.array([[1, 0, x], [0, 1, y]]), self.mask.shape[::-1])
        return np.asarray(moved)

    def then(self, mask: np.ndarray, frame: int) -> _Sight:
        """What is known after it was seen whole again."""
        if not (mask.any() and self.mask.any()):
            return _Sight(mask, frame)
        moved = (_center(mask) - _center(self.mask)) / (frame - self.frame)
        return _Sight(mask, frame, INERTIA * self.velocity + (1 - INERTIA) * moved)


class Parting:
    """Objects told apart on their way from the prompted frame, frame after frame."""

    def __init__(self, objects: Objects) -> None:
        """Start at the prompted frame."""
        self._colors, self._sights = objects.colors, list(objects.sights)

    def divided(self, held: Sequence[np.ndarray], carried: Sequence[np.ndarray], image: np.ndarray, frame: int) -> list[np.ndarray]:
        """Masks of which no two share a pixel.

        Args:
            held: (h, w) uint8, 0 or 255, one per object: where it may be.
            carried: (h, w) uint8, 0 to 255, one per object: where its motion brought it.
            image: (h, w, 3) uint8 RGB, the frame.
            frame: Its index in the clip.

        Returns:
            The same masks, without what belongs to another object, and nothing where what was found is not the object.
        """
        places = np.stack(held) > FULL // 2
        bins = cache(partial(color_bins, image))  # of most frames nobody asks them
        for number, soft in enumerate(carried):
            if places[number].any() and not soft.any():  # lost, and found again somewhere: only if it looks like it
                places[number] &= self._familiar(number, bins()[places[number]])
        contested = places.sum(axis=0) > 1
        whole = ~(places & contested).any(axis=(1, 2))
        if contested.any():
            scores = np.stack([self._score(number, bins(), soft, frame) for number, soft in enumerate(carried)])
            winner = np.where(places, scores, -np.inf).argmax(axis=0)
            places &= ~contested | (winner == np.arange(len(places))[:, None, None])
        self._sights = [
            sight.then(place, frame) if alone else sight for sight, place, alone in zip(self._sights, places, whole, strict=True)
        ]
        kept = places | (np.stack(held) <= FULL // 2) & ~contested  # a soft rim stays, so that slow motion is not rounded away
        return [layer * own for layer, own in zip(held, kept, strict=True)]

    def _familiar(self, number: int, bins: np.ndarray) -> bool:
        """Whether pixels, by their bins (n,) of at least one, are mostly in an object's own colours."""
        return float((self._colors[number][bins] > np.log(2 * FLOOR)).mean()) > FAMILIAR

    def _score(self, number: int, bins: np.ndarray, soft: np.ndarray, frame: int) -> np.ndarray:
        """How much speaks for an object at each pixel, (h, w) float32."""
        near = (1 - FORESIGHT) * (soft.astype(np.float32) / FULL) + FORESIGHT * self._sights[number].at(frame)
        return np.asarray(cv2.GaussianBlur(self._colors[number][bins] + NEARNESS * near, (0, 0), SMOOTH))


def color_bins(image: np.ndarray) -> np.ndarray:
    """The bin of each pixel's colour in CIELAB, (h, w) int64, of an image (h, w, 3) uint8 RGB."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.int64)
    light, red, yellow = (lab[..., axis] * bins // 256 for axis, bins in enumerate(BINS))
    return np.asarray((light * BINS[1] + red) * BINS[2] + yellow)


def _logarithms(bins: np.ndarray) -> np.ndarray:
    """Logarithms of the shares of pixels by bin, (bins,) float32, from the bins (n,) of an object's pixels."""
    counts = np.bincount(bins, minlength=int(np.prod(BINS))).reshape(BINS).astype(np.float32)
    kernel = cv2.getGaussianKernel(2 * round(3 * SPREAD) + 1, SPREAD, cv2.CV_32F)
    for axis, length in enumerate(BINS):
        lines = np.ascontiguousarray(np.moveaxis(counts, axis, -1)).reshape(-1, length)
        spread = cv2.sepFilter2D(lines, -1, kernel, np.ones(1, np.float32), borderType=cv2.BORDER_REPLICATE)
        others = [bins for at, bins in enumerate(BINS) if at != axis]
        counts = np.moveaxis(np.asarray(spread, np.float32).reshape(others[0], others[1], length), -1, axis)
    return np.asarray(np.log(counts.ravel() / max(float(counts.sum()), 1.0) + FLOOR), np.float32)


def _center(mask: np.ndarray) -> np.ndarray:
    """Mean x and y of a mask's pixels, (2,) float64."""
    y, x = np.nonzero(mask)
    return np.array([x.mean(), y.mean()])
