"""What a trace of a continued question keeps: the question's own queries and keys, and a way to those of its prefix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from gazecut.values import TraceLayer
from gazecut_mllm.prefix import Prefix
from gazecut_mllm.rollout.layers import LazyLayers
from gazecut_mllm.rollout.trunk import Trunk


class Kept(Protocol):
    """A prefix that is in memory, or can be brought there."""

    def __len__(self) -> int:
        """Its tokens."""
        ...

    def take(self) -> Prefix:
        """The prefix on the device of the model."""
        ...


class ContinuedLayers(LazyLayers):
    """Trace layers of one sequence, each put together from prefix and suffix."""

    def __init__(self, held: Kept, sequence: int, first_layer: int, pieces: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Keep the parts.

        Args:
            held: The prefix, which can be brought back into memory as long as a trace of it is there.
            sequence: Which of its sequences.
            first_layer: Layer of the first piece.
            pieces: Query (H, s, d) and key (G, s, d) of the suffix, layer by layer.
        """
        self._held, self._sequence, self._first, self._pieces = held, sequence, first_layer, tuple(pieces)

    def __len__(self) -> int:
        return len(self._pieces)

    @property
    def trunk(self) -> Trunk:
        """The prefix, as far as these layers go; equal for all suffixes of one sequence."""
        return Trunk((id(self._held), self._sequence, self._first, len(self)), len(self._held))

    @property
    def tokens(self) -> int:
        """Number of tokens N of prefix and suffix."""
        return len(self._held) + int(self._pieces[0][0].shape[1])

    def own(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Query (H, s, d) and key (G, s, d) of the suffix at one layer."""
        return self._pieces[index]

    def together(self, at: int) -> TraceLayer:
        """One layer of prefix and suffix."""
        (query, key), prefix, layer = self._pieces[at], self._held.take(), self._first + at
        whole_query = torch.cat([prefix.queries[layer][self._sequence].to(query.device), query], dim=1)  # (H, N, d)
        whole_key = torch.cat([prefix.keys(layer)[self._sequence].to(key.device), key], dim=1)  # (G, N, d)
        return TraceLayer(whole_query, whole_key, prefix.scales[layer])
