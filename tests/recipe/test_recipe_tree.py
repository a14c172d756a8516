"""YAML as recipes read it: strict about keys, plain about values, and everything with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gazecut.recipe.problems import Place, Problems
from gazecut.recipe.tree import Node, locate, parse, plain, plant


def read(text: str) -> tuple[Any, list[tuple[int, int, str]]]:
    problems = Problems("r.yaml")
    node = parse(text, "r.yaml", problems)
    return None if node is None else plain(node), [(item.place.line, item.place.column, item.message) for item in problems.items]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.5E+2", 150.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("010", 10),
        ("-7", -7),
        ("-9223372036854775807", -(2**63) + 1),
        ("+0000000000000000000000000016", 16),
        ("0" * 5000 + "5", 5),
        ("true", True),
        ("null", None),
        ("~", None),
        ("on", "on"),
        ("yes", "yes"),
        ("Off", "Off"),
        ("1:30", "1:30"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        (".inf", ".inf"),
        ("e5", "e5"),
        ("1e", "1e"),
        ("'1'", "1"),
        ("<<", "<<"),
    ],
)
def test_scalars_mean_what_they_look_like(text: str, value: object) -> None:
    found, problems = read(f"a: {text}")
    assert problems == []
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


def test_keys_are_text_as_written() -> None:
    assert read("on: 1\n2: b\ntrue: c")[0] == {"on": 1, "2": "b", "true": "c"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3", (3, 1, "stands here a second time; the first is at 1:1")),
        ("a:\n  c: 1\n  c: 2", (3, 3, "stands here a second time; the first is at 2:3")),
        ("a: &x 1\nb: *x", (2, 4, 'alias "*x" is not allowed; write the value out, or build on a recipe with "extends"')),
        ("a: [1", (1, 6, "not YAML: the text ends inside brackets that are still open")),
        (
            "a: !!python/name:os.system x",
            (1, 4, 'tag "tag:yaml.org,2002:python/name:os.system" is not allowed; recipes are plain YAML without tags'),
        ),
        ("a: !!set {x}", (1, 4, 'tag "tag:yaml.org,2002:set" is not allowed; recipes are plain YAML without tags')),
        ("a: !!int x", (1, 4, 'tag "tag:yaml.org,2002:int" is not allowed; recipes are plain YAML without tags')),
        ("? [a]\n: b", (1, 3, "a key is a list or a mapping; wanted text")),
        ("a: \x00", (1, 4, "character U+0000 is not allowed in YAML")),
        ("a: 1\n---\nb: 2", (2, 1, "not YAML: a second document begins; a recipe is one")),
        ("[" * 3000, (1, 33, "nested deeper than 32 levels")),
    ],
)
def test_what_is_not_a_recipe_is_a_problem_with_its_place(text: str, problem: tuple[int, int, str]) -> None:
    assert read(text)[1] == [problem]


def test_every_duplicate_is_named() -> None:
    assert [line for line, _, _ in read("a: 1\na: 2\nb: {c: 1, c: 2}\na: 3")[1]] == [2, 3, 4]


def test_places_of_keys_and_values() -> None:
    node = parse("a:\n  b: [x, {c: 1}]\n", "r.yaml", Problems("r.yaml"))
    assert node is not None
    assert locate(node, ("a", "b", 1, "c")) == (Place("r.yaml", 2, 14), ("a", "b", 1, "c"))
    assert locate(node, ("a", "b", 1, "c"), key=True)[0] == Place("r.yaml", 2, 11)
    assert locate(node, ("a", "b", 5, "c")) == (Place("r.yaml", 2, 6), ("a", "b"))
    assert locate(node, ("z",)) == (Place("r.yaml", 1, 1), ())


def plant_whole(value: object) -> Any:
    problems = Problems("overrides")
    node = plant(value, Place("overrides"), problems)
    assert problems.items == []
    return plain(node)


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


@given(PLAIN)
def test_planted_data_comes_back(value: Any) -> None:
    assert plant_whole(value) == value


@given(PLAIN)
def test_json_is_read_as_json_means_it(value: Any) -> None:
    assert read(json.dumps({"a": value}))[0] == {"a": value}


def test_tuples_and_other_types_become_plain() -> None:
    assert plant_whole({"a": (1, 2), 3: complex(1)}) == {"a": [1, 2], "3": "(1+0j)"}


def test_an_empty_text_has_no_tree() -> None:
    assert parse("# nothing\n", "r.yaml", Problems("r.yaml")) is None
    assert isinstance(parse("{}", "r.yaml", Problems("r.yaml")), Node)


def test_the_loader_leaves_pyyaml_as_it_was() -> None:
    assert yaml.safe_load("on") is True
