"""Options of the components. Imports nothing heavy: recipes are checked with it."""

from gazecut.options import Options
from pydantic import Field


class HeatGainOptions(Options):
    """Options of scorer `heat-gain`."""

    share: float = Field(default=0.9, gt=0, le=1)
    """Keep tracklets that reach this share of the best score."""


class GeometricMeanOptions(Options):
    """Options of fusion `geometric-mean`: there are none."""
