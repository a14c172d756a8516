"""A component that breaks one of the rules of every kind fails that rule alone; and what the kit says then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gazecut.components import API
from gazecut.errors import PluginError
from gazecut.testing import CONFORMANCE, ScorerConformance

PLUGIN = """
from gazecut.components import ComponentSpec, hookimpl

@hookimpl
def register_scorer(register):
    register(ComponentSpec({name!r}, {summary!r}, "gazecut.testing.fakes:FakeScorer", {config!r}))
"""
CONFIGS = '''
from pydantic import BaseModel, ConfigDict, field_serializer, model_validator
from gazecut.testing.options import FakeScorerOptions

class Plain(FakeScorerOptions):
    """Nothing new."""

class Refusing(FakeScorerOptions):
    @model_validator(mode="after")
    def _never_half(self):
        if self.above == 0.5:
            raise ValueError("0.5 is neither here nor there")
        return self

class Needy(FakeScorerOptions):
    above: float
    """Keep tracklets above this."""

class Loose(FakeScorerOptions):
    model_config = ConfigDict(extra="ignore")

class Rounding(FakeScorerOptions):
    @field_serializer("above")
    def _short(self, above) -> float:
        return round(above)

class Odd(FakeScorerOptions):
    @classmethod
    def __get_pydantic_json_schema__(cls, core, handler):
        return {**handler.resolve_ref_schema(handler(core)), "type": "string"}

class Part(FakeScorerOptions):
    depth: int = 1

class Silent(FakeScorerOptions):
    part: Part = Part()
    """Part of it."""
'''
GOOD = {"name": "judge", "summary": "judges", "config": "made_up_options:Plain"}
VIOLATIONS: dict[str, dict[str, Any]] = {
    "test_name_is_text_in_a_recipe": {"name": "1.5"},
    "test_api_is_the_one_of_this_kit": {},
    "test_summary_is_one_line": {"summary": "judges " + 20 * "very " + "carefully indeed"},
    "test_defaults_build_or_say_what_is_missing": {"config": "made_up_options:Refusing"},
    "test_unknown_options_are_refused": {"config": "made_up_options:Loose"},
    "test_options_outlive_a_manifest": {"config": "made_up_options:Rounding"},
    "test_schema_exports": {"config": "made_up_options:Odd"},
    "test_every_option_is_described": {"config": "made_up_options:Silent"},
    "test_declaring_imports_nothing_heavy": {"head": "import jax"},
}


@pytest.fixture
def made_up(plugin_folder: Any) -> Callable[..., type[ScorerConformance]]:
    """made_up(name=, summary=, config=, head=, options=) -> the conformance class of a scorer that is declared so."""

    def make(head: str = "", options: dict[str, Any] | None = None, **changes: str) -> type[ScorerConformance]:
        declared = {**GOOD, **changes}
        (plugin_folder.path / "jax.py").write_text("")  # stands for the real one, which would take seconds
        (plugin_folder.path / "made_up_options.py").write_text(CONFIGS)
        (plugin_folder.path / "made_up_plugin.py").write_text(head + PLUGIN.format(**declared))
        body = {"component": declared["name"], "plugins": ("made_up_plugin",), "options": {"above": 0.7} | (options or {})}
        return type("Case", (ScorerConformance,), body)

    return make


def test_every_rule_has_a_violation(common_rules: set[str]) -> None:
    assert set(VIOLATIONS) == common_rules


def test_every_kind_is_bitten() -> None:
    files = {path.stem.removeprefix("test_bites_") for path in Path(__file__).parent.glob("test_bites_*.py")}
    assert files == {*CONFORMANCE, "every_kind"}


def test_the_good_one_breaks_nothing(broken: Callable, made_up: Callable) -> None:
    assert broken(made_up()) == {}


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_a_violation_fails_its_rule_alone(rule: str, broken: Callable, made_up: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    if rule == "test_api_is_the_one_of_this_kit":
        monkeypatch.setitem(API, "scorer", 2)  # this host still takes a component of api 1
    assert set(broken(made_up(**VIOLATIONS[rule]))) == {rule}


MESSAGES = {
    "test_summary_is_one_line": (
        'scorer "judge" (module made_up_plugin) breaks the rule: Its summary is one line that a listing can show.\n'
        f"  found:   'judges {20 * 'very '}carefully indeed'\n"
        "  allowed: 1 to 120 characters, on one line, single spaces"
    ),
    "test_defaults_build_or_say_what_is_missing": (
        'scorer "judge" (module made_up_plugin) breaks the rule: '
        "Its options build from nothing, or the error names those that must be given.\n"
        "  found:   all together: Value error, 0.5 is neither here nor there\n"
        "  allowed: defaults that pass their own checks"
    ),
    "test_every_option_is_described": (
        'scorer "judge" (module made_up_plugin) breaks the rule: Every option says what it means.\n'
        "  found:   nothing about Part.depth\n"
        "  allowed: a docstring below the option, or Field(description=...)"
    ),
    "test_declaring_imports_nothing_heavy": (
        'scorer "judge" (module made_up_plugin) breaks the rule: '
        "Its plugin module and its options' module import no deep-learning library.\n"
        "  found:   made_up_plugin and made_up_options import jax\n"
        "  allowed: gazecut and pydantic; the rest belongs to the target's module"
    ),
}


@pytest.mark.parametrize("rule", MESSAGES)
def test_a_failure_says_rule_found_and_allowed(rule: str, broken: Callable, made_up: Callable) -> None:
    error = broken(made_up(**VIOLATIONS[rule]))[rule]
    assert isinstance(error, AssertionError)
    assert str(error) == MESSAGES[rule]


def test_a_required_option_is_given_by_the_class(broken: Callable, made_up: Callable) -> None:
    assert broken(made_up(config="made_up_options:Needy")) == {}
    case = made_up(config="made_up_options:Needy")
    case.options = {}
    message = str(broken(case)["test_defaults_build_or_say_what_is_missing"])
    assert "found:   no default for above\n  allowed: a default, or a value in `options` of the conformance class" in message


def test_an_unknown_component_says_what_is_installed(made_up: Callable) -> None:
    case = made_up()
    case.component = "jugde"
    with pytest.raises(PluginError, match=r'no scorer is called "jugde"; installed: .*judge'):
        case.built()
