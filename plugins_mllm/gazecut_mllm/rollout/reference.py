"""Rollout as the books have it: whole attention matrices, whole products. The oracle of the other kernels, and what they save."""

from __future__ import annotations

import torch

from gazecut_mllm.rollout.columns import Columns
from gazecut_mllm.rollout.reach import Reach


class MatrixRollout:
    """The product of all layers so far, N x N for every prompt of one sequence; each prompt is worked out by itself."""

    def __init__(self, reach: Reach, columns: Columns | None, dtype: torch.dtype) -> None:
        """Begin with no layer.

        Args:
            reach: Who sees whom.
            columns: Columns that weigh the heads; None where all weigh the same.
            dtype: What is computed in.
        """
        self._reach, self._columns, self._dtype = reach, columns, dtype
        self._products: list[torch.Tensor] = []

    def through(self, query: torch.Tensor, key: torch.Tensor, scale: float) -> None:
        """Multiply with the layer before: query (H, N, d), key (G, N, d)."""
        device = query.device
        query, key = query.to(self._dtype), key.to(self._dtype).repeat_interleave(len(query) // len(key), 0)
        layers = [self._layer(query[:, prompt], key[:, prompt], scale, prompt) for prompt in self._prompts(device)]
        before = [product.to(device) for product in self._products]
        self._products = [product @ layer for product, layer in zip(before, layers, strict=True)] if before else layers

    def rows(self) -> torch.Tensor:
        """The last row of each product (R, N), 0 outside of its prompt."""
        rows = self._products[0].new_zeros(len(self._products), len(self._reach))
        for row, product, prompt in zip(range(len(rows)), self._products, self._prompts(rows.device), strict=True):
            rows = rows.index_put((torch.full_like(prompt, row), prompt), product[-1])
        return rows

    def _prompts(self, device: torch.device) -> list[torch.Tensor]:
        return [prompt.to(device) for prompt in self._reach.prompts]

    def _layer(self, query: torch.Tensor, key: torch.Tensor, scale: float, prompt: torch.Tensor) -> torch.Tensor:
        """C (n, n) of the n tokens of a prompt, from query and key (H, n, d)."""
        mask = self._reach.mask
        if mask is None:
            seen = torch.ones(len(prompt), len(prompt), dtype=torch.bool, device=query.device).tril()
        else:
            seen = mask.to(query.device)[prompt][:, prompt]
        scores = (query @ key.mT * scale).masked_fill(~seen, -torch.inf)
        attention = scores.softmax(-1).masked_fill(~seen, 0)  # (H, n, n)
        weights = attention.new_ones(len(attention))
        if self._columns is not None:
            weights = attention[:, :, self._columns.chosen.to(query.device)[prompt]].amax(-1).mean(-1)
            weights = weights / weights.max().clamp_min(torch.finfo(weights.dtype).tiny)
        mean = (weights[:, None, None] * attention).sum(0) / len(attention)
        return 0.5 * mean + 0.5 * torch.eye(len(prompt), dtype=mean.dtype, device=mean.device)
