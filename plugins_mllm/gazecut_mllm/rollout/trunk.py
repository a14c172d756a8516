"""Traces that share their first tokens, laid out as one sequence."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gazecut.arrays import Array, namespace
from gazecut.values import Trace, TraceLayer
from gazecut_mllm.rollout.layers import LazyLayers

MOST_TOGETHER = 32
"""Traces that are laid out as one sequence: memory grows with the square of their number, and what they share is little by then."""


@dataclass(frozen=True)
class Trunk:
    """First tokens that several traces share.

    Attributes:
        of: What they are the tokens of; traces with equal trunks have the same layers, and there the same queries and keys.
        tokens: How many they are, P.
    """

    of: Hashable
    tokens: int


@runtime_checkable
class OnTrunk(Protocol):
    """Trace layers that say what they share with others."""

    @property
    def trunk(self) -> Trunk:
        """The first tokens, and whose they are."""
        ...

    @property
    def tokens(self) -> int:
        """Number of tokens N, the trunk's among them."""
        ...

    def own(self, index: int) -> tuple[Array, Array]:
        """Query (H, s, d) and key (G, s, d) of the s tokens behind the trunk, at one layer."""
        ...


def grouped(traces: Sequence[Trace]) -> list[list[int]]:
    """Indices of traces, those on one trunk with the same visual columns together, as many as may be; others alone."""
    groups: dict[Hashable, list[int]] = {}
    for index, trace in enumerate(traces):
        key = (trace.layers.trunk, id(trace.visual_columns)) if isinstance(trace.layers, OnTrunk) else index
        groups.setdefault(key, []).append(index)
    return [group[start : start + MOST_TOGETHER] for group in groups.values() for start in range(0, len(group), MOST_TOGETHER)]


class Together(LazyLayers):
    """Layers of several traces on one trunk: the trunk once, then each trace's own tokens.

    Attributes:
        branches: Number of own tokens of each trace.
    """

    def __init__(self, traces: Sequence[Trace]) -> None:
        """Keep the layers of one or more traces of one group; nothing is read yet."""
        self._first = traces[0].layers
        self._others = [trace.layers for trace in traces if isinstance(trace.layers, OnTrunk)]
        self.branches = [layers.tokens - layers.trunk.tokens for layers in self._others]

    def __len__(self) -> int:
        return len(self._first)

    def together(self, at: int) -> TraceLayer:
        """One layer of all."""
        query, key, scale = self._first[at]
        own = [layers.own(at) for layers in self._others[1:]]
        xp = namespace(query)
        return TraceLayer(
            xp.concat([query, *(each[0] for each in own)], axis=1), xp.concat([key, *(each[1] for each in own)], axis=1), scale
        )
