"""Capture of attention: queries and keys of a language model, kept while it runs as ever.

transformers lets an attention function be registered by name. There is one of ours for each kernel: it computes the output by that
kernel, and keeps what it was given while a capture is open in the current context; so it can stay set on a model for good. A mask
function must be registered with each: without one transformers drops the mask, and padded or continued prompts go wrong silently.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

from gazecut.errors import WeightsError
from gazecut_mllm.kernels import KERNELS, Attend, Kernel

# Not "..._flash": transformers takes any name with that word in it for a kernel that it has to load itself.
NAMES: dict[Kernel, str] = {"sdpa": "gazecut_capture_sdpa", "flash": "gazecut_capture_fa2", "eager": "gazecut_capture_eager"}
"""The attention setting of a model, by kernel."""

ATTENTION = NAMES["sdpa"]
"""The one that computes everywhere."""


@dataclass
class Captured:
    """What one forward pass left behind, by layer.

    Attributes:
        layers: The layers that are kept.
        query: Layer to (B, H, n, d), after rotary embedding.
        key: Layer to (B, G, N, d), after rotary embedding, not repeated for the query heads; N counts cached tokens too.
        scale: Layer to the factor on query-key products.
    """

    layers: range
    query: dict[int, torch.Tensor] = field(default_factory=dict)
    key: dict[int, torch.Tensor] = field(default_factory=dict)
    scale: dict[int, float] = field(default_factory=dict)


_open: ContextVar[Captured | None] = ContextVar("gazecut_capture", default=None)


@contextmanager
def capturing(layers: range) -> Iterator[Captured]:
    """Keep what the asked layers of the language model see while the context is open, in this thread only."""
    captured = Captured(layers)
    token = _open.set(captured)
    try:
        yield captured
    finally:
        _open.reset(token)


def is_capturing() -> bool:
    """Whether a capture is open in the current context."""
    return _open.get() is not None


def _captured_by(compute: Attend) -> Attend:
    """An attention function that gives exactly what a kernel computes."""

    def attend(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        """The signature is the one that transformers calls."""
        captured, layer = _open.get(), getattr(module, "layer_idx", None)
        # Vision towers have no layer_idx: theirs is never kept, even where the whole model was set to this function.
        if captured is not None and isinstance(layer, int) and layer in captured.layers:
            captured.query[layer], captured.key[layer] = query, key
            captured.scale[layer] = float(options.get("scaling") or query.shape[-1] ** -0.5)
        return compute(module, query, key, value, attention_mask, **options)

    return attend


for _kernel, _name in NAMES.items():
    AttentionInterface.register(_name, _captured_by(KERNELS[_kernel]))
    AttentionMaskInterface.register(_name, sdpa_mask)


def install(model: PreTrainedModel) -> str:
    """Let a model's language model attend through the capture; one that does already keeps its kernel.

    Returns:
        The attention setting that the language model had, for `restore`.

    Raises:
        WeightsError: The model has no language model part, or one whose attention is not causal over all tokens.
    """
    if "text_config" not in model.config.sub_configs:
        raise WeightsError(f"{type(model).__name__} has no language model part to capture; wanted an image-text-to-text model.")
    text = model.config.text_config
    if "sliding_attention" in (getattr(text, "layer_types", None) or ()):
        raise WeightsError(
            f"{type(model).__name__} attends within a sliding window in some layers; rollout needs attention to all earlier tokens. "
            "Switch it off in the checkpoint (use_sliding_window: false)."
        )
    before = str(text._attn_implementation)
    if before not in NAMES.values():
        model.set_attn_implementation({"text_config": ATTENTION})
    return before


def restore(model: PreTrainedModel, before: str) -> None:
    """Give a model's language model back the attention setting it had before `install`."""
    model.set_attn_implementation({"text_config": before})
