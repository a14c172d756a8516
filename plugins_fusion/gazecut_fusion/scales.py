"""How the maps of a view are brought to [0, 1]: one rule for fusing them, for reading them and for training through them."""

from __future__ import annotations

from typing import Literal

Scale = Literal["global", "per-frame"]


def scale_of(view: str) -> Scale:
    """The frames of a video share one scale, separate frames do not (DecAF's code)."""
    return "per-frame" if view == "frame" else "global"


def axes_of(scale: Scale) -> tuple[int, ...] | None:
    """Axes of maps (T, h, w) that share one minimum and one maximum; None for all of them."""
    return (1, 2) if scale == "per-frame" else None
