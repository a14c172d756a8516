"""Least recently used arrays within a budget of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

import numpy as np


class ArrayCache:
    """Keeps arrays while they fit; what was used longest ago goes first. An array larger than the budget is not kept."""

    def __init__(self, budget: int) -> None:
        """Start empty.

        Args:
            budget: Most bytes held at any time.
        """
        self.budget = budget
        self._arrays: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._held

    def get(self, key: Hashable) -> np.ndarray | None:
        """The array of a key, or None where it is not held (any more)."""
        if key in self._arrays:
            self._arrays.move_to_end(key)
        return self._arrays.get(key)

    def put(self, key: Hashable, array: np.ndarray) -> np.ndarray:
        """Keep an array and return it as others will be given it, too: read-only. Whoever made it, a clip for one, may still write."""
        array = array.view()
        array.flags.writeable = False
        before = self._arrays.pop(key, None)
        self._held += array.nbytes - (0 if before is None else before.nbytes)
        self._arrays[key] = array
        while self._held > self.budget:
            self._held -= self._arrays.popitem(last=False)[1].nbytes
        return array

    def clear(self) -> None:
        """Let go of everything."""
        self._arrays.clear()
        self._held = 0
