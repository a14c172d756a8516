"""Options of the light built-in components."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gazecut.options import Options


class UniformOptions(Options):
    """Options of sampler `uniform`."""

    frames: int = Field(default=16, ge=1)
    """Most frames that the MLLM sees."""


class ThresholdOptions(Options):
    """Options of selector `threshold`."""

    threshold: float = Field(default=0.8, gt=0, le=1)
    """Cells of the fused map at or above this become points."""


class ArgmaxOptions(Options):
    """Options of selector `argmax`: there are none."""


class KeepAbove(Options):
    """Keep rule: every tracklet whose score is above a threshold."""

    above: float = 0.8
    """Keep tracklets with a score above this."""

    otherwise: Literal["best", "none"] = "best"
    """What to keep where no score is above it."""


Keep = KeepAbove | Literal["best"]


class AttentionConsistencyOptions(Options):
    """Options of scorer `attention-consistency`."""

    mean: Literal["mean", "otsu"] = "mean"
    """What a cell must exceed to count as attended: the mean of its frame's map, or Otsu's threshold."""

    penalty: bool = True
    """Whether covering cells that are not attended costs."""

    keep: Keep = KeepAbove()
    """`best`, or `{above: 0.8, otherwise: best}`."""


class ObjectScoreOptions(Options):
    """Options of scorer `object-score`."""

    keep: Keep = KeepAbove()
    """`best`, or `{above: 0.8, otherwise: best}`."""
