"""Runs the rules of a conformance class without pytest's collection, so that what fails can be counted."""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gazecut.testing import Conformance

Broken = Callable[[type[Conformance]], dict[str, BaseException]]


def rules_of(case: type[Conformance]) -> dict[str, Callable]:
    return {name: rule for name, rule in inspect.getmembers(case, inspect.isfunction) if name.startswith("test_")}


def ways(rule: Callable) -> Iterator[dict[str, Any]]:
    """The arguments of every case that a rule is parametrized with."""
    marks = [mark.args for mark in getattr(rule, "pytestmark", []) if mark.name == "parametrize"]
    axes = [[_named(names, values) for values in table] for names, table in marks]
    for chosen in itertools.product(*axes):
        yield {name: value for axis in chosen for name, value in axis.items()}


def _named(names: str | tuple[str, ...], values: Any) -> dict[str, Any]:
    return {names: values} if isinstance(names, str) else dict(zip(names, values, strict=True))


@pytest.fixture
def broken(tmp_path_factory: pytest.TempPathFactory) -> Broken:
    """The rules that a component breaks, and how; a skipped rule is not broken."""

    def check(case: type[Conformance]) -> dict[str, BaseException]:
        found: dict[str, BaseException] = {}
        for name, rule in rules_of(case).items():
            for arguments in ways(rule):
                if "tmp_path" in inspect.signature(rule).parameters:
                    arguments["tmp_path"] = tmp_path_factory.mktemp("rule")
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("error")
                        rule(case(), **arguments)
                except pytest.skip.Exception:
                    pass
                except Exception as error:  # noqa: BLE001  whatever a rule raises is a failure
                    found[name] = error
        case.teardown_class()
        return found

    return check


@pytest.fixture
def own_rules() -> Callable[[type[Conformance]], set[str]]:
    """Rules that a class adds to those of every kind."""
    return lambda case: set(rules_of(case)) - set(rules_of(Conformance))


@pytest.fixture
def common_rules() -> set[str]:
    """Rules of every kind."""
    return set(rules_of(Conformance))


@pytest.fixture
def make_case() -> Callable[..., type[Conformance]]:
    """make_case(class, build) -> the class for component `fake`, with another component in its place."""

    def make(kind: type[Conformance], build: Callable[[], object] | None = None, **attributes: Any) -> type[Conformance]:
        body = {"component": "fake", "plugins": ("gazecut.testing.plugin",), **attributes}
        if build is not None:
            body["build"] = classmethod(lambda case: build())
        return type("Case", (kind,), body)

    return make
