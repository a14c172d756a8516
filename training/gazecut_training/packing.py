"""A fast forward pass for training: many questions share one visual prefix.

Equal to the stock model on each question alone (tested), but the prefix of P positions is computed once for its K
questions, vision windows are one batch, and attention runs in bfloat16 when asked. Letters: B clips, P prefix positions,
K questions of L tokens in a block, D hidden, H heads, d head size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.utils.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from gazecut_training.model import MERGE, PATCH, TOKENS_PER_SECOND, WINDOW

SIDE: Final = WINDOW // PATCH  # patches per window and axis
CELLS: Final = WINDOW // (PATCH * MERGE)  # tokens per window and axis

Rope: TypeAlias = tuple[Tensor, Tensor]
Stock: TypeAlias = Any
"""A module of transformers, whose attributes no type checker can know."""


@dataclass(frozen=True)
class Shape:
    """What attention must know: P prefix positions, then blocks of K questions of L tokens; and whether it runs in bfloat16."""

    prefix: int
    blocks: tuple[tuple[int, int], ...]
    half: bool


def patch_windows(frames: Tensor) -> Tensor:
    """Cut frames into the patches of the vision tower, window by window.

    Args:
        frames: (S, T, H, W, 3) uint8; S slots of T = 1 (image) or 2 (video) frames, H and W multiples of 64 px.

    Returns:
        (S * windows, 64, 3 * T * 64) uint8; patches in merge order within each window.
    """
    slots, times, height, width, _ = frames.shape
    x = frames.view(slots, times, height // WINDOW, CELLS, MERGE, PATCH, width // WINDOW, CELLS, MERGE, PATCH, 3)
    x = x.permute(0, 2, 6, 3, 7, 4, 8, 10, 1, 5, 9)  # slot, window (y, x), cell (y, x), patch (y, x), rgb, time, px (y, x)
    return x.reshape(-1, SIDE * SIDE, 3 * times * PATCH * PATCH)


def vision_tokens(model: Qwen2_5_VLForConditionalGeneration, patches: Tensor, grid: tuple[int, int], half: bool) -> Tensor:
    """Run the vision tower.

    Args:
        model: The pocket model.
        patches: From `patch_windows`, uint8 (S * windows, 64, 3 * T * 64).
        grid: Tokens (h, w) per slot.
        half: Attention in bfloat16.

    Returns:
        (S, h * w, D) tokens in raster order.
    """
    tower: Stock = model.model.visual
    times = patches.shape[-1] // (3 * PATCH * PATCH)
    mean, std = torch.tensor(OPENAI_CLIP_MEAN), torch.tensor(OPENAI_CLIP_STD)  # as the processor normalises
    scale, shift = 1.0 / (255.0 * std), -mean / std
    pixels = patches.view(*patches.shape[:2], 3, -1).float() * scale[:, None] + shift[:, None]
    weight = tower.patch_embed.proj.weight  # (D, 3, 2, 8, 8)
    if times == 1:  # the processor shows an image twice
        weight = weight.sum(2)
    x = F.linear(pixels.flatten(2), weight.flatten(1)).float()
    rope = _window_rope(tower)
    for block in tower.blocks:
        x = x + _window_attention(block.attn, _norm(block.norm1, x), rope, half)
        x = x + _mlp(block.mlp, _norm(block.norm2, x))
    x = _norm(tower.merger.ln_q, x).reshape(-1, CELLS, CELLS, tower.merger.hidden_size)
    x = tower.merger.mlp(x)
    rows, cols = grid
    x = x.view(-1, rows // CELLS, cols // CELLS, CELLS, CELLS, x.shape[-1])
    raster: Tensor = x.permute(0, 1, 3, 2, 4, 5).reshape(-1, rows * cols, x.shape[-1])
    return raster


def prefix_positions(before: int, grid: tuple[int, int, int] | None, after: int, seconds_per_slot: float = 1.0) -> tuple[Tensor, int]:
    """M-RoPE positions of the prefix.

    Args:
        before: Text tokens before the visual tokens.
        grid: Slots and tokens (t, h, w); None for text alone.
        after: Text tokens after the visual tokens that belong to the prefix.
        seconds_per_slot: Time from slot to slot, 0 for an image.

    Returns:
        Positions (3, P) on the temporal, height and width axes, and the first position of what follows.
    """
    text = torch.arange(before).expand(3, -1)
    if grid is None:
        return text, before
    slots, rows, cols = grid
    step = round(seconds_per_slot * TOKENS_PER_SECOND)
    t, y, x = torch.meshgrid(torch.arange(slots) * step, torch.arange(rows), torch.arange(cols), indexing="ij")
    visual = before + torch.stack([t.flatten(), y.flatten(), x.flatten()])
    following = int(visual.max()) + 1
    return torch.cat([text, visual, following + torch.arange(after).expand(3, -1)], 1), following + after


def hidden_states(
    model: Qwen2_5_VLForConditionalGeneration,
    prefix: Tensor,
    positions: tuple[Tensor, int],
    questions: Sequence[Tensor],
    half: bool,
) -> list[Tensor]:
    """Run the language model over prefixes and their questions.

    Args:
        model: The pocket model.
        prefix: Embeddings (B, P, D).
        positions: Those of the prefix (3, P), and the first one of every question; from `prefix_positions`.
        questions: Token ids (B, K, L) per block, padded on the right.
        half: Attention in bfloat16.

    Returns:
        Final hidden states (B, K, L, D) per block.
    """
    text: Stock = model.model.language_model
    shape = Shape(prefix.shape[1], tuple((q.shape[1], q.shape[2]) for q in questions), half)
    before, following = positions
    asked = [text.embed_tokens(q).flatten(1, 2) for q in questions]
    x = torch.cat([prefix, *asked], 1)
    steps = torch.cat([(following + torch.arange(length)).repeat(count) for count, length in shape.blocks])
    rope = _text_rope(model, torch.cat([before, steps.expand(3, -1)], 1))
    last = len(text.layers) - 1
    for number, layer in enumerate(text.layers):
        skip = shape.prefix if number == last else 0  # nobody reads the prefix after the last layer
        h = _norm(layer.input_layernorm, x)
        x = x[:, skip:] + _packed_attention(layer.self_attn, h, rope, shape, skip)
        x = x + _mlp(layer.mlp, _norm(layer.post_attention_layernorm, x))
    x = _norm(text.norm, x)
    parts = torch.split(x, [count * length for count, length in shape.blocks], 1)
    return [p.view(len(x), count, length, -1) for p, (count, length) in zip(parts, shape.blocks, strict=True)]


def _packed_attention(attention: Stock, h: Tensor, rope: Rope, shape: Shape, skip: int) -> Tensor:
    """Attention of each question to the prefix and to itself; the first `skip` positions of the prefix are not asked for."""
    batch, total, width = h.shape
    heads = attention.num_heads
    q = attention.q_proj(h[:, skip:]).view(batch, total - skip, heads, -1).transpose(1, 2)
    k = attention.k_proj(h).view(batch, total, heads, -1).transpose(1, 2)
    v = attention.v_proj(h).view(batch, total, heads, -1).transpose(1, 2)
    q = _rotate(q, rope[0][skip:], rope[1][skip:]) / math.sqrt(attention.head_dim)
    k = _rotate(k, *rope)
    if shape.half:
        q, k, v = q.bfloat16(), k.bfloat16(), v.bfloat16()
    p = shape.prefix
    out = [] if skip else [(q[:, :, :p] @ k[:, :, :p].mT + _causal(p, q)).softmax(-1) @ v[:, :, :p]]
    to_prefix = q[:, :, p - skip :] @ k[:, :, :p].mT  # (B, H, sum of K * L, P)
    start = p
    for count, length in shape.blocks:
        size, block = count * length, (batch, heads, count, length)
        own_q, own_k, own_v = (a[:, :, start - s : start - s + size].reshape(*block, -1) for a, s in ((q, skip), (k, 0), (v, 0)))
        own = own_q @ own_k.mT + _causal(length, q)
        far = to_prefix[:, :, start - p : start - p + size].view(*block, p)
        weights = torch.cat([far, own], -1).softmax(-1)
        near = (weights[..., p:] @ own_v).flatten(2, 3)
        out.append(weights[..., :p].reshape(batch, heads, size, p) @ v[:, :, :p] + near)
        start += size
    joined = torch.cat(out, 2).transpose(1, 2).reshape(batch, total - skip, width)
    projected: Tensor = attention.o_proj(joined.to(h.dtype))
    return projected


def _window_attention(attention: Stock, h: Tensor, rope: Rope, half: bool) -> Tensor:
    windows, length, width = h.shape
    q, k, v = attention.qkv(h).view(windows, length, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    q, k = _rotate(q, *rope) * attention.scaling, _rotate(k, *rope)
    if half:
        q, k, v = q.bfloat16(), k.bfloat16(), v.bfloat16()
    out = (q @ k.mT).softmax(-1) @ v
    projected: Tensor = attention.proj(out.transpose(1, 2).reshape(windows, length, width).to(h.dtype))
    return projected


def _mlp(mlp: Stock, x: Tensor) -> Tensor:
    out: Tensor = mlp.down_proj(F.silu(mlp.gate_proj(x)) * mlp.up_proj(x))
    return out


def _norm(norm: Stock, x: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), norm.weight, norm.variance_epsilon)


def _causal(length: int, like: Tensor) -> Tensor:
    return torch.full((length, length), -math.inf, dtype=like.dtype).triu(1)


def _rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat([-second, first], -1) * sine


def _text_rope(model: Qwen2_5_VLForConditionalGeneration, positions: Tensor) -> Rope:
    rotary: Stock = model.model.language_model.rotary_emb
    cosine, sine = rotary(torch.zeros(1), positions[:, None])  # (1, N, d), of older releases of transformers (3, 1, N, d)
    if cosine.ndim == 4:  # one table for each axis: features are cut into sections, each of which reads its own
        sections = rotary.mrope_section * 2
        cosine, sine = (torch.cat([part[i % 3] for i, part in enumerate(a.split(sections, -1))], -1) for a in (cosine, sine))
    return cosine[0], sine[0]


def _window_rope(tower: Stock) -> Rope:
    """Positions inside a window: only differences matter, and nothing looks beyond its window."""
    y, x, v, u = torch.meshgrid(torch.arange(CELLS), torch.arange(CELLS), torch.arange(MERGE), torch.arange(MERGE), indexing="ij")
    rows, cols = (y * MERGE + v).flatten(), (x * MERGE + u).flatten()
    cosine, sine = tower.rotary_pos_emb(torch.zeros(1), torch.stack([rows, cols], -1))
    return cosine, sine
