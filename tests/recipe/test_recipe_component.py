"""A component that stands in no recipe, such as a trainer, with its options as the command line gives them."""

from __future__ import annotations

import pytest

from gazecut.errors import RecipeError
from gazecut.recipe import load_component
from gazecut.registry import Registry


def said(registry: Registry, name: str, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_component("selector", name, overrides, registry)
    return str(caught.value)


def test_options_are_set_under_the_name_of_its_kind(registry: Registry) -> None:
    stage = load_component("selector", "sigma", ["selector.side=5", "selector.sigma=2.5"], registry)
    assert (stage.kind, stage.use, stage.filled()) == ("selector", "sigma", {"use": "sigma", "sigma": 2.5, "side": 5})


def test_a_component_that_is_not_there_was_not_named_by_an_override(registry: Registry) -> None:
    assert said(registry, "sigmma") == (
        'selector "sigmma" has 1 problem\n\n'
        '  selector.use  no selector is called "sigmma"; installed: argmax, sigma; did you mean "sigma"?\n\n'
        "Nothing was run.  Installed: gazecut plugins"
    )


def test_a_wrong_option_is_told_with_the_override_as_its_place(registry: Registry) -> None:
    assert said(registry, "sigma", "selector.side=4") == (
        'selector "sigma" has 1 problem\n\n  --set  selector.side  4 is even\n\nNothing was run.  Options: gazecut show selector sigma'
    )


def test_a_path_without_end_is_refused_as_it_is_in_a_recipe(registry: Registry) -> None:
    assert "a path of more than 32 options; wanted selector.option" in said(registry, "sigma", f"selector{'.a' * 2000}=1")
