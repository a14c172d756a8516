"""`--set stage.option=value` and its Python form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gazecut.errors import RecipeError
from gazecut.prompts import prompt_set
from gazecut.recipe import Recipe, load_recipe
from gazecut.registry import Registry

STAGES = "about, sampler, mllm, prompts, attribution, fusion, selector, segmenter, scorer, tracklets, exporters"


@pytest.fixture
def load(tmp_path: Path, registry: Registry, recipe_text: str) -> Any:
    path = tmp_path / "r.yaml"
    path.write_text(recipe_text)

    def run(*overrides: str, **values: object) -> Recipe:
        return load_recipe(path, overrides or {key.replace("__", "."): value for key, value in values.items()}, registry)

    return run


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("sampler.frames=9", "sampler.frames", 9),
        ("mllm.seconds=1e-1", "mllm.seconds", 0.1),
        ("mllm.weights=a=b", "mllm.weights", "a=b"),
        ("mllm.views.frame.tokens=5", "mllm.views.frame.tokens", 5),
        ("mllm.views={frame: {tokens: 6}}", "mllm.views.frame.tokens", 6),
        ("mllm.size=[1, 2]", "mllm.size", (1, 2)),
        ("mllm.size=null", "mllm.size", None),
        ("mllm.size=", "mllm.size", None),
        (" sampler.frames =3", "sampler.frames", 3),
    ],
)
def test_a_single_option(load: Any, override: str, path: str, value: object) -> None:
    stage, *options = path.split(".")
    found = getattr(load(override), stage).options
    for option in options:
        found = getattr(found, option)
    assert found == value


def test_setting_an_option_keeps_the_others(load: Any) -> None:
    assert load("mllm.views.frame.tokens=5").mllm.options.views.video.tokens == 64


@pytest.mark.parametrize("written", ["sigma", "{use: sigma}"])
def test_a_component_that_is_written_as_its_bare_name_takes_options(
    registry: Registry, tmp_path: Path, recipe_text: str, written: str
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(recipe_text.replace("selector: argmax", f"selector: {written}"))
    selector = load_recipe(path, ["selector.side=5"], registry).selector
    assert (selector.use, selector.options.side) == ("sigma", 5)
    (tmp_path / "child.yaml").write_text("extends: r.yaml\nselector: {side: 7}\n")
    selector = load_recipe(tmp_path / "child.yaml", (), registry).selector
    assert (selector.use, selector.options.side) == ("sigma", 7)


def test_list_entries_go_by_component_name_even_with_dots(load: Any) -> None:
    assert load("fusion.blur.sigma=3").fusion[0].options.sigma == 3
    recipe = load("fusion=[{use: blur.v2}, blur]", "fusion.blur.v2.sigma=4", "fusion.blur.sigma=5")
    assert [(stage.use, stage.options.sigma) for stage in recipe.fusion] == [("blur.v2", 4.0), ("blur", 5.0)]


def test_a_bare_entry_of_a_list_takes_options(load: Any) -> None:
    assert load("fusion=[mean, blur]", "fusion.blur.side=5").fusion[1].options.side == 5


def test_a_stage_can_be_named_whole(load: Any) -> None:
    assert load("selector=sigma").selector.options.sigma == 1.0
    assert load("selector={use: sigma, side: 7}").selector.options.side == 7
    assert load("selector.use=sigma", "selector.side=5").selector.options.side == 5
    assert load("fusion=[]").fusion == ()
    assert load("tracklets.suppress_above=0.5").tracklets.suppress_above == 0.5
    assert load("prompts=steerseg").prompts == prompt_set("steerseg")


def test_later_ones_win(load: Any) -> None:
    assert load("sampler.frames=9", "sampler.frames=8").sampler.options.frames == 8


def test_python_values(load: Any) -> None:
    recipe = load(sampler__frames=3, mllm__size=(4, 5), fusion__blur__sigma=2)
    assert (recipe.sampler.options.frames, recipe.mllm.options.size, recipe.fusion[0].options.sigma) == (3, (4, 5), 2.0)


@pytest.mark.parametrize(
    ("override", "row"),
    [
        ("sampler", 'sampler wanted "stage.option=value", for example selector.threshold=0.7'),
        ("=3", '=3 wanted "stage.option=value", for example selector.threshold=0.7'),
        (
            "samplr.frames=3",
            f'samplr.frames no stage is called "samplr"; there are: {STAGES}; did you mean "sampler"?',
        ),
        ("sampler.frmes=3", 'sampler.frmes sampler "uniform" has no such option; did you mean "frames"?'),
        ("sampler.frames=many", 'sampler.frames found "many"; should be a valid integer'),
        ("sampler.frames=[", "sampler.frames not YAML: the text ends inside brackets that are still open"),
        ("sampler.frames.deep=1", 'sampler.frames found {"deep": 1}; should be a valid integer'),
        ("fusion.blurr.sigma=1", 'fusion.blurr.sigma fusion has no entry "blurr"; its entries: blur, mean; did you mean "blur"?'),
        ("fusion.blur=1", 'fusion.blur found an entry without an option; wanted "fusion.blur.option=value", or the list whole'),
        (
            "exporters.masks.x=1",
            'exporters.masks.x exporters has no entry "masks"; its entries: none; wanted the list whole, "exporters=[...]"',
        ),
        ("segmenter=clasical", 'segmenter.use no segmenter is called "clasical"; installed: classical; did you mean "classical"?'),
        (f"mllm{'.a' * 2000}=1", f"mllm{'.a' * 56}.... a path of more than 32 options; wanted stage.option"),
        ("fusion.mean.sampler=", 'fusion.mean.sampler fusion "mean" has no such option'),
        ("extends=pocket", f"extends cannot be set; there are: {STAGES}"),
    ],
)
def test_a_wrong_override_is_a_problem_like_any_other(load: Any, override: str, row: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(override)
    found = [" ".join(line.split()) for line in str(caught.value).splitlines()]
    assert f"--set {row}" in found
    assert found[-1].startswith("Nothing was run.")


def test_an_entry_that_is_there_twice_cannot_be_meant(load: Any) -> None:
    with pytest.raises(RecipeError, match='fusion has "blur" 2 times; its entries: blur, blur'):
        load("fusion=[blur, blur]", "fusion.blur.sigma=2")


def test_wrong_overrides_and_a_wrong_recipe_are_told_together(load: Any) -> None:
    with pytest.raises(RecipeError, match="has 3 problems"):
        load("nonsense", "sampler.frames=0", "prompts=none-such")


def test_python_overrides_say_so(load: Any) -> None:
    with pytest.raises(RecipeError, match=r"overrides  sampler\.frames  found 0"):
        load(sampler__frames=0)
