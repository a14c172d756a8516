"""Recipes: YAML that names one component per stage, checked as a whole before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gazecut.components import Kind
from gazecut.plugins import discover
from gazecut.recipe.check import check, check_component
from gazecut.recipe.model import Recipe, Stage, TrackletOptions
from gazecut.recipe.overrides import options_block, override
from gazecut.recipe.problems import Problems
from gazecut.recipe.sources import about, builtin_recipes, find_source, read, read_mapping
from gazecut.registry import Registry
from gazecut.wording import shown

__all__ = ["Recipe", "Stage", "TrackletOptions", "about", "builtin_recipes", "load_component", "load_recipe"]

_DATA = "recipe"


def load_recipe(
    recipe: str | Path | Mapping[str, object],
    overrides: Mapping[str, object] | Sequence[str] = (),
    registry: Registry | None = None,
) -> Recipe:
    """Read a recipe, work in what it extends and the overrides, and check all of it; imports config classes only.

    Args:
        recipe: A built-in name, a YAML file, or the content of one as plain data.
        overrides: Values by path, {"selector.threshold": 0.7}, or texts as on the command line, ["selector.threshold=0.7"].
        registry: What is installed; discovered by default.

    Raises:
        RecipeError: There is no such recipe, or something is wrong with it; names every problem and its place.
    """
    if isinstance(recipe, Mapping):
        name, problems = _DATA, Problems(_DATA)
        tree = read_mapping(recipe, _DATA, problems)
    else:
        source = find_source(recipe)
        name, problems = source.name, Problems(source.title)
        tree = read(source, problems)
    tree = override(tree, overrides, problems)
    return check(name, tree, discover() if registry is None else registry, problems)


def load_component(kind: Kind, name: str, overrides: Sequence[str], registry: Registry) -> Stage:
    """A component that stands in no recipe, with options as texts "kind.option=value"; imports its config class only.

    Args:
        kind: Its kind.
        name: Its name.
        overrides: The texts.
        registry: What is installed.

    Raises:
        RecipeError: There is no such component, or something is wrong with its options; names every problem.
    """
    problems = Problems(f'{kind} "{shown(name)}"')
    stage = check_component(kind, name, options_block(kind, overrides, problems), registry, problems)
    problems.raise_if_any()
    assert stage is not None
    return stage
