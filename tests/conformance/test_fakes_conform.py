"""The fakes keep the rules of their kinds: they are the good components that the planted violations are made from."""

from __future__ import annotations

from gazecut.testing import (
    AttributionConformance,
    ExporterConformance,
    FusionConformance,
    MLLMConformance,
    SamplerConformance,
    ScorerConformance,
    SegmenterConformance,
    SelectorConformance,
)
from gazecut.testing.pipeline import PLUGIN


class TestFakeSampler(SamplerConformance):
    component, plugins = "fake", (PLUGIN,)


class TestFakeMLLM(MLLMConformance):
    component, plugins = "fake", (PLUGIN,)


class TestFakeAttribution(AttributionConformance):
    component, plugins = "fake", (PLUGIN,)


class TestFakeMean(FusionConformance):
    component, plugins = "fake-mean", (PLUGIN,)


class TestFakeDifference(FusionConformance):
    component, plugins = "fake-difference", (PLUGIN,)


class TestFakeSelector(SelectorConformance):
    component, plugins = "fake", (PLUGIN,)


class TestFakeSegmenter(SegmenterConformance):
    component, plugins = "fake", (PLUGIN,)


class TestFakeScorer(ScorerConformance):
    component, plugins = "fake", (PLUGIN,)


class TestFakeExporter(ExporterConformance):
    component, plugins = "fake", (PLUGIN,)
