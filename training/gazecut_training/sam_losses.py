"""What masks, their predicted IoU and the judgement of presence are taught by."""

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from gazecut_segmenter.sam2_shared import Decoded

LEAST_AREA: Final = 60.0  # pixels: smaller objects count as if they had so many
PIXELS_PER_AREA: Final = 3.0  # cross-entropy is divided by so many areas of the object
TRUST: Final = 4.0  # weight of the predicted IoU


@dataclass(frozen=True)
class Lesson:
    """Losses of K decoded prompts, and how good the chosen masks are.

    Attributes:
        mask: Mean over objects that are there; 0 where there is none.
        trust: Mean squared error of the predicted IoU.
        presence: Cross-entropy of the judgement whether the object is there.
        iou: (K,) IoU of the masks with the highest predicted IoU, 0 where the object is judged absent; 1 for absent objects judged so.
        there: (K,) bool, whether the objects are there.
        right: (K,) bool, whether that was judged rightly.
    """

    mask: Tensor
    trust: Tensor
    presence: Tensor
    iou: Tensor
    there: Tensor
    right: Tensor

    def total(self, absence: float) -> Tensor:
        """The sum that is minimised; `absence` is the weight of the presence."""
        return self.mask + TRUST * self.trust + absence * self.presence


def lesson(decoded: Decoded, truth: Tensor, absent: float = 1.0) -> Lesson:
    """Compare decoded masks with the truth.

    Three masks of one prompt share the loss: half of it for the best one, half for all, so that each stays usable while one
    excels. Empty truths teach no mask, only an IoU of 0 and absence.

    Args:
        decoded: Of K prompts, with N masks each.
        truth: (K, L, L) bool; empty where the object is not there.
        absent: Weight of absent objects in the judgement of presence, against 1 for those that are there.
    """
    side = truth.shape[-1]
    logits = F.interpolate(decoded.logits.float(), (side, side), mode="bilinear", align_corners=False)
    there = truth.flatten(1).any(1)
    target = truth[:, None].float().expand_as(logits)
    losses = mask_losses(logits, target)
    shared = 0.5 * losses.amin(1) + 0.5 * losses.mean(1)
    with torch.no_grad():
        ious = overlap(logits > 0, truth[:, None])
        chosen = ious.gather(1, decoded.predicted_iou.argmax(1, keepdim=True))[:, 0]
        judged = decoded.presence[:, 0] > 0
        iou = torch.where(there, chosen * judged, (~judged).float())
    return Lesson(
        mask=(shared * there).sum() / there.sum().clamp(min=1),
        trust=F.mse_loss(decoded.predicted_iou.float(), ious * there[:, None]),
        presence=F.binary_cross_entropy_with_logits(decoded.presence[:, 0].float(), there.float(), torch.where(there, 1.0, absent)),
        iou=iou,
        there=there,
        right=judged == there,
    )


def mask_losses(logits: Tensor, target: Tensor) -> Tensor:
    """Dice and cross-entropy (K, N) of logits and targets (K, N, L, L)."""
    probabilities, areas = logits.sigmoid(), target.sum((2, 3))
    dice = 1 - (2 * (probabilities * target).sum((2, 3)) + 1) / (probabilities.sum((2, 3)) + areas + 1)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum((2, 3))
    return dice + entropy / (PIXELS_PER_AREA * areas.clamp(min=LEAST_AREA))


def overlap(masks: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union (K, N) of bool masks (K, N, L, L) and truths that broadcast to them; 0 for two empty ones."""
    common = (masks & truth).sum((2, 3))
    return common / (masks | truth).sum((2, 3)).clamp(min=1)
