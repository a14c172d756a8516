"""Options of the fusion strategies."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from gazecut.options import Options

View = Literal["video", "frame"]


class Kernel(Options):
    """Side of the Gaussian kernel by view, in cells; odd, 1 for no smoothing."""

    video: int = Field(default=3, ge=1)
    """On the maps of the video view."""

    frame: int = Field(default=7, ge=1)
    """On the maps of the frame view."""

    @field_validator("video", "frame")
    @classmethod
    def _odd(cls, side: int) -> int:
        if side % 2 == 0:
            raise ValueError(f"{side} is even; a kernel has a centre, so its side is odd")
        return side


class ContrastiveOptions(Options):
    """Options of fusion `contrastive`."""

    sigma: float = Field(default=1.0, gt=0)
    """Standard deviation of the Gaussian smoothing, in cells."""

    kernel: Kernel = Kernel()
    """Side of the Gaussian kernel by view."""

    strength: float = Field(default=1.0, ge=0)
    """Share of the background map that is subtracted; 0 smooths and normalises only, and asks no background question."""


class ComplementaryOptions(Options):
    """Options of fusion `complementary`."""

    views: list[View] = Field(default=["video", "frame"], min_length=1)
    """Views that are asked."""

    fold: Literal["average", "video", "frame"] = "average"
    """What becomes the fused map: the mean of the views, or one view alone."""
