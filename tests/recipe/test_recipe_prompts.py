"""Prompt sets in a recipe: by name, over each other, worded in place; merged, shown, and refused with their places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gazecut.errors import PromptError, RecipeError
from gazecut.interview import Interview
from gazecut.prompts import PromptSet, builtin_prompt_sets, merged, prompt_set
from gazecut.recipe import Recipe, load_recipe
from gazecut.recipe.schema import recipe_schema
from gazecut.registry import Registry
from gazecut.values import Query

BASE = "version: 1\nextends: base.yaml\n"
SETS = ", ".join(builtin_prompt_sets())
DECAF = prompt_set("decaf").templates


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry, recipe_text: str) -> Callable[..., Recipe]:
    """Load a recipe beside base.yaml, which asks with `decaf`."""
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(recipe_text)

    def run(text: str, *overrides: str, base: str = "decaf") -> Recipe:
        Path("base.yaml").write_text(recipe_text.replace("prompts: decaf", f"prompts: {base}"))
        Path("mine.yaml").write_text(BASE + text)
        return load_recipe("mine.yaml", overrides, registry)

    return run


@pytest.mark.parametrize(
    ("text", "templates"),
    [
        ("prompts: decaf-background-v2\n", merged(["decaf-background-v2"])),
        ("prompts: [decaf-object-v1, decaf-background-v2]\n", merged(["decaf-object-v1", "decaf-background-v2"])),
        ("prompts: [steerseg]\n", merged(["steerseg"])),
        ("prompts: {extends: steerseg, background: a street}\n", {**merged(["steerseg"]), "background": "a street"}),
        (
            "prompts:\n  extends: [decaf-object-v1, decaf-category-v3]\n  background: 'not {category}'\n",
            {**merged(["decaf-object-v1", "decaf-category-v3"]), "background": "not {category}"},
        ),
        ("prompts: {extends: [], object: 'what?'}\n", {"object": "what?"}),
        ("prompts: {extends: decaf, far-away: the sky}\n", {**DECAF, "far-away": "the sky"}),
    ],
)
def test_every_form(load: Callable[..., Recipe], text: str, templates: dict[str, str]) -> None:
    assert load(text).prompts.templates == templates


def test_a_built_in_set_keeps_its_name_and_any_other_has_the_recipes(load: Callable[..., Recipe]) -> None:
    assert load("prompts: [steerseg]\n").prompts == prompt_set("steerseg")
    assert load("prompts: {extends: steerseg}\n").prompts == prompt_set("steerseg")
    assert load("prompts: [decaf, decaf-object-v1]\n").prompts.name == "mine"


@pytest.mark.parametrize(
    ("base", "text", "templates"),
    [
        ("decaf", "prompts: {background: a street}\n", {**DECAF, "background": "a street"}),
        ("[decaf, decaf-object-v1]", "prompts: {background: a}\n", {**merged(["decaf-object-v1"]), "background": "a"}),
        ("{extends: decaf, object: a}", "prompts: {background: b}\n", {**DECAF, "object": "a", "background": "b"}),
        ("{extends: decaf, object: a}", "prompts: {object: b}\n", {**DECAF, "object": "b"}),
        ("{extends: steerseg, object: a}", "prompts: {extends: decaf}\n", {**DECAF, "object": "a"}),
        ("{extends: decaf, object: a}", "prompts: decaf\n", DECAF),
        ("{extends: decaf, object: a}", "prompts: [decaf]\n", DECAF),
        ("{object: a}", "prompts: {background: b}\n", {"object": "a", "background": "b"}),
        ("3", "prompts: {extends: decaf, background: b}\n", {**DECAF, "background": "b"}),
    ],
)
def test_names_replace_and_a_block_goes_over_what_is_extended(
    load: Callable[..., Recipe], base: str, text: str, templates: dict[str, str]
) -> None:
    assert load(text, base=base).prompts.templates == templates


@pytest.mark.parametrize(
    ("overrides", "templates"),
    [
        (["prompts=decaf-object-v2"], merged(["decaf-object-v2"])),
        (["prompts=[decaf-object-v2, decaf-background-v1]"], merged(["decaf-object-v2", "decaf-background-v1"])),
        (["prompts.background=a street"], {**DECAF, "background": "a street"}),
        (["prompts.background=a street", "prompts.extends=decaf-object-v2"], {**merged(["decaf-object-v2"]), "background": "a street"}),
    ],
)
def test_on_the_command_line(load: Callable[..., Recipe], overrides: list[str], templates: dict[str, str]) -> None:
    assert load("", *overrides).prompts.templates == templates


def test_a_set_of_ones_own_is_shown_whole_with_the_place_of_every_template(load: Callable[..., Recipe], registry: Registry) -> None:
    recipe = load("prompts:\n  extends: [steerseg]\n  background: |\n    a\n    street\n", "prompts.object=it")
    shown = recipe.to_yaml(origins=True)
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "prompts:" in lines
    assert r'background: "a\nstreet\n" # mine.yaml:5:15' in lines
    assert "object: it # --set" in lines
    (attributes,) = [line for line in lines if line.startswith("attributes: ")]
    assert attributes.endswith("# mine.yaml:4:12")
    Path("again.yaml").write_text(shown)
    again = load_recipe("again.yaml", registry=registry)
    assert again.prompts.templates == recipe.prompts.templates
    assert again.filled() == recipe.filled()
    jsonschema.Draft202012Validator(recipe_schema(registry)).validate(recipe.filled())


def test_names_are_shown_as_names_and_lists_as_templates(load: Callable[..., Recipe]) -> None:
    assert load("prompts: decaf-object-v1\n").filled()["prompts"] == "decaf-object-v1"
    recipe = load("prompts: [decaf-object-v1, decaf-background-v2]\n")
    assert recipe.filled()["prompts"] == recipe.prompts.templates
    assert str(recipe.origins["prompts", "object"]) == str(recipe.origins["prompts", "category"]) == "mine.yaml:3:10"


def test_a_recipe_that_is_called_like_a_set_is_not_mistaken_for_it(tmp_path: Path, registry: Registry, recipe_text: str) -> None:
    path = tmp_path / "decaf.yaml"
    path.write_text(recipe_text.replace("prompts: decaf", "prompts: {extends: decaf, object: a}"))
    assert load_recipe(path, registry=registry).filled()["prompts"] == {**DECAF, "object": "a"}


KEYS = "no such key; there are: extends, object, background, category, attributes, and what a strategy asks besides"
WANTED = f'wanted a prompt set, a list of them, or a block with "extends" and templates; sets: {SETS}'


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("prompts: ''\n", [f'3:10 prompts no prompt set is called ""; there are: {SETS}']),
        ("prompts:\n", [f"3:9 prompts found null; {WANTED}"]),
        ("prompts: 3\n", [f"3:10 prompts found 3; {WANTED}"]),
        ("prompts: [decaf, decav]\n", [f'3:18 prompts no prompt set is called "decav"; there are: {SETS}; did you mean "decaf"?']),
        ("prompts: [decaf, [3]]\n", [f"3:18 prompts found [3]; wanted the name of a prompt set: {SETS}"]),
        ("prompts: []\n", ["3:10 prompts.object missing; every set asks for the object"]),
        (
            "prompts: {extends: decav}\n",
            [f'3:20 prompts.extends no prompt set is called "decav"; there are: {SETS}; did you mean "decaf"?'],
        ),
        ("prompts: {extends: }\n", [f"3:19 prompts.extends found null; wanted the name of a prompt set: {SETS}"]),
        ("prompts: {backgruond: a}\n", [f'3:11 prompts.backgruond {KEYS}; did you mean "background"?']),
        ("prompts: {extend: decaf}\n", [f'3:11 prompts.extend {KEYS}; did you mean "extends"?']),
        ("prompts: {BG: a}\n", [f"3:11 prompts.BG {KEYS}"]),
        ("prompts: {background: 3}\n", ["3:23 prompts.background found 3; wanted the text of a question"]),
        ("prompts: {background: ' '}\n", ["3:23 prompts.background empty; wanted the words of a question"]),
        (
            "prompts: {object: '{category} {color}', attributes: '{candidates}', other: 1, extends: none}\n",
            [
                "3:76 prompts.other found 1; wanted the text of a question",
                f'3:88 prompts.extends no prompt set is called "none"; there are: {SETS}',
            ],
        ),
        (
            "prompts:\n  object: '{category} {color}'\n  attributes: '{candidates}'\n",
            [
                "4:11 prompts.object nothing can fill the placeholder {category} here; allowed: {expression}, {attributes}",
                "4:11 prompts.object nothing can fill the placeholder {color} here; allowed: {expression}, {attributes}",
                "5:15 prompts.attributes nothing can fill the placeholder {candidates} here; allowed: {expression}",
            ],
        ),
        (
            "prompts: {extends: steerseg, background: 'not {category}'}\n",
            ['3:42 prompts.background {category} comes from the template "category", which the set does not have'],
        ),
    ],
)
def test_problems_have_their_places(load: Callable[..., Recipe], text: str, rows: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        load(text)
    assert [" ".join(line.split()) for line in str(caught.value).splitlines()[2:-2]] == rows


def test_a_template_that_nothing_asks_for_is_refused_before_anything_is_asked() -> None:
    prompts = PromptSet("mine", {**DECAF, "bg": "a street"})
    untouched: Any = None
    with pytest.raises(PromptError, match=r'prompt set "mine" words "bg", which nothing asks for; fusion asks: object\. Take it out, or'):
        Interview(untouched, prompts).ask(["a dog"], [Query("object", "video", "object")])
