"""The recipes of SteerSeg run it on each backbone as DecAF sets that up, with the paper's stages."""

from __future__ import annotations

import pytest

from gazecut.recipe import builtin_recipes, load_recipe

BACKBONES = tuple(name.removeprefix("steerseg-") for name in builtin_recipes() if name.startswith("steerseg-"))


def test_there_is_one_for_every_backbone_of_decaf() -> None:
    assert set(BACKBONES) == {name.removeprefix("decaf-") for name in builtin_recipes() if name.startswith("decaf-")}


@pytest.mark.parametrize("name", [*(f"steerseg-{backbone}" for backbone in BACKBONES), "pocket-steerseg"])
def test_the_stages_are_the_papers(name: str) -> None:
    recipe = load_recipe(name).filled()
    base = load_recipe("pocket" if name == "pocket-steerseg" else name.replace("steerseg", "decaf")).filled()
    for stage in ("sampler", "mllm", "segmenter"):
        assert recipe[stage] == base[stage]
    assert recipe["prompts"] == "steerseg"
    assert recipe["attribution"]["head_weighting"] == "mean"
    if name != "pocket-steerseg":
        assert recipe["attribution"]["first_layer"] == base["attribution"]["first_layer"]
    soft, complementary = recipe["fusion"]
    assert soft["use"] == "soft-prompt"
    assert soft["place"] == "before-text" or name == "pocket-steerseg"  # there, wherever those that ship were trained to stand
    assert set(soft["weights"]) == {"video", "frame"}
    assert all(soft["weights"].values())
    assert complementary == {"use": "complementary", "views": ["video", "frame"], "fold": "frame"}
    assert recipe["selector"] == {"use": "argmax"}
    assert recipe["scorer"] == {"use": "pearson", "frame_weight": 0.3, "keep": "best"}
    assert recipe["tracklets"]["suppress_above"] == 0.7
