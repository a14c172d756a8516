"""Prefixes in memory within a budget: what does not fit moves to host memory, what does not fit there is made again when needed."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from itertools import count

import torch

from gazecut.work import Work
from gazecut_mllm.memory import memory_explained
from gazecut_mllm.prefix import Prefix


class Held:
    """A prefix that is in memory or can be brought there; it leaves memory for good with the last reference to this.

    Attributes:
        opening: The tokens that its sequences share.
        sequences: Number of sequences.
        layers: The layers that can be traced.
    """

    def __init__(self, shelf: Shelf, prefix: Prefix, make: Callable[[], Prefix]) -> None:
        """Keep a prefix, and the way to make it again."""
        self.opening, self.sequences, self.layers, self.bytes = prefix.opening, prefix.sequences, prefix.layers, prefix.bytes
        self.prefix: Prefix | None = prefix
        self.used = 0
        self._shelf, self._make = shelf, make

    def __len__(self) -> int:
        return len(self.opening.ids)

    def take(self) -> Prefix:
        """The prefix where the model computes."""
        return self._shelf.take(self)

    def make(self) -> Prefix:
        """Run vision tower and language model over it again."""
        return self._make()


class Shelf:
    """All prefixes of a backend, as many as budgets allow in memory; whatever the budgets, one is.

    A view's prefixes are used in turns, so the one that was used last is needed last and makes room first.
    """

    def __init__(self, device: torch.device, budget: int, host_budget: int, work: Work) -> None:
        """Hold nothing.

        Args:
            device: Of the model, or the first of several.
            budget: Bytes of keys, values and queries there, on all of them together.
            host_budget: Bytes in host memory beside it; of no use where the device is the host.
            work: Where prefixes made again are counted.
        """
        self._budget, self._work = budget, work
        self._host_budget = 0 if device.type == "cpu" else host_budget
        self._all: weakref.WeakSet[Held] = weakref.WeakSet()
        self._clock = count(1)

    def hold(self, prefix: Prefix, make: Callable[[], Prefix]) -> Held:
        """Take over a fresh prefix.

        Args:
            prefix: Where the model computes.
            make: Makes an equal one.
        """
        held = Held(self, prefix, make)
        held.used = next(self._clock)
        self._make_room(held.bytes, held)
        self._all.add(held)
        return held

    @torch.inference_mode()
    def take(self, held: Held) -> Prefix:
        """A prefix where the model computes, from wherever it is.

        Raises:
            BackendError: It does not fit into what memory is left.
        """
        held.used = next(self._clock)
        prefix = held.prefix
        if prefix is not None and prefix.is_home:
            return prefix
        self._make_room(held.bytes, held)
        with memory_explained(f"Lower mllm.cache_gib (now {self._budget / 2**30:g}), which leaves more for the work itself."):
            if prefix is None:
                self._work.refills += 1
                prefix = held.make()
            held.prefix = prefix.home()
        return held.prefix

    def bytes(self, *, home: bool = True) -> int:
        """What is held where the model computes; or else, what waits in host memory."""
        return sum(held.bytes for held in self._all if held.prefix is not None and held.prefix.is_home == home)

    def _make_room(self, wanted: int, needed: Held) -> None:
        """Move prefixes out of the way until so many bytes more are within the budget, or none is left to move."""
        while self.bytes() + wanted > self._budget:
            others = [held for held in self._all if held is not needed and held.prefix is not None and held.prefix.is_home]
            if not others:
                return
            last = max(others, key=lambda held: held.used)
            assert last.prefix is not None
            fits = self.bytes(home=False) + last.bytes <= self._host_budget
            last.prefix = last.prefix.waiting() if fits else None
