"""What the maps say of their own frames: colours of object and background over the clip, and a cut of each key frame."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import cv2
import numpy as np

from gazecut_segmenter.cache import ArrayCache
from gazecut_segmenter.config import ClassicalOptions
from gazecut_segmenter.frames import WorkingFrames, resized
from gazecut_segmenter.grabcut import cut, heat_seeds, learn_colors

MOST_LEARNED = 16  # key frames, evenly spread, that colours are learned from


class KeyFrames:
    """Key frames with their maps. Nothing depends on which object is asked about, so all objects share the work.

    Colours and cuts are kept in the cache and made again where it dropped them.

    Attributes:
        indices: T ascending indices into the clip.
        key: What the maps and their frames are, for whoever keeps something made from them.
    """

    def __init__(
        self, frames: WorkingFrames, cache: ArrayCache, options: ClassicalOptions, seed: int, heat: np.ndarray, indices: Sequence[int]
    ) -> None:
        """Take maps; nothing is computed yet.

        Args:
            frames: The clip's frames.
            cache: Where colours and cuts are kept.
            options: Of the segmenter.
            seed: Of the random numbers that learning draws.
            heat: (T, h', w') in [0, 1].
            indices: T ascending indices into the clip.
        """
        self.indices = list(indices)
        self.key = hashlib.blake2b(repr((heat.shape, self.indices)).encode() + heat.tobytes(), digest_size=16).digest()
        self._frames, self._cache, self._options, self._seed = frames, cache, options, seed
        self._heat = heat
        self._places = {index: place for place, index in enumerate(self.indices)}

    def figure(self, index: int) -> np.ndarray:
        """The cut of a key frame, (h, w) uint8, 0 or 1; empty where its map shows nothing."""
        held = self._cache.get(("figure", self.key, index))
        if held is not None:
            return held
        figure = cut(self._image(index), self.seeds(index, self._options.figure, self._options.ground), self.colors())
        return self._cache.put(("figure", self.key, index), figure)

    def seeds(self, index: int, figure: float, ground: float) -> np.ndarray:
        """Seeds of a key frame, (h, w) uint8 labels, see `heat_seeds`; all ground where its map shows nothing."""
        evidence = self._evidence(self._places[index])
        if evidence.max() < self._options.presence * self._heat.max():
            return np.full(evidence.shape, cv2.GC_BGD, np.uint8)
        return heat_seeds(evidence, figure, ground)

    def colors(self) -> np.ndarray | None:
        """Colours of ground and figure over the key frames, (2, 65) float64; None where the maps leave nothing to learn from."""
        held = self._cache.get(("colors", self.key))
        if held is None:
            shown = self.indices[:: -(-len(self.indices) // MOST_LEARNED)]
            seeds = [self.seeds(index, self._options.figure, self._options.ground) for index in shown]
            learned = learn_colors([self._image(index) for index in shown], seeds, self._options.color_side, self._seed)
            held = self._cache.put(("colors", self.key), np.zeros((0, 0)) if learned is None else learned)
        return held if held.size else None

    def _image(self, index: int) -> np.ndarray:
        return self._frames.image(index, self.indices[self._places[index] :])

    def _evidence(self, place: int) -> np.ndarray:
        """A key frame's map at working resolution, with its neighbours' carried along the flow: less noise, finer than cells."""
        size, weight, here = self._frames.size, self._options.neighbors, self.indices[place]
        total, weights = resized(self._heat[place], size), 1.0
        for other in (place - 1, place + 1):
            if weight and 0 <= other < len(self.indices):
                (carried,) = self._frames.carry([resized(self._heat[other], size)], self.indices[other], here, self.indices[place:])
                total, weights = total + weight * carried, weights + weight
        return np.asarray(total / weights)
