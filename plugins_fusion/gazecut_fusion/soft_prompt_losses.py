"""What soft prompts are trained to: maps in [0, 1] that are the truth, and answers that stay (SteerSeg, section 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from gazecut_fusion.config import SoftPromptTrainerOptions

EDGE = 1e-6
"""Maps stay this far from 0 and 1 within the cross-entropy, whose gradient has no bound there."""


def map_loss(maps: torch.Tensor, truth: torch.Tensor, options: SoftPromptTrainerOptions) -> torch.Tensor:
    """How far maps are from the truth, both (T, h, w) in [0, 1]; a scalar."""
    loss = maps.new_zeros(())
    if options.bce:
        inside = maps.clamp(EDGE, 1 - EDGE)  # torch's own refuses NaN, which is to be told with its clip
        loss = loss - options.bce * (truth * inside.log() + (1 - truth) * (1 - inside).log()).mean()
    if options.dice:
        shared = (maps * truth).sum((1, 2))
        loss = loss + options.dice * (1 - (2 * shared + 1) / (maps.sum((1, 2)) + truth.sum((1, 2)) + 1)).mean()
    if options.correlation:
        loss = loss + options.correlation * (1 - correlation(maps, truth))
    return loss


def correlation(maps: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Pearson correlation over all cells of two (T, h, w); 0 where one is constant."""
    first, second = maps - maps.mean(), truth - truth.mean()
    found: torch.Tensor = (first * second).sum() / (first.norm() * second.norm()).clamp_min(torch.finfo(maps.dtype).tiny)
    return found


def answer_loss(steered: torch.Tensor, free: torch.Tensor) -> torch.Tensor:
    """Divergence of the distributions of first answer tokens (B, v) with steering from those without; a scalar."""
    wanted = F.log_softmax(free.float(), -1)
    return F.kl_div(F.log_softmax(steered.float(), -1), wanted, reduction="batchmean", log_target=True)
