"""Prompt sets to the byte, and what templates may say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gazecut.errors import PromptError
from gazecut.prompts import (
    PromptSet,
    builtin_prompt_sets,
    candidate_list,
    parse_attributes,
    prompt_set,
    render,
    sentence,
)


def test_templates_are_exact(shared: Callable[[str], Path]) -> None:
    official = json.loads(shared("parity/prompts.json").read_text(encoding="utf-8"))
    for role in ("object", "background", "category"):
        assert prompt_set("decaf").template(role) == official["decaf"][f"{role}-v0"]
    for role in ("attributes", "object"):
        assert prompt_set("steerseg").template(role) == official["steerseg"][role]


def test_rendered_prompts_are_exact(shared: Callable[[str], Path]) -> None:
    official = json.loads(shared("parity/prompts.json").read_text(encoding="utf-8"))["example_rendered"]
    decaf, expression = prompt_set("decaf"), sentence(official["expression"])
    assert render(decaf.template("object"), expression=expression) == official["object-v0"]
    assert render(decaf.template("background"), category="person") == official["background-v0"]
    candidates = candidate_list(["person", " Player", "person\n"])
    assert render(decaf.template("category"), expression=expression, candidates=candidates) == official["category-v0"]


@pytest.mark.parametrize(
    ("typed", "quoted"),
    [("The Dog", "the dog."), ("the dog.", "the dog."), ("Who runs?", "who runs?"), ("  a dog\n", "a dog."), ("ÉTÉ!", "été!.")],
)
def test_sentence(typed: str, quoted: str) -> None:
    assert sentence(typed) == quoted


@pytest.mark.parametrize("typed", ["", " ", "\n\t"])
def test_an_empty_expression_is_refused(typed: str) -> None:
    with pytest.raises(PromptError, match="the expression is empty; say what to segment"):
        sentence(typed)


@given(st.text(min_size=1))
def test_braces_in_an_expression_stay_text(text: str) -> None:
    assert render("<{expression}>", expression=text, category="x") == f"<{text}>"


def test_a_missing_value_is_named() -> None:
    with pytest.raises(PromptError, match=r"no value for \{category\} in the prompt template 'not \{category\}'; given: expression"):
        render("not {category}", expression="x")


@pytest.mark.parametrize(
    ("answer", "attributes"),
    [
        ("Reasoning: the circle fits.\n\nAttributes: red, large, on the left", "red, large, on the left"),
        ("Attributes: red.\nThanks", "red"),
        ("It is red.", None),
        ("Reasoning: x\nAttributes:", None),
    ],
)
def test_parse_attributes(answer: str, attributes: str | None) -> None:
    assert parse_attributes(answer) == attributes


def test_unknown_sets_and_templates_are_named() -> None:
    assert builtin_prompt_sets() == ("decaf", "steerseg")
    with pytest.raises(PromptError, match='no prompt set is called "decav"; there are: decaf, steerseg'):
        prompt_set("decav")
    with pytest.raises(PromptError, match='prompt set "steerseg" has no template "background"; it has: attributes, object'):
        prompt_set("steerseg").template("background")
    with pytest.raises(PromptError, match='prompt set "mine" has no template "object"; found: nothing'):
        PromptSet("mine", {})
    with pytest.raises(PromptError, match=r'template "object": unknown placeholder \{colour\}; allowed: \{expression\}'):
        PromptSet("mine", {"object": "the {colour} one"})
