"""What the maps say of their own frames: colours of the whole clip's object, and a cut of each key frame."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from gazecut.resize import resize
from gazecut_segmenter.cache import ArrayCache
from gazecut_segmenter.config import ClassicalOptions
from gazecut_segmenter.frames import WorkingFrames
from gazecut_segmenter.grabcut import cut, heat_seeds, learn_colors

MOST_LEARNED = 16  # key frames, evenly spread, that colours are learned from


class KeyFrames:
    """Key frames with their maps. Nothing depends on which object is asked about, so all of them share the work.

    Colours and cuts are kept in the cache and made again where it dropped them.
    """

    def __init__(
        self, frames: WorkingFrames, cache: ArrayCache, heat: np.ndarray, indices: Sequence[int], options: ClassicalOptions, seed: int
    ) -> None:
        """Take maps; nothing is computed yet.

        Args:
            frames: The clip's frames.
            cache: Where colours and cuts are kept.
            heat: (T, h', w') in [0, 1].
            indices: T ascending indices into the clip.
            options: Of the segmenter.
            seed: Of the random numbers that learning draws.
        """
        self._frames, self._cache, self._options, self._seed = frames, cache, options, seed
        self._heat, self._indices = heat, list(indices)
        self._places = {index: place for place, index in enumerate(self._indices)}
        self._key = hashlib.blake2b(repr((heat.shape, self._indices)).encode() + heat.tobytes(), digest_size=16).digest()

    def __contains__(self, index: int) -> bool:
        """Whether a frame of the clip has a map."""
        return index in self._places

    def figure(self, index: int) -> np.ndarray:
        """The cut of a key frame, (h, w) uint8, 0 or 1, at working resolution."""
        held = self._cache.get(("figure", self._key, index))
        if held is not None:
            return held
        figure = cut(self._image(index), self.seeds(index, self._options.figure, self._options.ground), self.colors())
        return self._cache.put(("figure", self._key, index), figure)

    def seeds(self, index: int, figure: float, ground: float) -> np.ndarray:
        """Seeds of a key frame, (h, w) uint8 labels; see `heat_seeds`."""
        return heat_seeds(self._evidence(self._places[index]), figure, ground)

    def colors(self) -> np.ndarray | None:
        """Colours of ground and figure over the key frames, (2, 65) float64; None where the maps leave nothing to learn from."""
        held = self._cache.get(("colors", self._key))
        if held is None:
            step = -(-len(self._indices) // MOST_LEARNED)
            shown = self._indices[::step]
            seeds = [self.seeds(index, self._options.figure, self._options.ground) for index in shown]
            learned = learn_colors([self._image(index) for index in shown], seeds, self._options.color_side, self._seed)
            held = self._cache.put(("colors", self._key), np.zeros((0, 0)) if learned is None else learned)
        return held if held.size else None

    def _image(self, index: int) -> np.ndarray:
        return self._frames.image(index, self._indices[self._places[index] :])

    def _evidence(self, place: int) -> np.ndarray:
        """A key frame's map at working resolution, with its neighbours' carried along the flow: less noise, finer cells."""
        size, weight = self._frames.size, self._options.neighbors
        total, weights = resize(self._heat[place], size), 1.0
        for other in (place - 1, place + 1):
            if weight and 0 <= other < len(self._indices):
                near, here = self._indices[other], self._indices[place]
                (carried,) = self._frames.carry([resize(self._heat[other], size)], near, here, self._indices[place:])
                total, weights = total + weight * carried, weights + weight
        return np.asarray(total / weights)
