"""Attention rollout of a single row, without any attention matrix.

DecAF (arXiv 2510.19592, section 3.1), after attention rollout (arXiv 2005.00928). With A (H, N, N) the attention of a layer and
V the visual columns,

    m[h, i] = max over j in V of A[h, i, j]         w[h] = mean over all N rows i of m[h, i], then divided by its largest
    B = (1 / H) * sum over h of w[h] * A[h]         C = B / 2 + I / 2
    r = e_last C_last ... C_first

Only a row is wanted, so the product runs from the last layer to the first as vector times matrix. `r A[h]` is linear in A[h]:
head weights and products come out of one pass over query rows, in chunks that see only the keys up to their own end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch

from gazecut.arrays import Array
from gazecut.errors import ShapeError
from gazecut.values import Trace, TraceSpec
from gazecut_mllm.config import RolloutConfig

HeadWeighting = Literal["vision-max", "max", "mean"]
Kernel = Literal["auto", "chunked"]

SMALLEST_CHUNK = 8
LARGEST_CHUNK = {"cpu": 64, "cuda": 256, "mps": 256}  # rows; beyond that it only costs memory


def rollout_row(
    layers: Sequence[tuple[Array, Array, float]],
    visual_columns: Array,
    *,
    head_weighting: HeadWeighting = "vision-max",
    kernel: Kernel = "auto",
    chunk: int | None = None,
) -> Array:
    """How much the last token draws on each token, through all given layers.

    Layers are read once each, from the last to the first, and none is kept: a sequence that builds them when read costs one layer.

    Args:
        layers: First to last, each (query (H, N, d), key (G, N, d), scale), after rotary embedding, causal; NumPy or torch.
            H is a multiple of G: key heads are shared by neighbouring query heads, and not repeated here either.
        visual_columns: (V,) integer positions in [0, N).
        head_weighting: "vision-max" weighs heads by their largest attention on a visual token, "max" on any token, "mean" all alike.
        kernel: "auto" or "chunked".
        chunk: Query rows at a time; None chooses. The largest tensor has H * chunk * N elements.

    Returns:
        (N,), >= 0, sum <= 1; kind and device of the layers, float64 where they are that, else float32. Differentiable in them.

    Raises:
        ShapeError: No layers, shapes that do not fit each other, columns out of range, or an unknown weighting, kernel or chunk.
    """
    _check_options(head_weighting, kernel, chunk)
    if len(layers) == 0:
        raise ShapeError("rollout has no layers; wanted at least one (query, key, scale).")
    row: torch.Tensor | None = None
    numpy = False
    for index in range(len(layers) - 1, -1, -1):
        query, key, scale = layers[index]
        numpy = isinstance(query, np.ndarray)
        query, key = _tensor(query), _tensor(key)
        _check_layer(index, query, key, None if row is None else len(row))
        if row is None:
            row = torch.zeros(query.shape[1], dtype=_computing_dtype(query), device=query.device)
            row[-1] = 1
            columns = _weighing_columns(visual_columns, head_weighting, row)
        row = _through_layer(row, (query, key, float(scale)), columns, chunk or _chunk(query))
        del query, key  # before the next layer is built
    assert row is not None
    return row.numpy() if numpy else row


def _check_options(head_weighting: str, kernel: str, chunk: int | None) -> None:
    for name, value, allowed in (("head_weighting", head_weighting, get_args(HeadWeighting)), ("kernel", kernel, get_args(Kernel))):
        if value not in allowed:
            raise ShapeError(f'rollout {name} is "{value}"; wanted one of: {", ".join(allowed)}.')
    if chunk is not None and chunk < 1:
        raise ShapeError(f"rollout chunk is {chunk}; wanted 1 or more rows, or None.")


def _check_layer(index: int, query: torch.Tensor, key: torch.Tensor, tokens: int | None) -> None:
    where = f"rollout layer {index} has query {tuple(query.shape)} and key {tuple(key.shape)}"
    if query.ndim != 3 or key.ndim != 3 or query.shape[1:] != key.shape[1:] or 0 in (*query.shape, *key.shape):
        raise ShapeError(f"{where}; wanted (H, N, d) and (G, N, d).")
    if query.shape[0] % key.shape[0]:
        raise ShapeError(f"{where}; wanted a number of query heads that is a multiple of the key heads.")
    if tokens is not None and query.shape[1] != tokens:
        raise ShapeError(f"{where}; wanted {tokens} tokens, as the layer after it has.")


def _tensor(array: Array) -> torch.Tensor:
    return array if isinstance(array, torch.Tensor) else torch.as_tensor(array)


def _computing_dtype(array: torch.Tensor) -> torch.dtype:
    return torch.float64 if array.dtype == torch.float64 else torch.float32


def _weighing_columns(visual_columns: Array, head_weighting: HeadWeighting, row: torch.Tensor) -> np.ndarray | None:
    """Columns whose maximum weighs a head, ascending, in host memory; None for no weighing."""
    visual = _tensor(visual_columns).cpu()
    if visual.ndim != 1 or visual.is_floating_point() or visual.dtype == torch.bool:
        raise ShapeError(f"visual columns have shape {tuple(visual.shape)} and dtype {visual.dtype}; wanted (V,) integers.")
    if visual.numel() and not (visual.min() >= 0 and visual.max() < len(row)):
        raise ShapeError(
            f"visual columns span {int(visual.min())} to {int(visual.max())}; wanted 0 to {len(row) - 1}, positions of {len(row)} tokens."
        )
    if head_weighting == "mean":
        return None
    if head_weighting == "max":
        return np.arange(len(row))
    if not visual.numel():
        raise ShapeError('there are no visual columns; head weighting "vision-max" wants one or more. Take "max" or "mean" without them.')
    return np.unique(visual.numpy())


def _chunk(query: torch.Tensor) -> int:
    """Rows at a time: scores of H * rows * N elements stay below half of one N x N matrix wherever N >= 16 H."""
    heads, tokens, _ = query.shape
    return max(SMALLEST_CHUNK, min(LARGEST_CHUNK.get(query.device.type, 64), tokens // (2 * heads)))


def _through_layer(
    row: torch.Tensor, layer: tuple[torch.Tensor, torch.Tensor, float], columns: np.ndarray | None, chunk: int
) -> torch.Tensor:
    """The row times C of one layer.

    Args:
        row: (N,).
        layer: query (H, N, d), key (G, N, d), scale.
        columns: Ascending columns that weigh the heads, or None.
        chunk: Query rows at a time.
    """
    query, key, scale = layer
    (heads, tokens, width), groups = query.shape, key.shape[0]
    # Scaled on the query, which is the smaller factor; neighbouring query heads share a key head.
    grouped = query.reshape(groups, heads // groups, tokens, width)
    key = key.to(row.dtype)
    products = row.new_zeros(heads, tokens)  # r A[h]
    seen = row.new_zeros(heads)  # sum over rows of m[h, i]
    for start in range(0, tokens, chunk):
        stop = min(start + chunk, tokens)
        attention = _attention(grouped[:, :, start:stop].to(row.dtype) * scale, key[:, :stop], start)
        products[:, :stop] += row[start:stop] @ attention
        if columns is not None:
            seen = seen + _largest(attention, columns).sum(-1)
    # Divided by the largest, the sum over rows is as good as their mean.
    weights = row.new_ones(heads) if columns is None else seen / seen.max().clamp_min(torch.finfo(row.dtype).tiny)
    return 0.5 * (weights @ products) / heads + 0.5 * row


def _attention(query: torch.Tensor, key: torch.Tensor, start: int) -> torch.Tensor:
    """Causal attention (H, c, stop) of rows `start` to `stop` on the keys up to their end.

    Args:
        query: (G, H / G, c, d), scaled.
        key: (G, stop, d).
        start: Position of the first row.
    """
    groups, repeats, rows, width = query.shape
    scores = query.reshape(groups, repeats * rows, width) @ key.mT  # (G, H / G * c, stop)
    scores = scores.view(groups * repeats, rows, key.shape[1])
    later = torch.ones(rows, rows, dtype=torch.bool, device=query.device).triu(1)
    scores[:, :, start:].masked_fill_(later, -torch.inf)
    return scores.softmax(-1)


def _largest(attention: torch.Tensor, columns: np.ndarray) -> torch.Tensor:
    """Largest attention (H, c) on the ascending columns; 0 for rows that come before all of them."""
    seen = columns[: np.searchsorted(columns, attention.shape[-1])]
    if not len(seen):
        return attention.new_zeros(attention.shape[:2])
    first, last = int(seen[0]), int(seen[-1])
    if last - first + 1 == len(seen):  # contiguous: a view instead of a copy
        return attention[:, :, first : last + 1].amax(-1)
    return attention[:, :, torch.from_numpy(seen).to(attention.device)].amax(-1)


class RolloutAttribution:
    """One score per visual token: its share of the answering row, rolled out through the asked layers."""

    spec: TraceSpec

    def __init__(self, config: RolloutConfig) -> None:
        """Take the options; nothing is computed."""
        self.spec = TraceSpec(config.first_layer, config.last_layer, config.row)
        self._config = config

    def scores(self, trace: Trace) -> Array:
        """Scores (V,) >= 0 of the visual tokens, in the order of `trace.visual_columns`; float64 stays, else float32.

        Raises:
            ShapeError: The trace has no layers, or layers that do not fit each other.
        """
        row = rollout_row(
            trace.layers,
            trace.visual_columns,
            head_weighting=self._config.head_weighting,
            kernel=self._config.kernel,
            chunk=self._config.chunk,
        )
        columns = trace.visual_columns
        return row[np.asarray(columns) if isinstance(row, np.ndarray) else _tensor(columns).to(row.device)]
