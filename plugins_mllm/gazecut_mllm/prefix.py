"""The visual prefix of a session: run through vision tower and language model once, then continued from as often as asked."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from transformers import DynamicCache

from gazecut_mllm.capture import capturing
from gazecut_mllm.hf import HFBackend
from gazecut_mllm.positions import position_ids


@dataclass(frozen=True)
class Opening:
    """The tokens up to the last visual one, the same for every sequence.

    Attributes:
        ids: (n,) token ids; where embeddings of a prelude stand, some id of the prompt.
        positions: (axes, n) positions: one axis, or the three of M-RoPE.
        visual: (V,) positions in the sequence of the visual tokens.
        prelude: (P, d) embeddings that stand before the visual tokens, or None.
        prelude_at: Where in the sequence they start.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    visual: torch.Tensor
    prelude: torch.Tensor | None = None
    prelude_at: int = 0

    @cached_property
    def following(self) -> int:
        """Position of the token behind the opening, in all axes."""
        return int(self.positions.max()) + 1


@dataclass(frozen=True)
class Prefix:
    """B sequences with their opening in memory.

    Attributes:
        opening: The tokens that they share; only the pixels differ.
        sequences: Number of sequences B.
        cache: Keys and values of the n tokens, all layers; to be continued from a `snapshot` only.
        queries: Layer to queries (B, H, n, d) of the opening, for the layers that can be traced.
        scales: Layer to the factor on query-key products.
        layers: The layers that can be traced.
        homes: Where each layer of the model computes.
        first: Which sequence of the whole its first one is, where it is a part.
    """

    opening: Opening
    sequences: int
    cache: DynamicCache
    queries: dict[int, torch.Tensor]
    scales: dict[int, float]
    layers: range
    homes: tuple[torch.device, ...]
    first: int = 0

    def __len__(self) -> int:
        return len(self.opening.ids)

    @property
    def is_home(self) -> bool:
        """Whether keys, values and queries are where their layers compute, and not waiting elsewhere."""
        return self.keys(0).device == self.homes[0]

    @property
    def bytes(self) -> int:
        """Memory of keys, values and queries."""
        layers: list[Any] = self.cache.layers
        tensors: list[torch.Tensor] = [part for layer in layers for part in (layer.keys, layer.values)]
        return sum(tensor.nbytes for tensor in (*tensors, *self.queries.values()))

    def keys(self, layer: int) -> torch.Tensor:
        """Keys (B, G, n, d) of a layer."""
        layers: list[Any] = self.cache.layers
        keys: torch.Tensor = layers[layer].keys
        return keys

    def part(self, sequences: slice) -> Prefix:
        """Some of its sequences; keys, values and queries are views of this one's."""
        chosen = range(self.sequences)[sequences]
        return replace(self._with(lambda tensor, _layer: tensor[sequences]), sequences=len(chosen), first=self.first + chosen.start)

    def waiting(self) -> Prefix:
        """The same in host memory."""
        return self._with(lambda tensor, _layer: tensor.cpu())

    def home(self) -> Prefix:
        """The same with each layer where it computes; itself where it is there."""
        return self if self.is_home else self._with(lambda tensor, layer: tensor.to(self.homes[layer]))

    def _with(self, change: Callable[[torch.Tensor, int], torch.Tensor]) -> Prefix:
        """The same with keys, values and queries changed; what changes them is told their layer too."""
        cache = snapshot(self.cache)
        layers: list[Any] = cache.layers  # of attention, all of them: others have no keys
        for at, layer in enumerate(layers):
            layer.keys, layer.values = change(layer.keys, at), change(layer.values, at)
        return replace(self, cache=cache, queries={layer: change(query, layer) for layer, query in self.queries.items()})


def prefill(backend: HFBackend, opening: Opening, seen: dict[str, torch.Tensor] | torch.Tensor, sequences: int, layers: range) -> Prefix:
    """Run vision tower and language model over the opening, once.

    Args:
        backend: The model.
        opening: Tokens up to the last visual one.
        seen: Pixels and grids as the model takes them, for all sequences; or visual embeddings (B, V, d), ready made.
        sequences: Number of sequences B.
        layers: Layers whose queries are kept.
    """
    ids = opening.ids.expand(sequences, -1)
    tokens: dict[str, Any] = {"input_ids": ids}
    if isinstance(seen, torch.Tensor) or opening.prelude is not None:
        embeddings = backend.model.get_input_embeddings()(ids).clone()
        if opening.prelude is not None:
            embeddings[:, opening.prelude_at : opening.prelude_at + len(opening.prelude)] = opening.prelude
        if isinstance(seen, torch.Tensor):
            embeddings[:, opening.visual.to(embeddings.device)] = seen.to(embeddings)
        tokens = {"inputs_embeds": embeddings}
    if not isinstance(seen, torch.Tensor):
        tokens.update(seen)
    with capturing(layers) as captured:
        output = backend.model(
            **tokens,
            position_ids=position_ids(opening.positions[:, None].expand(-1, sequences, -1)),
            use_cache=True,
            logits_to_keep=1,
        )
    kept: list[Any] = output.past_key_values.layers
    homes = tuple(layer.keys.device for layer in kept)
    return Prefix(opening, sequences, output.past_key_values, captured.query, captured.scale, layers, homes)


def snapshot(cache: DynamicCache) -> DynamicCache:
    """A cache that grows on its own; keys and values are shared with the original, which stays as it is."""
    # A layer's update binds a new tensor and never writes into the old one, so a shallow copy of each layer is enough.
    copied = copy.copy(cache)
    copied.layers = [copy.copy(layer) for layer in cache.layers]
    return copied


def behind(cache: DynamicCache, tokens: int) -> DynamicCache:
    """A cache of what follows the first tokens, in memory of its own."""
    copied = snapshot(cache)
    layers: list[Any] = copied.layers
    for layer in layers:
        layer.keys, layer.values = layer.keys[:, :, tokens:].clone(), layer.values[:, :, tokens:].clone()
    return copied


def joined(caches: Sequence[DynamicCache]) -> DynamicCache:
    """The tokens of several caches one after another."""
    whole = snapshot(caches[0])
    layers: list[Any] = whole.layers
    for at, layer in enumerate(layers):
        parts: list[Any] = [cache.layers[at] for cache in caches]
        layer.keys, layer.values = torch.cat([part.keys for part in parts], dim=2), torch.cat([part.values for part in parts], dim=2)
    return whole
