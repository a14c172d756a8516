"""How attention is computed while it is captured: by torch (sdpa), by flash-attn, or as whole matrices.

Each takes what transformers gives an attention function: query (B, H, n, d), key and value (B, G, N, d), a mask (B or 1, 1, n, N) of bool,
true where attention is allowed, or None for a causal one; and gives the output (B, n, H, d). flash-attn knows no mask but the causal
one: what needs another, as several questions in one pass do, is computed by sdpa. That is the short part of the work.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from gazecut.errors import PluginError, RecipeError

_log = logging.getLogger(__name__)

Kernel: TypeAlias = Literal["sdpa", "flash", "eager"]
Attend: TypeAlias = Callable[..., tuple[torch.Tensor, None]]

HALF = (torch.bfloat16, torch.float16)


def resolve_attention(option: Literal["auto", "sdpa", "flash", "eager"], dtype: torch.dtype, device: torch.device) -> Kernel:
    """The kernel that an option means; "auto" is flash-attn where it can be used, else sdpa.

    Args:
        option: As recipes name it.
        dtype: Floating type of the model.
        device: Where it computes.

    Raises:
        PluginError: flash-attn is asked for and not installed, or cannot be imported.
        RecipeError: flash-attn is asked for and cannot compute in this floating type or on this device.
    """
    if option in ("sdpa", "eager"):
        return option
    usable = device.type == "cuda" and dtype in HALF
    if option == "flash" and not usable:
        raise RecipeError(
            f"mllm.attention is flash, which computes in bfloat16 or float16 on a CUDA device only; the model is {dtype} on {device}. "
            'Set mllm.dtype or --device, or set mllm.attention to "auto".'
        )
    if option == "auto" and not (usable and find_spec("flash_attn")):
        return "sdpa"
    try:
        import_module("flash_attn")
    except ImportError as error:  # not there, or built for another torch
        if option == "auto":
            _log.warning("attention is computed by torch, for flash-attn cannot be imported: %s. Traces are the same.", error)
            return "sdpa"
        raise PluginError(
            'mllm.attention is flash, which needs package flash-attn: pip install "gazecut[flash]" --no-build-isolation, '
            f'beside the torch that is here ({error}). Or set mllm.attention to "auto".'
        ) from error
    return "flash"


def flash(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, **options: Any
) -> tuple[torch.Tensor, None]:
    """By flash-attn where the mask is the causal one."""
    if mask is not None:
        return sdpa_attention_forward(module, query, key, value, mask, **options)
    # Not by the library's own function for it: that loads its kernel by the model's setting, which is ours.
    compute = import_module("flash_attn").flash_attn_func
    rows = (tensor.transpose(1, 2) for tensor in (query, key, value))  # (B, n, H, d), key heads not repeated
    return compute(*rows, softmax_scale=options.get("scaling"), causal=True), None


def eager(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, **options: Any
) -> tuple[torch.Tensor, None]:
    """As whole matrices (B, H, n, N), softmax in float32: for comparison, on few tokens."""
    groups = query.shape[1] // key.shape[1]
    scores = query @ key.repeat_interleave(groups, 1).mT * (options.get("scaling") or query.shape[-1] ** -0.5)
    if mask is None:
        mask = torch.ones_like(scores[:1, :1], dtype=torch.bool).tril(scores.shape[-1] - scores.shape[-2])
    # A row of padding may see nothing at all: the least number keeps it finite.
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
    return (weights @ value.repeat_interleave(groups, 1)).transpose(1, 2), None


KERNELS: dict[Kernel, Attend] = {"sdpa": sdpa_attention_forward, "flash": flash, "eager": eager}
