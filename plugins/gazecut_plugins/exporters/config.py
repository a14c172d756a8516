"""Options of the exporters."""

from __future__ import annotations

from pydantic import Field

from gazecut.options import Options


class MasksOptions(Options):
    """Options of exporter `masks`: there are none."""


class HeatmapsOptions(Options):
    """Options of exporter `heatmaps`: there are none."""


class ManifestOptions(Options):
    """Options of exporter `manifest`: there are none."""


class OverlayOptions(Options):
    """Options of exporter `overlay`."""

    opacity: float = Field(default=0.4, ge=0, le=1)
    """How strongly objects are tinted: 0 leaves the outline alone, 1 hides what is below."""

    dim: float = Field(default=0.3, ge=0, le=1)
    """How much darker everything else gets: 0 leaves it, 1 makes it black."""

    shortest_side: int = Field(default=360, ge=0, le=4320)
    """Smaller clips are enlarged by a whole factor until their shorter side has this many pixels; 0 leaves them."""

    legend: bool = True
    """Whether a strip below the picture tells the expression and the objects."""

    quality: int = Field(default=18, ge=0, le=51)
    """x264's constant rate factor: lower is better and larger; 18 looks like the original."""

    font: str | None = None
    """Font file for the text; None takes Pillow's own, and the system's where that lacks letters."""


class SheetOptions(Options):
    """Options of exporter `sheet`."""

    frames: int = Field(default=16, ge=1, le=64)
    """Most sampled frames that are shown; of more, this many at even distances."""

    views: bool = False
    """Whether the map of each view is shown above the fused one."""

    font: str | None = None
    """Font file for the text; None takes Pillow's own, and the system's where that lacks letters."""
