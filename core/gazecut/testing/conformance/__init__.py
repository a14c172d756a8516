"""The rules of every kind of component, one class per kind."""

from __future__ import annotations

from typing import Any

from gazecut.components import Kind
from gazecut.testing.conformance.attribution import AttributionConformance
from gazecut.testing.conformance.base import Conformance
from gazecut.testing.conformance.exporter import ExporterConformance
from gazecut.testing.conformance.fusion import FusionConformance
from gazecut.testing.conformance.mllm import MLLMConformance
from gazecut.testing.conformance.sampler import SamplerConformance
from gazecut.testing.conformance.scorer import ScorerConformance
from gazecut.testing.conformance.segmenter import SegmenterConformance
from gazecut.testing.conformance.selector import SelectorConformance
from gazecut.testing.conformance.trainer import TrainerConformance

__all__ = [
    "CONFORMANCE",
    "AttributionConformance",
    "Conformance",
    "ExporterConformance",
    "FusionConformance",
    "MLLMConformance",
    "SamplerConformance",
    "ScorerConformance",
    "SegmenterConformance",
    "SelectorConformance",
    "TrainerConformance",
]

CONFORMANCE: dict[Kind, type[Conformance[Any]]] = {
    each.kind: each
    for each in (
        SamplerConformance,
        MLLMConformance,
        AttributionConformance,
        FusionConformance,
        SelectorConformance,
        SegmenterConformance,
        ScorerConformance,
        ExporterConformance,
        TrainerConformance,
    )
}
"""The class of each kind; datasets have no protocol yet."""
