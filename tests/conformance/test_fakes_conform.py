"""The fakes keep the rules of their kinds: they are the good components that the planted violations are made from."""

from __future__ import annotations

from gazecut.testing import FusionConformance, ScorerConformance
from gazecut.testing.pipeline import PLUGIN


class TestFakeMean(FusionConformance):
    component, plugins = "fake-mean", (PLUGIN,)


class TestFakeDifference(FusionConformance):
    component, plugins = "fake-difference", (PLUGIN,)


class TestFakeScorer(ScorerConformance):
    component, plugins = "fake", (PLUGIN,)
