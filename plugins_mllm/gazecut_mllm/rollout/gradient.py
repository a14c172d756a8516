"""Kernels that can be differentiated: the way back works attention out again instead of keeping it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gazecut_mllm.rollout.chunked import Job, gradients

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Job], tuple[torch.Tensor, torch.Tensor]]


class Recomputed(torch.autograd.Function):
    """Any kernel on the way forward, chunks on the way back: memory stays linear in the number of tokens.

    `Recomputed.apply(attend, rows, query, key, job)` gives what `attend(rows, query, key, job)` gives.
    """

    @staticmethod
    def forward(ctx: Any, attend: Attend, rows: torch.Tensor, query: torch.Tensor, key: torch.Tensor, job: Job) -> Any:
        """Run the kernel; keep what it was given."""
        ctx.save_for_backward(rows, query, key)
        ctx.job = job
        return attend(rows, query, key, job)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_products: torch.Tensor, of_peaks: torch.Tensor) -> Any:
        """Gradients of rows, query and key."""
        return None, *gradients(ctx.saved_tensors, ctx.job, of_products, of_peaks), None
