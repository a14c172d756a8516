"""Both components keep the rules of their kind."""

from gazecut.testing import FusionConformance, ScorerConformance


class TestHeatGainScorer(ScorerConformance):
    component = "heat-gain"


class TestGeometricMeanFusion(FusionConformance):
    component = "geometric-mean"
