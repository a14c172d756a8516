"""A recipe as a whole: filled in, extended, checked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from gazecut.errors import RecipeError
from gazecut.prompts import builtin_prompt_sets, prompt_set
from gazecut.recipe import Recipe, load_recipe
from gazecut.recipe.problems import Problems
from gazecut.recipe.tree import parse, plain
from gazecut.registry import Registry


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "recipes"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def load(folder: Path, registry: Registry, recipe_text: str) -> Any:
    """Load a child, or any files, beside base.yaml."""
    (folder / "base.yaml").write_text(recipe_text)

    def run(text: str = "version: 1\nextends: base.yaml\n", overrides: Any = (), **files: str) -> Recipe:
        (folder / "r.yaml").write_text(text)
        for name, content in files.items():
            (folder / f"{name}.yaml").write_text(content)
        return load_recipe("r.yaml", overrides, registry)

    return run


def test_options_are_filled_in_and_typed(load: Any, recipe_text: str) -> None:
    recipe = load(recipe_text)
    assert recipe.name == "r"
    assert recipe.sampler.use == "uniform"
    assert recipe.sampler.options.frames == 4
    assert recipe.mllm.options.views.video.tokens == 64
    assert recipe.mllm.options.seconds == "auto"
    assert [stage.use for stage in recipe.fusion] == ["blur", "mean"]
    assert recipe.fusion[0].options.side == 3
    assert recipe.tracklets.suppress_above == 0.7
    assert recipe.view == "video"
    assert recipe.prompts == prompt_set("decaf")
    assert [stage.kind for stage in recipe.stages()] == [
        *("sampler", "mllm", "attribution", "fusion", "fusion", "selector", "segmenter", "scorer", "exporter", "exporter")
    ]


def test_nothing_but_config_modules_is_imported(load: Any) -> None:
    load()
    assert "no_such_module_anywhere" not in sys.modules


def test_all_exporters_that_ship_are_the_default(load: Any) -> None:
    assert [stage.use for stage in load().exporters] == ["masks", "sheet"]
    assert load("version: 1\nextends: base.yaml\nexporters: [{use: sheet, side: 5}]").exporters[0].options.side == 5
    assert load("version: 1\nextends: base.yaml\nexporters: []").exporters == ()


def test_a_filled_in_recipe_loads_to_the_same_recipe(load: Any, registry: Registry, folder: Path) -> None:
    recipe = load(overrides={"mllm.weights": "1e-3", "about": "on", "fusion.blur.sigma": 1e-05, "mllm.size": (3, 4)})
    again = load_recipe(recipe.filled(), registry=registry)
    assert again.filled() == recipe.filled()
    (folder / "again.yaml").write_text(recipe.to_yaml())
    from_file = load_recipe(folder / "again.yaml", registry=registry)
    assert from_file.filled() == recipe.filled()
    assert from_file.mllm.options.weights == "1e-3"
    assert from_file.about == "on"
    assert from_file.mllm.options.size == (3, 4)
    assert list(recipe.filled())[:2] == ["version", "about"]


def test_components_with_their_versions(load: Any, registry: Registry) -> None:
    assert load().components(registry)[1] == {"kind": "mllm", "name": "small.v1", "api": 1, "distribution": "gazecut", "version": "1.0"}


def test_options_merge_into_the_parent(load: Any) -> None:
    recipe = load("version: 1\nextends: base.yaml\nmllm: {views: {frame: {tokens: 9}}}\nscorer: {keep: {otherwise: none}}")
    assert recipe.about == "made up"
    assert recipe.mllm.options.weights == "here"
    assert recipe.mllm.options.views.video.tokens == 64
    assert recipe.mllm.options.views.frame.tokens == 9
    assert recipe.scorer.filled() == {"use": "judge", "keep": {"above": 0.5, "otherwise": "none"}}


def test_another_use_replaces_the_whole_block(load: Any) -> None:
    recipe = load("version: 1\nextends: base.yaml\nmllm: {use: large, weights: there}")
    assert recipe.mllm.options.views.video.tokens == 400
    with pytest.raises(RecipeError, match='mllm "large" needs "weights"'):
        load("version: 1\nextends: base.yaml\nmllm: large")


def test_the_same_use_keeps_the_block(load: Any) -> None:
    assert load("version: 1\nextends: base.yaml\nsampler: uniform").sampler.options.frames == 4


def test_a_list_replaces_the_parents(load: Any) -> None:
    assert [stage.use for stage in load("version: 1\nextends: base.yaml\nfusion: [mean]").fusion] == ["mean"]


def test_extends_goes_on_and_files_are_relative_to_who_names_them(load: Any, folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "middle.yaml").write_text("version: 1\nextends: ../base.yaml\nabout: middle\nsampler: {frames: 5}\n")
    recipe = load("version: 1\nextends: deep/middle.yaml\nmllm: {weights: top}")
    assert (recipe.about, recipe.sampler.options.frames, recipe.mllm.options.weights) == ("middle", 5, "top")


def test_a_circle_is_refused_however_its_paths_are_written(load: Any, folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"a\.yaml:1:23  extends  +goes round in a circle: r\.yaml -> a\.yaml -> .*r\.yaml"):
        load("version: 1\nextends: a.yaml", a=f"{{version: 1, extends: ../{folder.name}/r.yaml}}")


def test_problems_below_name_their_own_file(load: Any) -> None:
    with pytest.raises(RecipeError) as caught:
        load("version: 1\nextends: bad.yaml\nsampler: {frames: 0}", bad="version: 1\nextends: base.yaml\nselector: {use: sigma, side: 4}\n")
    assert str(caught.value) == (
        "r.yaml has 2 problems\n"
        "\n"
        "  3:19           sampler.frames  found 0; should be greater than or equal to 1\n"
        "  bad.yaml:3:30  selector.side   4 is even\n"
        "\n"
        "Nothing was run.  Options: gazecut show sampler uniform  Options: gazecut show selector sigma"
    )


def test_all_problems_at_once_in_the_order_of_their_places(load: Any) -> None:
    text = """\
version: 2
extends: base.yaml
selecter: argmax
selector: {use: sigmo}
sampler: {frams: 3}
mllm: {views: {video: {token: 3}}, size: [1, x], seconds: soon, weights: 3}
prompts: decaff
fusion:
  - {use: blur, sigma: -1}
  - {use: mein}
  - 3
  - {sigma: 2}
scorer: {keep: worst}
tracklets: {suppress_above: 2}
about: [a]
"""
    with pytest.raises(RecipeError) as caught:
        load(text)
    lines = [" ".join(line.split()) for line in str(caught.value).splitlines()[2:-2]]
    assert lines == [
        "1:10 version found 2; this gazecut reads version 1",
        "3:1 selecter no such key; there are: version, about, extends, sampler, mllm, prompts, attribution, fusion, selector, "
        'segmenter, scorer, tracklets, exporters; did you mean "selector"?',
        '4:17 selector.use no selector is called "sigmo"; installed: argmax, sigma; did you mean "sigma"?',
        '5:11 sampler.frams sampler "uniform" has no such option; did you mean "frames"?',
        '6:24 mllm.views.video.token mllm "small.v1" has no such option in views.video; did you mean "tokens"?',
        '6:46 mllm.size.1 found "x"; should be a valid integer',
        "6:59 mllm.seconds found \"soon\"; should be a valid number or 'auto'",
        "6:74 mllm.weights found 3; should be text",
        f'7:10 prompts no prompt set is called "decaff"; there are: {", ".join(builtin_prompt_sets())}; did you mean "decaf"?',
        "9:24 fusion.blur.sigma found -1; should be greater than 0",
        '10:11 fusion.mein.use no fusion is called "mein"; installed: blur, blur.v2, mean; did you mean "mean"?',
        '11:5 fusion.2 found 3; wanted the name of one, or a block with "use"; installed: blur, blur.v2, mean',
        '12:5 fusion.3 has no "use", which names the fusion; installed: blur, blur.v2, mean',
        "13:16 scorer.keep found \"worst\"; should be 'best' or a block of options",
        "14:29 tracklets.suppress_above found 2; should be less than or equal to 1",
        '15:8 about found ["a"]; wanted text',
    ]


def test_a_recipe_with_nothing_in_it_says_what_is_missing(load: Any) -> None:
    with pytest.raises(RecipeError) as caught:
        load("about: empty")
    missing = [line.split()[1] for line in str(caught.value).splitlines()[2:-2]]
    assert missing == ["version", "prompts", "sampler", "mllm", "attribution", "selector", "segmenter", "scorer"]
    assert "missing; every recipe names its sampler; installed: uniform" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", '1:1  found nothing; wanted "version: 1" and one block per stage'),
        ("- a", '1:1  found ["a"]; wanted "version: 1" and one block per stage'),
        ("just text", '1:1  found "just text"; wanted "version: 1" and one block per stage'),
        ("a: [", "1:5  not YAML: the text ends inside brackets that are still open"),
    ],
)
def test_what_cannot_be_read_is_the_only_problem(load: Any, text: str, problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(text)
    assert str(caught.value) == f"r.yaml has 1 problem\n\n  {problem}\n\nNothing was run."


@pytest.mark.parametrize(
    ("extends", "message"),
    [
        ("[a, b]", 'found ["a", "b"]; wanted one file, relative to this one, or one built-in recipe: decaf-'),
        ("nowhere.yaml", "there is no recipe file nowhere.yaml; built in:"),
    ],
)
def test_a_parent_that_is_not_there(load: Any, extends: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(f"version: 1\nextends: {extends}\n")
    assert message in str(caught.value)
    assert "2:10  extends" in str(caught.value)


def test_unknown_recipes_are_refused_with_a_suggestion(registry: Registry, folder: Path) -> None:
    with pytest.raises(RecipeError, match=r'no recipe is called "poket", and no file either; built in: .*; did you mean "pocket"\?'):
        load_recipe("poket", registry=registry)
    with pytest.raises(RecipeError, match=r"there is no recipe file my/recipe\.yaml; built in: "):
        load_recipe("my/recipe.yaml", registry=registry)
    (folder / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"1:1  byte 0xff is not text in UTF-8; save the file in that encoding"):
        load_recipe("binary.yaml", registry=registry)


def test_a_mapping_is_a_recipe_too(registry: Registry, folder: Path, recipe_text: str) -> None:
    (folder / "base.yaml").write_text(recipe_text)
    recipe = load_recipe({"version": 1, "extends": "base.yaml", "sampler": {"frames": 7}}, registry=registry)
    assert (recipe.name, recipe.sampler.options.frames) == ("recipe", 7)
    with pytest.raises(RecipeError) as caught:
        load_recipe({"version": 1, "extends": "base.yaml", "sampler": {"frames": "x"}}, registry=registry)
    assert '  sampler.frames  found "x"; should be a valid integer' in str(caught.value)


def test_the_view_follows_the_model(load: Any) -> None:
    assert load(overrides={"mllm.view": "frame"}).view == "frame"


def test_yaml_of_a_recipe_reads_as_its_plain_data(load: Any) -> None:
    recipe = load()
    node = parse(recipe.to_yaml(), "again", Problems("again"))
    assert node is not None
    assert plain(node) == recipe.filled()
