"""Options of the light built-in components."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from gazecut.options import Options


class UniformOptions(Options):
    """Options of sampler `uniform`."""

    frames: int = Field(default=16, ge=1)
    """Most frames that the MLLM sees."""


class EveryOptions(Options):
    """Options of sampler `every`."""

    seconds: float = Field(default=1.0, gt=0)
    """Time from one frame to the next."""

    most: int | None = Field(default=64, ge=1)
    """Most frames that the MLLM sees: of a clip that would give more, so many at even distances. None for no limit."""


class WindowOptions(Options):
    """What samplers with windows share."""

    frames: int = Field(default=8, ge=1)
    """Most frames of each window that the MLLM sees, at even distances."""


class WindowsOptions(WindowOptions):
    """Options of sampler `windows`."""

    length: float = Field(default=64, gt=0)
    """Of a window, in frames or seconds, as `unit` says; memory grows with it."""

    overlap: float = Field(default=16, ge=0)
    """What neighbouring windows have in common; objects are followed through it. Of 0, every window begins anew."""

    unit: Literal["frames", "seconds"] = "frames"
    """What length and overlap count."""

    @model_validator(mode="after")
    def _moves_on(self) -> Self:
        if self.overlap >= self.length:
            raise ValueError(f"overlap {self.overlap:g} is not less than length {self.length:g}: no window would come after the first")
        if self.unit == "frames" and (self.length % 1 or self.overlap % 1):
            raise ValueError("length and overlap are whole numbers where they count frames")
        return self


class ScenesOptions(WindowOptions):
    """Options of sampler `scenes`."""

    threshold: float = Field(default=3.0, gt=0)
    """How much more than its neighbours a frame must change to be a cut; higher finds fewer."""

    change: float = Field(default=15.0, ge=0, le=255)
    """How much a frame must change at least, in the mean of hue, saturation and lightness, each from 0 to 255."""

    shortest: int = Field(default=12, ge=1)
    """Frames from one cut to the next, at least."""

    longest: int = Field(default=64, ge=1)
    """Most frames of a window; longer scenes are cut into several."""

    overlap: int = Field(default=16, ge=0)
    """Frames that windows of one scene have in common; scenes have none."""

    @model_validator(mode="after")
    def _moves_on(self) -> Self:
        if self.overlap >= self.longest:
            raise ValueError(f"overlap {self.overlap} is not less than longest {self.longest}: no window would come after the first")
        return self


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


class PearsonOptions(Options):
    """Options of scorer `pearson`."""

    frame_weight: float = Field(default=0.3, ge=0, le=1)
    """Share of the frame view's correlation in the score; the rest is the video view's."""

    keep: Keep = "best"
    """`best`, or `{above: 0.8, otherwise: best}`."""
