"""Masks straight from heat maps by Otsu's threshold; the function lives in core, where the segmenters find it too."""

from gazecut.otsu import otsu_masks

__all__ = ["otsu_masks"]
