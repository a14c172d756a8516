"""Rollout of rows alone: the product runs from the last layer to the first as vector times matrix."""

from __future__ import annotations

import logging
from functools import cache
from typing import Literal

import torch

from gazecut_mllm.rollout import chunked
from gazecut_mllm.rollout.chunked import Job
from gazecut_mllm.rollout.columns import Columns
from gazecut_mllm.rollout.gradient import Attend, Recomputed
from gazecut_mllm.rollout.reach import Reach

logger = logging.getLogger(__name__)

VectorKernel = Literal["auto", "chunked", "fused"]

HALVES = (torch.bfloat16, torch.float16)


class VectorRollout:
    """One row for every prompt of one sequence."""

    def __init__(
        self, reach: Reach, columns: Columns | None, dtype: torch.dtype, kernel: VectorKernel = "auto", chunk: int | None = None
    ) -> None:
        """Begin with no layer.

        Args:
            reach: Who sees whom.
            columns: Columns that weigh the heads; None where all weigh the same.
            dtype: float32, or float64 for float64 layers.
            kernel: What works attention out; "auto" chooses for each layer.
            chunk: Query rows at a time, or None.
        """
        self._reach, self._columns, self._kernel, self._chunk = reach, columns, kernel, chunk
        self._members = torch.zeros(len(reach.prompts), len(reach), dtype=dtype)
        self._rows = torch.zeros_like(self._members)
        for index, prompt in enumerate(reach.prompts):
            self._members[index, prompt.cpu()] = 1
            self._rows[index, int(prompt[-1])] = 1

    def through(self, query: torch.Tensor, key: torch.Tensor, scale: float) -> None:
        """Take the rows through the layer before: query (H, N, d), key (G, N, d) on any device, where the rows then are."""
        self._move(query.device)
        job = Job(scale, self._reach, self._columns, self._chunk)
        products, peaks = Recomputed.apply(kernel_for(self._kernel, query), self._rows, query, key, job)
        weights = peaks.new_ones(len(self._rows), len(peaks))  # (R, H)
        if self._columns is not None:
            # Divided by the largest, the sum over a prompt's tokens is as good as their mean.
            seen = self._members @ peaks.T
            weights = seen / seen.amax(1, keepdim=True).clamp_min(torch.finfo(seen.dtype).tiny)
        self._rows = 0.5 * torch.einsum("rh,hrn->rn", weights, products) / len(peaks) + 0.5 * self._rows

    def rows(self) -> torch.Tensor:
        """The rows (R, N), 0 outside of their prompts."""
        return self._rows

    def _move(self, device: torch.device) -> None:
        if self._rows.device != device:
            self._rows, self._members = self._rows.to(device), self._members.to(device)
            self._reach = self._reach.to(device)
            self._columns = self._columns and self._columns.to(device)


def kernel_for(name: VectorKernel, query: torch.Tensor) -> Attend:
    """The kernel that a layer's attention is worked out with.

    Args:
        name: "auto" takes the fused kernel for half precision on a CUDA device, "fused" wherever it can.
        query: (H, N, d).
    """
    if name == "chunked" or (name == "auto" and not (query.is_cuda and query.dtype in HALVES)):
        return chunked.attend
    try:
        import gazecut_mllm.rollout.fused as fused
    except ImportError:
        _say_once("Triton is not installed")
        return chunked.attend
    lack = fused.lack(query)
    if lack is None:
        return fused.attend
    _say_once(lack)
    return chunked.attend


@cache
def _say_once(lack: str) -> None:
    logger.warning("rollout runs in chunks where the fused kernel was wanted: %s. The result is the same.", lack)
