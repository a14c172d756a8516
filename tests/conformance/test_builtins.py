"""Every component that ships with Gazecut keeps the rules of its kind."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from gazecut.plugins import discover
from gazecut.testing import (
    CONFORMANCE,
    AttributionConformance,
    Conformance,
    ExporterConformance,
    FusionConformance,
    MLLMConformance,
    SamplerConformance,
    ScorerConformance,
    SegmenterConformance,
    SelectorConformance,
)

VIEWS = {"video": {"tokens_per_frame": 16}, "frame": {"scale": 2, "batch": 2}}


class TestUniform(SamplerConformance):
    component = "uniform"


class TestRollout(AttributionConformance):
    component = "rollout"


class TestRolloutOfSomeLayers(AttributionConformance):
    component, options = "rollout", {"first_layer": 2, "last_layer": 3, "head_weighting": "mean", "row": "first-answer"}


class TestContrastive(FusionConformance):
    component = "contrastive"


class TestContrastiveWithoutBackground(FusionConformance):
    component, options = "contrastive", {"strength": 0.0}


class TestComplementary(FusionConformance):
    component = "complementary"


class TestComplementaryOfOneView(FusionConformance):
    component, options = "complementary", {"views": ["frame"]}


class TestThreshold(SelectorConformance):
    component = "threshold"


class TestArgmax(SelectorConformance):
    component = "argmax"


class TestClassical(SegmenterConformance):
    component = "classical"


class TestAttention(SegmenterConformance):
    component = "attention"


class TestSam2Hf(SegmenterConformance):
    component = "sam2-hf"

    @pytest.fixture(autouse=True)
    def _weights(self, sam2_folder: Path) -> None:
        type(self).options = {"weights": str(sam2_folder)}


@pytest.mark.skipif(find_spec("sam2") is None, reason="needs package sam2, see requirements-sam2.txt")
class TestSam2(SegmenterConformance):
    component = "sam2"

    @pytest.fixture(autouse=True)
    def _weights(self, tiny_sam2: Any) -> None:
        type(self).options = {"weights": str(tiny_sam2.file), "config": tiny_sam2.config, "hydra_overrides": tiny_sam2.overrides}


class TestAttentionConsistency(ScorerConformance):
    component = "attention-consistency"


class TestAttentionConsistencyByOtsu(ScorerConformance):
    component, options = "attention-consistency", {"mean": "otsu", "penalty": False, "keep": "best"}


class TestObjectScore(ScorerConformance):
    component = "object-score"


class TestMasks(ExporterConformance):
    component = "masks"


class TestOverlay(ExporterConformance):
    component = "overlay"


class TestHeatmaps(ExporterConformance):
    component = "heatmaps"


class TestSheet(ExporterConformance):
    component = "sheet"


class TestManifest(ExporterConformance):
    component = "manifest"


class OfTransformers(MLLMConformance):
    """A family of `gazecut_mllm`, which captures by a switch and can take over a model."""

    @pytest.fixture(autouse=True)
    def _weights(self, checkpoint: Callable[[str], Path]) -> None:
        type(self).options = {"weights": str(checkpoint(self.component)), "views": VIEWS, "max_new_tokens": 6}

    def is_capturing(self) -> bool:
        from gazecut_mllm.capture import is_capturing

        return is_capturing()

    def wrap(self) -> tuple[Any, Any]:
        from transformers import AutoModelForImageTextToText

        from gazecut_mllm.hf import load

        return AutoModelForImageTextToText.from_pretrained(self.options["weights"], attn_implementation="eager"), load


class TestQwen2VL(OfTransformers):
    component = "qwen2-vl"


class TestQwen25VL(OfTransformers):
    component = "qwen2.5-vl"


@pytest.mark.slow
class TestPocket(MLLMConformance):
    component, options = "qwen2.5-vl", {"weights": "package:gazecut_mllm/pocket", "dtype": "float32", "max_new_tokens": 4}


def conformance_classes(base: type[Conformance[Any]] = Conformance) -> set[type[Conformance[Any]]]:
    """Those of this file that pytest collects."""
    return {each for each in globals().values() if isinstance(each, type) and issubclass(each, base) and each.__name__.startswith("Test")}


def test_every_builtin_is_here() -> None:
    shipped = {(each.kind, each.spec.name) for each in discover().components if each.origin.own}
    tested = {(each.kind, each.component) for each in conformance_classes()}
    assert shipped == tested
    assert {kind for kind, _ in shipped} == set(CONFORMANCE)
