"""The rules of every kind of component, one class per kind."""

from __future__ import annotations

from typing import Any

from gazecut.components import Kind
from gazecut.testing.conformance.base import Conformance
from gazecut.testing.conformance.fusion import FusionConformance
from gazecut.testing.conformance.scorer import ScorerConformance

__all__ = ["CONFORMANCE", "Conformance", "FusionConformance", "ScorerConformance"]

CONFORMANCE: dict[Kind, type[Conformance[Any]]] = {each.kind: each for each in (FusionConformance, ScorerConformance)}
"""The class of each kind; datasets and trainers have no protocol yet."""
