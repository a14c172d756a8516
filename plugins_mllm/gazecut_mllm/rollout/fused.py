"""Rollout through a layer in Triton, tile by tile: no score is ever written to memory.

Two kernels. The first walks the keys of a block of query rows, as flash attention does, and keeps of each row the logarithm of
its softmax's denominator and the largest score on the weighing columns. The second walks the query rows of a block of keys,
works their attention out again from that logarithm, and adds up `row @ A[h]`: every program owns the columns that it writes, so
sums have one order and results repeat to the bit.

Tiles that causality leaves whole skip all masks. Exponentials are base 2, the scale takes the factor. With TRITON_INTERPRET=1 in
the environment before this is imported, the kernels run on a CPU, slowly, for tests.
"""

from __future__ import annotations

import math
import os
from contextlib import nullcontext
from functools import cache
from subprocess import CalledProcessError
from typing import NamedTuple

import torch
import triton

from gazecut_mllm.rollout.chunked import Job
from gazecut_mllm.rollout.tiles import columns_kernel, rows_kernel

WIDEST_HEAD = 256  # elements; beyond that a tile outgrows the registers
FEWEST_ROWS = 16  # of a product on the tensor cores; a single row is summed without them
FLOATS = (torch.bfloat16, torch.float16, torch.float32)
IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def lack(query: torch.Tensor) -> str | None:
    """Why the kernels cannot take a layer with this query (H, N, d); None where they can."""
    if not (query.is_cuda or IS_INTERPRETED):
        return f"it needs a CUDA device, the layers are on {query.device.type}"
    if query.dtype not in FLOATS:
        return f"it has no {query.dtype}"
    if query.shape[-1] > WIDEST_HEAD:
        return f"it takes heads of up to {WIDEST_HEAD} elements, these have {query.shape[-1]}"
    return None if IS_INTERPRETED else _trouble()


@cache
def _trouble() -> str | None:
    """Why Triton does not start on this machine: it builds its launcher with a C compiler, which small containers lack."""
    try:
        triton.runtime.driver.active.get_current_target()
    except (ImportError, OSError, RuntimeError, CalledProcessError) as error:
        return f"Triton does not start here ({error})"
    return None


def attend(rows: torch.Tensor, query: torch.Tensor, key: torch.Tensor, job: Job) -> tuple[torch.Tensor, torch.Tensor]:
    """Products of rows with the attention of every head, and what the heads see of the weighing columns.

    Args:
        rows: (R, N) float32.
        query: (H, N, d), bfloat16, float16 or float32, d <= 256; products are summed in float32.
        key: (G, N, d) of the same type.
        job: Scale, reach and columns; the chunk is of no use here.

    Returns:
        Products (H, R, N), and peaks (H, N): each row's largest attention on the columns, 0 where all heads weigh the same.
    """
    (heads, tokens, width), count = query.shape, len(rows)
    query, key = (each if each.stride(-1) == 1 else each.contiguous() for each in (query, key))
    rows = rows.contiguous()
    peaks, logs = rows.new_zeros(heads, tokens), rows.new_empty(heads, tokens)
    products = rows.new_empty(heads, count, tokens)
    batch = 1 if count == 1 else FEWEST_ROWS
    layer = (query, key, *_reach(job, query.device))
    numbers = (
        *(tokens, job.reach.trunk, job.scale * math.log2(math.e)),
        *(*query.stride()[:2], *key.stride()[:2], heads // len(key), width),
        *(max(16, triton.next_power_of_2(width)), IS_INTERPRETED),  # the interpreter multiplies bfloat16 wrongly
    )
    chosen = None if job.columns is None else job.columns.chosen.view(torch.uint8)
    by_rows, by_columns = _tiles(query, 1), _tiles(query, batch)
    # Triton launches on the current device, which need not be the one that holds the layer.
    with torch.cuda.device(query.device) if query.is_cuda else nullcontext():
        rows_kernel[triton.cdiv(tokens, by_rows.rows), heads](*layer, chosen, logs, peaks, *numbers, **by_rows.options())
        columns_kernel[triton.cdiv(tokens, by_columns.keys), heads, triton.cdiv(count, batch)](
            *layer, rows, logs, products, count, *numbers, batch, **by_columns.options()
        )
    return products, peaks


class _Tiles(NamedTuple):
    """Rows and keys of a tile, and how the compiler is to spread them: causal half precision spills no register on 8.0 and 9.0."""

    rows: int
    keys: int
    warps: int
    stages: int

    def options(self) -> dict[str, int]:
        return {"ROWS": self.rows, "KEYS": self.keys, "num_warps": self.warps, "num_stages": self.stages}


def _tiles(query: torch.Tensor, batch: int) -> _Tiles:
    width = query.shape[-1]
    if IS_INTERPRETED or query.dtype == torch.float32:  # exact products run outside of the tensor cores, on tiles twice as large
        return _Tiles(32, 32, 8, 1)
    if batch > 1:
        return _Tiles(32, 64, 4, 2) if width <= 128 else _Tiles(32, 32, 4, 1)
    return _Tiles(128, 64, 8 if width > 64 else 4, 3) if width <= 128 else _Tiles(64, 32, 4, 2)


def _reach(job: Job, device: torch.device) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Tokens (N,), mask (N, N) and starts of the rows' branches (N,), each where it says something that the others do not."""
    reach = job.reach
    if reach.mask is not None:
        return None, reach.mask.contiguous().view(torch.uint8), None
    starts = None
    if reach.branches:
        starts = torch.zeros(len(reach), dtype=torch.int32)
        for own in reach.branches:
            starts[own.start : own.stop] = own.start
        starts = starts.to(device)
    return (None if reach.tokens is None else reach.tokens.contiguous().view(torch.uint8)), None, starts
