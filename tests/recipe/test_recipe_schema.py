"""The JSON schema that editors check recipes with: it takes what the loader takes, and refuses what it can see is wrong."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gazecut.errors import RecipeError
from gazecut.plugins import discover
from gazecut.recipe import builtin_recipes, load_recipe
from gazecut.recipe.problems import Problems
from gazecut.recipe.schema import MERGED, recipe_schema
from gazecut.recipe.tree import parse, plain
from gazecut.registry import Registry

BASE = "version: 1\nextends: base.yaml\n"


def data(text: str) -> Any:
    tree = parse(text, "r.yaml", Problems("r.yaml"))
    assert tree is not None
    return plain(tree)


@pytest.fixture
def schema(registry: Registry) -> dict[str, Any]:
    schema = recipe_schema(registry)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema
    return schema


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry, recipe_text: str) -> Any:
    """Load a recipe beside base.yaml."""
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(recipe_text)

    def run(text: str) -> Any:
        Path("r.yaml").write_text(text)
        return load_recipe("r.yaml", registry=registry)

    return run


@pytest.mark.parametrize("name", builtin_recipes())
def test_every_shipped_recipe_is_taken_as_written_and_filled_in(name: str) -> None:
    registry = discover()
    validator = jsonschema.Draft202012Validator(recipe_schema(registry))
    validator.validate(data(resources.files("gazecut").joinpath("recipes", f"{name}.yaml").read_text(encoding="utf-8")))
    validator.validate(load_recipe(name, registry=registry).filled())


@pytest.mark.parametrize(
    "text",
    [
        BASE,
        "extends: base.yaml\n",
        BASE + "mllm: {views: {frame: {tokens: 3}}}\n",
        BASE + "mllm: {use: large, weights: there, size: [1, 2], seconds: 0.5}\n",
        BASE + "mllm: {use: small.v1}\n",
        BASE + "mllm: small.v1\n",
        BASE + "scorer: {keep: best}\n",
        BASE + "scorer: {keep: {above: 0.1, otherwise: none}}\n",
        BASE + "fusion: []\nexporters: [masks, {use: sheet, side: 5}]\n",
        BASE + "tracklets: {suppress_above: 1}\nprompts: steerseg\n",
        BASE + "prompts: [decaf-object-v1, decaf-background-v2]\n",
        BASE + "prompts: {background: a street}\n",
        BASE + "prompts: {extends: steerseg, background: a street, far-away: the sky}\n",
        BASE + "prompts: {extends: [], object: '{expression}?'}\n",
    ],
)
def test_what_the_loader_takes_the_schema_takes(schema: dict[str, Any], load: Any, text: str) -> None:
    load(text)
    jsonschema.Draft202012Validator(schema).validate(data(text))


@pytest.mark.parametrize(
    "text",
    [
        BASE + "sampeler: uniform\n",
        BASE + "sampler: {frmes: 3}\n",
        BASE + "sampler: {frames: 0}\n",
        BASE + "sampler: {frames: many}\n",
        BASE + "sampler: {frames: true}\n",
        BASE + "sampler: {use: uniforn}\n",
        BASE + "sampler: uniforn\n",
        BASE + "sampler: [uniform]\n",
        BASE + "sampler:\n",
        BASE + "mllm: {view: both}\n",
        BASE + "mllm: {views: {video: {token: 3}}}\n",
        BASE + "mllm: {views: {video: 3}}\n",
        BASE + "mllm: {size: [1]}\n",
        BASE + "mllm: {seconds: soon}\n",
        BASE + "mllm: {use: small.v1, sigma: 3}\n",
        BASE + "fusion: blur\n",
        BASE + "fusion: {use: blur}\n",
        BASE + "fusion: [{sigma: 2}]\n",
        BASE + "fusion: [{use: blur, sigma: 0}]\n",
        BASE + "scorer: {keep: worst}\n",
        BASE + "scorer: {keep: {abov: 1}}\n",
        BASE + "tracklets: {suppress_above: 2}\n",
        BASE + "tracklets: {use: x}\n",
        BASE + "prompts: decaff\n",
        BASE + "prompts: [decaff]\n",
        BASE + "prompts: 3\n",
        BASE + "prompts:\n",
        BASE + "prompts: {extends: decaff}\n",
        BASE + "prompts: {extends: {}}\n",
        BASE + "prompts: {background: 3}\n",
        BASE + "prompts: {background: ' '}\n",
        BASE + "prompts: {Background: a street}\n",
        BASE + "about: 3\n",
        "version: 2\nextends: base.yaml\n",
        "version: '1'\nextends: base.yaml\n",
        "version: 1\nextends: [base.yaml]\n",
        "version: 1\nextends: ''\n",
        "version: 1\nabout: nothing else\n",
        "- version: 1\n",
    ],
)
def test_what_the_schema_refuses_the_loader_refuses(schema: dict[str, Any], load: Any, text: str) -> None:
    with pytest.raises(RecipeError):
        load(text)
    assert not jsonschema.Draft202012Validator(schema).is_valid(data(text))


@pytest.mark.parametrize("missing", ["version", "prompts", "sampler", "mllm", "attribution", "selector", "segmenter", "scorer"])
def test_a_recipe_that_extends_none_is_complete(schema: dict[str, Any], recipe_text: str, missing: str) -> None:
    validator, whole = jsonschema.Draft202012Validator(schema), data(recipe_text)
    validator.validate(whole)
    del whole[missing]
    assert not validator.is_valid(whole)
    validator.validate({**whole, "extends": "pocket"})


def test_required_options_may_come_from_a_parent_but_not_from_nowhere(schema: dict[str, Any], recipe_text: str) -> None:
    validator, whole = jsonschema.Draft202012Validator(schema), data(recipe_text)
    del whole["mllm"]["weights"]
    assert not validator.is_valid(whole)
    validator.validate({**whole, "extends": "pocket"})
    assert {name for name in schema["$defs"] if name.endswith(MERGED)} == {
        f"mllm.{name}{MERGED}" for model in ("small.v1", "large") for name in (model, f"{model}.Views", f"{model}.Video")
    }


def test_editors_are_told_what_options_mean() -> None:
    definitions = recipe_schema(discover())["$defs"]
    sigma = definitions["fusion.contrastive"]["properties"]["sigma"]
    assert sigma == {
        "default": 1.0,
        "description": "Standard deviation of the Gaussian smoothing, in cells.",
        "exclusiveMinimum": 0,
        "type": "number",
    }
    assert definitions["fusion.contrastive"]["properties"]["use"]["const"] == "contrastive"
    assert definitions["fusion.contrastive"]["description"] == definitions["fusion.contrastive"]["properties"]["use"]["description"] != ""


def test_broken_plugins_leave_a_comment_and_the_rest_of_the_schema(plugin_folder: Any, registry: Registry, recipe_text: str) -> None:
    plugin = (
        "from gazecut.components import ComponentSpec, hookimpl\n"
        "@hookimpl\n"
        "def register_scorer(register):\n"
        "    register(ComponentSpec('gone', 'made up', 'nowhere:Thing', 'nowhere:Config'))\n"
        "    register(ComponentSpec('strange', 'made up', 'nowhere:Thing', 'acme_strange:Config'))\n"
    )
    strange = (
        "from collections.abc import Callable\n"
        "from gazecut.options import Options\n"
        "class Config(Options):\n"
        "    rule: Callable[[int], int] = abs\n"
    )
    plugin_folder.add("acme-more", {"acme_more": plugin, "acme_strange": strange}, {"main": "acme_more"})
    plugin_folder.add("acme-sam3", {"acme_sam3": "import sam3"}, {"main": "acme_sam3"}, version="0.2.0")
    schema = recipe_schema(discover(plugin_folder.distributions()))
    assert schema["$comment"] == "acme-sam3 0.2.0 did not load: ModuleNotFoundError: No module named 'sam3'"
    for name, reason in (("gone", "No module named 'nowhere'"), ("strange", "CallableSchema")):
        comment = schema["$defs"][f"scorer.{name}"]["$comment"]
        assert comment.startswith(f"the options of scorer {name} cannot be described: ")
        assert reason in comment
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate({**data(recipe_text), "scorer": {"use": "strange", "whatever": 3}})
    assert not validator.is_valid({**data(recipe_text), "scorer": {"use": "judge", "whatever": 3}})
