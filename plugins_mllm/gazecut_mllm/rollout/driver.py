"""Attention rollout of single rows, without any attention matrix.

DecAF (arXiv 2510.19592, section 3.1), after attention rollout (arXiv 2005.00928). With A (H, N, N) the attention of a layer and
V the visual columns,

    m[h, i] = max over j in V of A[h, i, j]         w[h] = mean over all N rows i of m[h, i], then divided by its largest
    B = (1 / H) * sum over h of w[h] * A[h]         C = B / 2 + I / 2
    r = e_last C_last ... C_first

Only a row is wanted, so the product runs from the last layer to the first as vector times matrix: docs/rollout.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import get_args

import numpy as np
import torch

from gazecut.arrays import Array
from gazecut.errors import ShapeError
from gazecut_mllm.config import HeadWeighting, Kernel
from gazecut_mllm.rollout.checks import chosen_columns, layer_tensors, per_sequence
from gazecut_mllm.rollout.columns import Columns, columns_of
from gazecut_mllm.rollout.reach import Masking, Reach, reach_of
from gazecut_mllm.rollout.reference import MatrixRollout
from gazecut_mllm.rollout.vector import VectorRollout

Layers = Sequence[tuple[Array, Array, float]]


@dataclass(frozen=True)
class Method:
    """How a rollout is worked out.

    Attributes:
        head_weighting: "vision-max" weighs heads by their largest attention on a visual token, "max" on any token, "mean" all alike.
        kernel: "chunked" takes query rows a few at a time, on any device; "fused" is one Triton kernel, on CUDA devices; "reference"
            multiplies whole matrices, in N x N memory; "auto" is fused for half precision on a CUDA device, else chunked.
        chunk: Query rows at a time, for the chunked kernel and for gradients; None chooses within a budget of memory.
    """

    head_weighting: HeadWeighting = "vision-max"
    kernel: Kernel = "auto"
    chunk: int | None = None

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("head_weighting", self.head_weighting, get_args(HeadWeighting)),
            ("kernel", self.kernel, get_args(Kernel)),
        ):
            if value not in allowed:
                raise ShapeError(f'rollout {name} is "{value}"; wanted one of: {", ".join(allowed)}.')
        if self.chunk is not None and self.chunk < 1:
            raise ShapeError(f"rollout chunk is {self.chunk}; wanted 1 or more rows, or None.")


def rollout_row(
    layers: Layers,
    visual_columns: Array,
    *,
    head_weighting: HeadWeighting = "vision-max",
    kernel: Kernel = "auto",
    chunk: int | None = None,
    masking: Masking | None = None,
) -> Array:
    """How much the last token draws on each token, through all given layers.

    Layers are read once each, from the last to the first, and none is kept: a sequence that builds them when read costs one layer.
    They may lie on different devices. Where they need gradients, what comes back has them, still in memory linear in N.

    Args:
        layers: First to last, each (query (H, N, d), key (G, N, d), scale), after rotary embedding; NumPy or torch. B sequences at
            once are (B, H, N, d) and (B, G, N, d). H is a multiple of G: neighbouring query heads share a key head.
        visual_columns: (V,) integer positions in [0, N), or (N,) bool; (B, N) bool where sequences differ.
        head_weighting: As `Method` says.
        kernel: As `Method` says.
        chunk: As `Method` says.
        masking: Padding, and attention that is not causal; None is causal attention among N tokens. The last token is the last one
            that is no padding.

    Returns:
        (N,), or (B, N) for B sequences; >= 0, sum <= 1; kind of the layers, device of the first, float64 where they are that, else
        float32.

    Raises:
        ShapeError: No layers, shapes or dtypes that do not fit each other, no visual columns or some out of range, or an unknown
            weighting, kernel or chunk.
        BackendError: Queries or keys of a layer are not finite.
    """
    rows = _Rollout(visual_columns, (), masking, Method(head_weighting, kernel, chunk)).through(layers)
    return rows.given(rows.values[:, 0])


def rollout_rows(
    layers: Layers, visual_columns: Array, branches: Sequence[int], *, method: Method | None = None, masking: Masking | None = None
) -> list[Array]:
    """Rows of several prompts that share their first tokens, in one pass; attention of the shared tokens is worked out once.

    Args:
        layers: As `rollout_row` takes them, of one sequence that holds the shared trunk and then each prompt's own tokens, one prompt
            after another: N = P + sum of branches. Attention within it is causal for each prompt by itself.
        visual_columns: Positions in the trunk, [0, P), or (N,) bool.
        branches: Number of own tokens of each prompt, >= 1.
        method: How; None is the default.
        masking: As for `rollout_row`, over the whole sequence.

    Returns:
        One row per prompt, (P + own,) or (B, P + own), as `rollout_row` gives it for that prompt alone.

    Raises:
        ShapeError: As for `rollout_row`; no branches, or visual columns outside of the trunk.
        BackendError: Queries or keys of a layer are not finite.
    """
    if not len(branches):
        raise ShapeError("rollout has no branches; wanted the number of own tokens of one or more prompts.")
    rows = _Rollout(visual_columns, branches, masking, method or Method()).through(layers)
    values, ends = rows.values, np.cumsum([rows.values.shape[-1] - sum(branches), *branches]).tolist()
    return [
        rows.given(torch.cat([values[:, at, : ends[0]], values[:, at, start:stop]], -1)) for at, (start, stop) in enumerate(pairwise(ends))
    ]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows (B, R, N), and what kind of answer the layers ask for."""

    values: torch.Tensor
    batched: bool
    numpy: bool

    def given(self, rows: torch.Tensor) -> Array:
        """Some rows (B, n) as the caller gave the layers."""
        wanted = rows if self.batched else rows[0]
        return wanted.numpy() if self.numpy else wanted


class _Rollout:
    """All sequences of a call, layer by layer."""

    def __init__(self, visual_columns: Array, branches: Sequence[int], masking: Masking | None, method: Method) -> None:
        self._visual, self._branches, self._masking, self._method = visual_columns, branches, masking or Masking(), method

    def through(self, layers: Layers) -> _Rows:
        if len(layers) == 0:
            raise ShapeError("rollout has no layers; wanted at least one (query, key, scale).")
        sequences: list[MatrixRollout | VectorRollout] = []
        like: torch.Tensor | None = None
        for index in range(len(layers) - 1, -1, -1):
            layer = layer_tensors(index, layers[index], like)
            if like is None:
                like = layer.query.new_empty(()).expand(layer.query.shape)  # shape and dtype, without the memory
                sequences = self._begin(layer.query)
                batched, numpy = layer.batched, layer.numpy
            for at, sequence in enumerate(sequences):
                sequence.through(layer.query[at], layer.key[at], layer.scale)
            del layer  # before the next layer is built
        return _Rows(torch.stack([sequence.rows() for sequence in sequences]), batched, numpy)

    def _begin(self, query: torch.Tensor) -> list[MatrixRollout | VectorRollout]:
        """One rollout for every sequence of a layer's query (B, H, N, d)."""
        count, _, length, _ = query.shape
        dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
        tokens = per_sequence("tokens", self._masking.tokens, (count, length))
        masks = per_sequence("mask", self._masking.mask, (count, length, length))
        reaches = [reach_of(length, self._branches, *of_one) for of_one in zip(tokens, masks, strict=True)]
        chosen = chosen_columns(self._visual, count, reaches)
        return [self._of_one(reach, columns, dtype) for reach, columns in zip(reaches, chosen, strict=True)]

    def _of_one(self, reach: Reach, chosen: torch.Tensor, dtype: torch.dtype) -> MatrixRollout | VectorRollout:
        columns = self._weighing(reach, chosen)
        kernel = self._method.kernel
        if kernel == "reference":
            return MatrixRollout(reach, columns, dtype)
        return VectorRollout(reach, columns, dtype, kernel, self._method.chunk)

    def _weighing(self, reach: Reach, chosen: torch.Tensor) -> Columns | None:
        if self._method.head_weighting == "mean":
            return None
        if self._method.head_weighting == "max":
            return columns_of(torch.ones(len(reach), dtype=torch.bool))
        if not chosen.any():
            raise ShapeError('there are no visual columns; head weighting "vision-max" wants one or more. Without, take "max" or "mean".')
        return columns_of(chosen)
