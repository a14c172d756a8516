"""Every recipe that ships is valid against what ships, and says what the papers say."""

from __future__ import annotations

import pytest

from gazecut.plugins import discover
from gazecut.recipe import about, builtin_recipes, load_recipe

DECAF = {
    "decaf-qwen2-vl-2b": ("qwen2-vl", "Qwen/Qwen2-VL-2B-Instruct", 14),
    "decaf-qwen2-vl-7b": ("qwen2-vl", "Qwen/Qwen2-VL-7B-Instruct", 14),
    "decaf-qwen2.5-vl-3b": ("qwen2.5-vl", "Qwen/Qwen2.5-VL-3B-Instruct", 18),
    "decaf-qwen2.5-vl-7b": ("qwen2.5-vl", "Qwen/Qwen2.5-VL-7B-Instruct", 14),
    "decaf-internvl3-2b": ("internvl3", "OpenGVLab/InternVL3-2B-hf", 14),
    "decaf-internvl3-8b": ("internvl3", "OpenGVLab/InternVL3-8B-hf", 14),
    "decaf-internvl3-14b": ("internvl3", "OpenGVLab/InternVL3-14B-hf", 24),
    "decaf-llava-onevision-7b": ("llava-onevision", "llava-hf/llava-onevision-qwen2-7b-ov-hf", 14),
}
QWEN = {"video": {"tokens_per_frame": 400}, "frame": {"scale": 2}}
SIZES = {"qwen2-vl": QWEN, "qwen2.5-vl": QWEN, "internvl3": {"frame": {"max_tiles": 12}}, "llava-onevision": {"frame": {"max_tiles": None}}}


def test_the_recipes_that_are_promised_are_there() -> None:
    assert set(builtin_recipes()) >= {*DECAF, "pocket"}


@pytest.mark.parametrize("name", builtin_recipes())
def test_a_shipped_recipe_has_no_problems_and_survives_being_written_out(name: str) -> None:
    registry = discover()
    recipe = load_recipe(name, registry=registry)
    assert recipe.name == name
    assert recipe.about == about(name) != ""
    assert load_recipe(recipe.filled(), registry=registry).filled() == recipe.filled()


@pytest.mark.parametrize("name", DECAF)
def test_decaf_is_run_as_its_authors_run_it(name: str) -> None:
    use, weights, first_layer = DECAF[name]
    recipe = load_recipe(name).filled()
    assert recipe["sampler"] == {"use": "uniform", "frames": 16}
    assert (recipe["mllm"]["use"], recipe["mllm"]["weights"]) == (use, weights)
    assert recipe["mllm"].get("seconds_per_slot", 1.0) == 1.0
    for view, sizes in SIZES[use].items():
        assert recipe["mllm"]["views"][view].items() >= sizes.items()
    assert recipe["prompts"] == "decaf"
    assert (recipe["attribution"]["head_weighting"], recipe["attribution"]["first_layer"]) == ("vision-max", first_layer)
    contrastive, complementary = recipe["fusion"]
    assert (contrastive["use"], contrastive["sigma"], contrastive["kernel"]) == ("contrastive", 1.0, {"video": 3, "frame": 7})
    assert (complementary["use"], complementary["views"], complementary["fold"]) == ("complementary", ["video", "frame"], "average")
    assert recipe["selector"] == {"use": "threshold", "threshold": 0.8}
    segmenter = {name: recipe["segmenter"][name] for name in ("use", "weights", "precision", "fill_holes")}
    assert segmenter == {"use": "sam2-hf", "weights": "facebook/sam2-hiera-large", "precision": "float32", "fill_holes": 8}
    assert recipe["scorer"]["keep"] == {"above": 0.8, "otherwise": "best"}
    assert recipe["tracklets"]["suppress_above"] == 0.7
