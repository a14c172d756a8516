"""Rollout through a layer in chunks of query rows: any device, memory linear in the number of tokens, and its gradient.

`row @ A[h]` is linear in A[h], so the head weights and the products come out of one pass: attention of a few rows is worked
out, its peaks noted, its products added, and it is dropped. Neighbouring query heads share a key head, which is never repeated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from gazecut_mllm.rollout.columns import Columns
from gazecut_mllm.rollout.reach import Reach

SCORES_BYTES = {"cpu": 16 << 20}  # of one chunk's scores; more falls out of the processor's cache
GPU_SCORES_BYTES = 512 << 20
MOST_ROWS = {"cpu": 32}  # beyond that a chunk only costs memory
GPU_MOST_ROWS = 256
FEWEST_ROWS = 8


@dataclass(frozen=True, eq=False)
class Job:
    """What a kernel knows of a layer besides rows, queries and keys.

    Attributes:
        scale: Factor on query-key products.
        reach: Who sees whom, on the device of the layer.
        columns: Columns that weigh the heads, there too; None where all heads weigh the same.
        chunk: Query rows at a time; None chooses. Of use to the chunked kernel alone.
    """

    scale: float
    reach: Reach
    columns: Columns | None
    chunk: int | None = None


@dataclass(frozen=True)
class Step:
    """Query rows from `start` to `stop`, and the keys that they may see: one stretch, or the trunk and a branch.

    Attributes:
        prompts: The prompts that the query rows are of: all for the trunk, one for a branch.
    """

    start: int
    stop: int
    keys: tuple[slice, ...]
    prompts: slice

    @property
    def rows(self) -> slice:
        """The query rows."""
        return slice(self.start, self.stop)

    def of(self, tensor: torch.Tensor, axis: int = -1) -> torch.Tensor:
        """What belongs to the keys: a view where they are one stretch."""
        parts = [tensor.narrow(axis, keys.start, keys.stop - keys.start) for keys in self.keys]
        return parts[0] if len(parts) == 1 else torch.cat(parts, axis)

    def add(self, total: torch.Tensor, part: torch.Tensor, axis: int = -1) -> None:
        """Add to a total over all tokens the part of the keys."""
        at = 0
        for keys in self.keys:
            width = keys.stop - keys.start
            total.narrow(axis, keys.start, width).add_(part.narrow(axis, at, width))
            at += width


class _Room:
    """Memory for the large tensors of a chunk, taken once for all chunks.

    Fresh tensors for every chunk are fresh pages of the system each time, and those cost as much as the arithmetic.
    """

    def __init__(self, job: Job, query: torch.Tensor, dtype: torch.dtype) -> None:
        heads, tokens, _ = query.shape
        self.chunk = job.chunk or rows_at_once(heads, tokens, query.device.type)
        self._like, self._size = query.new_empty(0, dtype=dtype), heads * min(self.chunk, tokens) * tokens
        self._taken: dict[str, torch.Tensor] = {}

    def take(self, name: str, *shape: int) -> torch.Tensor:
        """A tensor of any values, at most (H, chunk, N); what was taken under this name before is overwritten."""
        if name not in self._taken:
            self._taken[name] = self._like.new_empty(self._size)
        return self._taken[name][: math.prod(shape)].view(shape)


def attend(rows: torch.Tensor, query: torch.Tensor, key: torch.Tensor, job: Job) -> tuple[torch.Tensor, torch.Tensor]:
    """Products of rows with the attention of every head, and what the heads see of the weighing columns.

    Args:
        rows: (R, N), float32, or float64 for float64 layers.
        query: (H, N, d), any floating type.
        key: (G, N, d) of the same type.
        job: Scale, reach, columns and chunk.

    Returns:
        Products (H, R, N), and peaks (H, N): each row's largest attention on the columns, 0 where all heads weigh the same.
    """
    products = rows.new_zeros(len(query), *rows.shape)
    peaks = rows.new_zeros(query.shape[:2])
    key, room = key.to(rows.dtype), _Room(job, query, rows.dtype)
    for step in _steps(job.reach, room.chunk):
        attention = _attention(_scaled(query, step, job, rows.dtype), step.of(key, 1), (step, job.reach), room)
        # The rows of other prompts have nothing here.
        step.add(products[:, step.prompts], rows[step.prompts, step.rows] @ attention)
        if job.columns is not None:
            peaks[:, step.rows] = job.columns.largest(attention)
    return products, peaks


def gradients(
    inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor], job: Job, of_products: torch.Tensor, of_peaks: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients with respect to rows, query and key, of a scalar whose gradients with respect to products and peaks are given.

    Attention is worked out again, chunk by chunk: nothing of it is kept from the way forward.

    Args:
        inputs: Rows, query and key as `attend` took them.
        job: As `attend` took it.
        of_products: (H, R, N).
        of_peaks: (H, N).
    """
    rows, query, key = inputs
    exact = key.to(rows.dtype)
    of_rows = torch.zeros_like(rows)
    of_query = torch.zeros_like(query, dtype=rows.dtype)
    of_key = torch.zeros_like(exact)
    room = _Room(job, query, rows.dtype)
    for step in _steps(job.reach, room.chunk):
        scaled, seen = _scaled(query, step, job, rows.dtype), step.of(exact, 1)
        attention = _attention(scaled, seen, (step, job.reach), room)
        products = step.of(of_products)  # (H, R, k)
        of_rows[:, step.rows] = (products @ attention.mT).sum(0)
        of_attention = room.take("of attention", *attention.shape)  # (H, n, k)
        torch.bmm(rows[:, step.rows].T.expand(len(query), -1, -1), products, out=of_attention)
        if job.columns is not None:
            _add_to_peaks(of_attention, attention, of_peaks[:, step.rows], job.columns)
        along = torch.mul(attention, of_attention, out=room.take("scores", *attention.shape)).sum(-1, keepdim=True)
        of_scores = of_attention.sub_(along).mul_(attention).view(len(key), -1, seen.shape[1])  # (G, H / G * n, k)
        of_query[:, step.rows] = (of_scores @ seen).view(len(query), -1, query.shape[-1]) * job.scale
        step.add(of_key, of_scores.mT @ scaled.view(len(key), -1, query.shape[-1]), 1)
    return of_rows, of_query.to(query.dtype), of_key.to(key.dtype)


def rows_at_once(heads: int, tokens: int, device: str) -> int:
    """Rows of a chunk: as many as a budget of memory holds scores for, no more than speed things up, and less than half a matrix."""
    budget, most = SCORES_BYTES.get(device, GPU_SCORES_BYTES), MOST_ROWS.get(device, GPU_MOST_ROWS)
    return max(FEWEST_ROWS, min(most, budget // (heads * tokens * 4), tokens // (2 * heads)))


def _steps(reach: Reach, size: int) -> Iterator[Step]:
    for at, span in enumerate((range(reach.trunk), *reach.branches)):
        prompts = slice(at - 1, at) if at else slice(None)
        for start in range(span.start, span.stop, size):
            stop = min(start + size, span.stop)
            if reach.mask is not None:
                yield Step(start, stop, (slice(0, len(reach)),), prompts)
            elif span.start <= reach.trunk:  # the trunk, or the branch next to it
                yield Step(start, stop, (slice(0, stop),), prompts)
            else:
                yield Step(start, stop, (slice(0, reach.trunk), slice(span.start, stop)), prompts)


def _scaled(query: torch.Tensor, step: Step, job: Job, dtype: torch.dtype) -> torch.Tensor:
    """Query rows (H, n, d) of a step; scaled here, where it is cheapest."""
    return (query[:, step.rows].to(dtype) * job.scale).contiguous()


def _attention(query: torch.Tensor, key: torch.Tensor, where: tuple[Step, Reach], room: _Room) -> torch.Tensor:
    """Attention (H, n, k) of scaled query rows (H, n, d) on the keys (G, k, d) of a step; in the room, until it is taken again."""
    (heads, rows, width), (groups, seen, _), (step, reach) = query.shape, key.shape, where
    scores = room.take("scores", heads, rows, seen)
    torch.bmm(query.view(groups, -1, width), key.mT, out=scores.view(groups, -1, seen))
    attention = room.take("attention", heads, rows, seen)
    later = torch.ones(rows, rows, dtype=torch.bool, device=query.device).triu(1)
    if reach.is_causal:
        scores[:, :, -rows:].masked_fill_(later, -torch.inf)
        return torch.softmax(scores, -1, out=attention)
    if reach.mask is not None:
        hidden = ~reach.mask[step.rows]
    else:
        assert reach.tokens is not None
        hidden = ~step.of(reach.tokens).expand(rows, -1)
        hidden = torch.cat([hidden[:, :-rows], hidden[:, -rows:] | later], 1)
    # A row that sees nothing comes out of the softmax as NaN; it is to be 0.
    return torch.softmax(scores.masked_fill_(hidden, -torch.inf), -1, out=attention).masked_fill_(hidden, 0)


def _add_to_peaks(of_attention: torch.Tensor, attention: torch.Tensor, of_peaks: torch.Tensor, columns: Columns) -> None:
    """Add to gradients (H, n, k) what comes from peaks (H, n), in equal parts where several columns share the peak."""
    part = columns.among(attention)
    if part.shape[-1]:
        top = part == columns.largest(attention)[..., None]
        if not columns.is_range:
            top &= columns.chosen[columns.first : columns.first + part.shape[-1]]
        # Without a chosen column there is no peak, and no gradient to pass on.
        columns.among(of_attention).add_(top * (of_peaks / top.sum(-1).clamp_min(1))[..., None])
