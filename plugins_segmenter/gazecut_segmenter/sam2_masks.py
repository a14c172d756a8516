"""Prompts and masks of SAM 2, between the clip's size and the network's: what the official code does, on any device."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as nn
from torch import Tensor

from gazecut_segmenter.sam2_shared import NO_OBJECT, Decoded

FILLED = 0.1  # logit of a filled cell, as the official operator sets it
MASK_LOGIT = 10.0  # logit of a mask that was given: + on it, - beside it
_PIXELS_AT_ONCE = 1 << 24  # floats at the clip's size, 64 MiB


def mask_prompts(masks: Tensor, side: int) -> Tensor:
    """Masks as the network takes them: resized with antialiasing, and cut at one half.

    Args:
        masks: (K, H, W) bool.
        side: S, pixels of the network's square input.

    Returns:
        (K, 1, S, S) float32, 0 or 1.
    """
    given = masks[:, None].float()
    if given.shape[-2:] == (side, side):
        return given
    return (_shrunk(given, side) >= 0.5).float()


def prompt_logits(prompts: Tensor) -> Tensor:
    """Logits (K, 4h, 4h) of given masks (K, 1, S, S): +-10, shrunk to a quarter with antialiasing."""
    return _shrunk(2 * MASK_LOGIT * prompts - MASK_LOGIT, prompts.shape[-1] // 4)[:, 0]


def at_input_size(logits: Tensor, side: int) -> Tensor:
    """Logits (K, h', w') at the size of the network's input, (K, 1, S, S), bilinear."""
    return nn.interpolate(logits[:, None].float(), size=(side, side), mode="bilinear", align_corners=False)


def at_clip_size(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks (K, H, W) bool of logits (K, h', w') at the clip's size (H, W): resized bilinearly, then cut at 0."""
    together = max(1, _PIXELS_AT_ONCE // (size[0] * size[1]))
    parts = [
        nn.interpolate(part[:, None], size=size, mode="bilinear", align_corners=False)[:, 0] > 0 for part in torch.split(logits, together)
    ]
    return torch.cat(parts)


def best_masks(decoded: Decoded) -> tuple[Tensor, Tensor, Tensor]:
    """Of each object's masks the one with the highest predicted IoU; empty where the object is judged to be absent.

    Returns:
        Logits (K, 4h, 4h) float32, predicted IoU (K,) float32 and the token (K, C) to point with.
    """
    trust = decoded.predicted_iou.float()
    best = trust.argmax(dim=1)
    rows = torch.arange(len(best), device=best.device)
    token = decoded.tokens[rows, best] if decoded.tokens.shape[1] > 1 else decoded.tokens[:, 0]
    logits = decoded.logits[rows, best].float()
    return torch.where(decoded.presence[..., None] > 0, logits, NO_OBJECT), trust[rows, best], token


def fill_holes(logits: Tensor, cells: int) -> Tensor:
    """Logits with their holes filled: 8-connected regions of background (0 or below) of at most so many cells.

    The official code does this with an operator compiled for CUDA that neither packaging brings along. Here each background
    cell takes the largest number in its neighbourhood, `cells` times: within a region of at most `cells` cells, no two are
    further apart, so the whole of it carries one number then. A larger region may still carry several; where two numbers
    meet, both belong to such a one.

    Args:
        logits: (K, h', w') floating.
        cells: Largest hole; 0 fills none.

    Returns:
        Logits of the same shape, 0.1 in holes.
    """
    if not cells or not len(logits):
        return logits
    count, cells_of_mask = len(logits), logits[0].numel()
    ground = logits <= 0
    numbers = torch.arange(1, cells_of_mask + 1, device=logits.device, dtype=torch.float32).view_as(logits[0]) * ground
    for _ in range(cells - 1):
        numbers = _largest_around(numbers) * ground
    lowest = -_largest_around(torch.where(ground, -numbers, -torch.inf))
    meets_another = ground & ((_largest_around(numbers) != numbers) | (lowest != numbers))
    names = numbers.long().flatten(1)
    sizes = names.new_zeros(count, cells_of_mask + 1).scatter_add_(1, names, torch.ones_like(names))
    meetings = torch.zeros_like(sizes).scatter_add_(1, names, meets_another.flatten(1).long())
    small = ((sizes <= cells) & (meetings == 0)).gather(1, names).view_as(ground)
    return torch.where(ground & small, FILLED, logits)


def overlap_matrix(first: Tensor, second: Tensor) -> np.ndarray:
    """Intersection over union of every pair of masks, as one matrix on their device.

    Args:
        first: (K, H, W) bool.
        second: (L, H, W) bool.

    Returns:
        (K, L) float64; two empty masks overlap by 0.
    """
    left, right = first.flatten(1), second.flatten(1)
    step = max(1, _PIXELS_AT_ONCE // max(1, len(left) + len(right)))
    common = torch.zeros(len(left), len(right), device=left.device, dtype=torch.long)
    for part, other in zip(torch.split(left, step, dim=1), torch.split(right, step, dim=1), strict=True):
        common += (part.float() @ other.float().T).long()  # sums of zeros and ones: exact up to 2^24, the most that a step has
    union = left.sum(1)[:, None] + right.sum(1)[None] - common
    return np.asarray(common.cpu().numpy() / union.clamp(min=1).cpu().numpy())


def _shrunk(masks: Tensor, side: int) -> Tensor:
    """(K, 1, H, W) at (side, side), bilinear with antialiasing."""
    return nn.interpolate(masks, size=(side, side), mode="bilinear", align_corners=False, antialias=True)


def _largest_around(values: Tensor) -> Tensor:
    """The largest value in each 3 x 3 neighbourhood, of (K, h', w')."""
    return nn.max_pool2d(values[:, None], kernel_size=3, stride=1, padding=1)[:, 0]
