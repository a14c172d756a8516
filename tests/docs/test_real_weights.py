"""The page on real weights: its table is what the recipes name, and what follows from the shapes of the models by arithmetic alone."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, InternVLConfig, LlavaOnevisionConfig, Qwen2_5_VLConfig, Qwen2VLConfig

from gazecut.recipe import builtin_recipes, load_recipe
from gazecut_segmenter.sam2_convert import shapes_of, transformers_config
from gazecut_segmenter.sam2_sizes import SIZES, Model

PAGE = Path(__file__).parents[2] / "examples" / "real_weights.md"
ROW = re.compile(r"^\| `(decaf-[^`]+)`, `(steerseg-[^`]+)` \| (\S+) \| (.*) \|$", re.MULTILINE)
SAM2_LARGE = 224_400_000  # parameters
SEGMENTER_GIB = SAM2_LARGE * 4 / 2**30 + 128 * 16 / 1024  # in float32, and features of the frames that it keeps
FRAMES, SIZE = 16, (480, 854)
GPU_BYTES = 2  # of a number in bfloat16
HEAD = 128  # numbers in a head of every language model here


@dataclass(frozen=True)
class Language:
    """A Qwen2 language model."""

    width: int
    inner: int
    layers: int
    heads: int
    groups: int
    words: int
    tied: bool = False

    @property
    def parameters(self) -> int:
        attention = self.width * HEAD * (2 * self.heads + 2 * self.groups) + HEAD * (self.heads + 2 * self.groups)
        layer = attention + 3 * self.width * self.inner + 2 * self.width
        return self.layers * layer + self.words * self.width * (1 if self.tied else 2) + self.width


@dataclass(frozen=True)
class Shape:
    """A checkpoint.

    Attributes:
        language: Its language model.
        vision: Parameters of vision tower and projector.
        tokens: Visual tokens of both views of 16 frames of 480 x 854 px.
        first_layer: Where rollout starts.
    """

    language: Language
    vision: int
    tokens: int
    first_layer: int

    @property
    def parameters(self) -> int:
        return self.language.parameters + self.vision

    @property
    def prefix_bytes(self) -> int:
        """Keys and values of every layer, queries of the traced ones."""
        traced = self.language.layers - self.first_layer
        each = 2 * self.language.layers * self.language.groups + traced * self.language.heads
        return self.tokens * each * HEAD * GPU_BYTES


def _linear(*pairs: tuple[int, int]) -> int:
    return sum(inputs * outputs + outputs for inputs, outputs in pairs)


def qwen2_vision(out: int) -> int:
    """32 blocks, width 1280, with two layer norms; merged 2 x 2."""
    block = _linear((1280, 3 * 1280), (1280, 1280), (1280, 5120), (5120, 1280)) + 4 * 1280
    return 32 * block + 3 * 2 * 14 * 14 * 1280 + 2 * 1280 + _linear((5120, 5120), (5120, out))


def qwen25_vision(out: int) -> int:
    """32 blocks, width 1280, with gates and two norms without offset; merged 2 x 2."""
    block = _linear((1280, 3 * 1280), (1280, 1280), (1280, 3420), (1280, 3420), (3420, 1280)) + 2 * 1280
    return 32 * block + 3 * 2 * 14 * 14 * 1280 + 1280 + _linear((5120, 5120), (5120, out))


def internvit(out: int) -> int:
    """24 blocks, width 1024, with two layer norms and two scales; merged 2 x 2."""
    block = _linear((1024, 1024), (1024, 1024), (1024, 1024), (1024, 1024), (1024, 4096), (4096, 1024)) + 6 * 1024
    start = _linear((3 * 14 * 14, 1024)) + 1024 + (1024 + 1) * 1024
    return 24 * block + start + 2 * 4096 + _linear((4096, out), (out, out))


def siglip(out: int) -> int:
    """26 blocks, width 1152, with two layer norms; no merging."""
    block = _linear(*[(1152, 1152)] * 4, (1152, 4304), (4304, 1152)) + 4 * 1152
    return 26 * block + _linear((3 * 14 * 14, 1152)) + 729 * 1152 + 2 * 1152 + _linear((1152, out), (out, out)) + out


def _qwen_tokens() -> int:
    slots, rows, columns = FRAMES // 2, 14, 26
    return slots * rows * columns + FRAMES * (2 * rows) * (2 * columns)


INTERNVL_TOKENS = FRAMES * 256 + FRAMES * 2 * 256
LLAVA_TOKENS = FRAMES * math.ceil(27 / 2) ** 2 + FRAMES * 46 * 81
SMALL = {"width": 1536, "inner": 8960, "layers": 28, "heads": 12, "groups": 2}
LARGE = {"width": 3584, "inner": 18944, "layers": 28, "heads": 28, "groups": 4}
SHAPES = {
    "qwen2-vl-2b": Shape(Language(**SMALL, words=151936, tied=True), qwen2_vision(1536), _qwen_tokens(), 14),
    "qwen2-vl-7b": Shape(Language(**LARGE, words=152064), qwen2_vision(3584), _qwen_tokens(), 14),
    "qwen2.5-vl-3b": Shape(Language(2048, 11008, 36, 16, 2, 151936, tied=True), qwen25_vision(2048), _qwen_tokens(), 18),
    "qwen2.5-vl-7b": Shape(Language(**LARGE, words=152064), qwen25_vision(3584), _qwen_tokens(), 14),
    "internvl3-2b": Shape(Language(**SMALL, words=151674), internvit(1536), INTERNVL_TOKENS, 14),
    "internvl3-8b": Shape(Language(**LARGE, words=151674), internvit(3584), INTERNVL_TOKENS, 14),
    "internvl3-14b": Shape(Language(5120, 13824, 48, 40, 8, 151674), internvit(5120), INTERNVL_TOKENS, 24),
    "llava-onevision-7b": Shape(Language(**LARGE, words=152000), siglip(3584), LLAVA_TOKENS, 14),
}
"""By what follows `decaf-` and `steerseg-` in a recipe's name."""


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_every_recipe_of_the_papers_has_a_row() -> None:
    rows = ROW.findall(page())
    listed = [name for row in rows for name in row[:2]]
    assert len(listed) == len(set(listed))
    assert set(listed) == {name for name in builtin_recipes() if name.startswith(("decaf-", "steerseg-"))}
    for decaf, steerseg, weights, _ in rows:
        for name in (decaf, steerseg):
            assert load_recipe(name).filled()["mllm"]["weights"] == weights


@pytest.mark.parametrize("name", SHAPES)
def test_figures_follow_from_shapes(name: str) -> None:
    (figures,) = [row[3] for row in ROW.findall(page()) if row[0] == f"decaf-{name}"]
    shape, recipe = SHAPES[name], load_recipe(f"decaf-{name}").filled()
    assert recipe["attribution"]["first_layer"] == shape.first_layer
    weights, prefix = shape.parameters * GPU_BYTES, shape.prefix_bytes / 2**30
    together = weights / 2**30 + min(prefix, recipe["mllm"]["cache_gib"]) + SEGMENTER_GIB
    wanted = [f"{shape.parameters / 1e9:.2f}", f"{weights / 1e9:.1f}", f"{weights / 2**30:.1f}", f"{prefix:.1f}", f"{together:.0f}"]
    assert figures.split(" | ") == wanted


def test_what_the_page_says_of_the_segmenter() -> None:
    (large,) = [size for size in SIZES if size.name == "large"]
    counted = sum(math.prod(shape) for shape in shapes_of(transformers_config(Model(large, "2"), "")).values())
    assert counted == pytest.approx(SAM2_LARGE, rel=1e-3)
    assert "224 million parameters" in page()
    assert f"and {SEGMENTER_GIB:.1f} GiB for SAM 2 large" in page()
    assert load_recipe("decaf-qwen2.5-vl-7b").filled()["segmenter"]["kept_frames"] == 128


@pytest.mark.parametrize("name", ["qwen2-vl-7b", "qwen2.5-vl-3b", "internvl3-2b", "llava-onevision-7b"])
def test_the_arithmetic_counts_what_the_real_classes_have(name: str) -> None:
    with torch.device("meta"):
        model: Any = AutoModelForImageTextToText.from_config(real_config(name))
    assert sum(weight.numel() for weight in model.parameters()) == SHAPES[name].parameters


def real_config(name: str) -> Any:
    language = SHAPES[name].language
    text: dict[str, Any] = {
        "model_type": "qwen2",
        "hidden_size": language.width,
        "intermediate_size": language.inner,
        "num_hidden_layers": language.layers,
        "num_attention_heads": language.heads,
        "num_key_value_heads": language.groups,
        "vocab_size": language.words,
        "tie_word_embeddings": language.tied,
    }
    whole = {"tie_word_embeddings": language.tied}
    if name.startswith("qwen"):
        del text["model_type"]
        text["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
        if name.startswith("qwen2.5"):
            vision = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": language.width}
            return Qwen2_5_VLConfig(text_config=text, vision_config=vision, **whole)
        vision = {"depth": 32, "embed_dim": 1280, "hidden_size": language.width, "num_heads": 16, "mlp_ratio": 4}
        return Qwen2VLConfig(text_config=text, vision_config=vision, **whole)
    if name.startswith("internvl"):
        vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
        sizes = {"image_size": [448, 448], "patch_size": [14, 14], "attention_bias": True}
        return InternVLConfig(text_config=text, vision_config={**vision, **sizes}, **whole)
    vision = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 26, "num_attention_heads": 16}
    sizes = {"model_type": "siglip_vision_model", "image_size": 384, "patch_size": 14, "vision_use_head": False}
    return LlavaOnevisionConfig(text_config=text, vision_config={**vision, **sizes}, **whole)
