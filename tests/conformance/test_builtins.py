"""Every component that ships with Gazecut keeps the rules of its kind."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

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
    TrainerConformance,
)

VIEWS = {"video": {"tokens_per_frame": 16}, "frame": {"scale": 2, "batch": 2}}


class TestUniform(SamplerConformance):
    component = "uniform"


class TestEvery(SamplerConformance):
    component, options = "every", {"seconds": 0.3}


class TestWindows(SamplerConformance):
    component, options = "windows", {"length": 12, "overlap": 4, "frames": 3}


class TestWindowsOfSeconds(SamplerConformance):
    component, options = "windows", {"length": 1.3, "overlap": 0.4, "unit": "seconds"}


class TestScenes(SamplerConformance):
    component, options = "scenes", {"longest": 20, "overlap": 5, "shortest": 3}


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


class TestSoftPrompt(FusionConformance):
    component = "soft-prompt"

    @pytest.fixture(autouse=True)
    def _weights(self, make_soft_prompts: Callable[..., Path]) -> None:
        folder = str(make_soft_prompts())
        type(self).options = {"weights": {"video": folder, "frame": folder}}


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


class TestPearson(ScorerConformance):
    component = "pearson"


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


class TestSoftPromptTrainer(TrainerConformance):
    component: ClassVar[str] = "soft-prompt"
    options: ClassVar[dict[str, Any]] = {
        "tokens": 2, "steps": 3, "batch": 1, "frames": 2, "validation": 1, "validate_every": 2, "pictures": 1, "view": "frame",
    }  # fmt: skip

    @pytest.fixture(autouse=True)
    def _setting(self, tiny_training: dict[str, Any], make_videos: Callable[..., Path]) -> None:
        if "data" not in type(self).__dict__:
            type(self).recipe, type(self).data = tiny_training, str(make_videos())


class OfTransformers(MLLMConformance):
    """A family of `gazecut_mllm`, which captures by a switch and can take over a model."""

    views: ClassVar[dict[str, Any]] = VIEWS

    @pytest.fixture(autouse=True)
    def _weights(self, checkpoint: Callable[[str], Path]) -> None:
        type(self).options = {"weights": str(checkpoint(self.component)), "views": self.views, "max_new_tokens": 6}

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


class TestQwen3VL(OfTransformers):
    component = "qwen3-vl"


class TestInternVL3(OfTransformers):
    component, views = "internvl3", {"video": {}, "frame": {"max_tiles": 4, "batch": 2}}


class TestLlavaOnevision(OfTransformers):
    component, views = "llava-onevision", {"video": {}, "frame": {"max_tiles": 4, "batch": 2}}


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
