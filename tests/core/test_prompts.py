"""Prompt sets to the byte, and what templates may say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gazecut.errors import PromptError
from gazecut.prompts import (
    ROLES,
    PromptSet,
    builtin_prompt_sets,
    candidate_list,
    merged,
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


def test_variants_are_exact_and_change_one_question_each(shared: Callable[[str], Path]) -> None:
    official = json.loads(shared("parity/prompts.json").read_text(encoding="utf-8"))["decaf"]
    variants = {name: template for name, template in official.items() if not name.endswith("-v0")}
    assert len(variants) == 9
    for name, template in variants.items():
        role = name.partition("-")[0]
        assert prompt_set(f"decaf-{name}").templates == {**prompt_set("decaf").templates, role: template}


def test_sets_over_each_other_bring_what_each_words_itself() -> None:
    decaf, rewording = prompt_set("decaf").templates, ("decaf-object-v1", "decaf-background-v2")
    both = {role: prompt_set(name).template(role) for name, role in zip(rewording, ("object", "background"), strict=True)}
    assert merged(rewording) == merged(rewording[::-1]) == {**decaf, **both}
    assert merged(["decaf-object-v1", "decaf-object-v3"]) == prompt_set("decaf-object-v3").templates
    assert merged(["decaf-background-v2", "decaf"]) == decaf
    mixed = merged(["steerseg", "decaf-background-v2"])
    assert mixed == {**prompt_set("steerseg").templates, "background": both["background"]}
    assert merged([]) == {}


def test_the_page_about_prompts_lists_every_set() -> None:
    page = (Path(__file__).parents[2] / "docs" / "prompts.md").read_text(encoding="utf-8")
    listed = [name for row in page.splitlines() if row.startswith("| `") for name in re.findall(r"`([\w-]+)`", row.split(" | ")[0])]
    assert sorted({*listed} - {*ROLES}) == list(builtin_prompt_sets())


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
    there = ", ".join(builtin_prompt_sets())
    with pytest.raises(PromptError, match=f'no prompt set is called "decav"; there are: {there}'):
        prompt_set("decav")
    with pytest.raises(PromptError, match='no prompt set is called "decav"'):
        merged(["decaf", "decav"])
    with pytest.raises(PromptError, match='prompt set "steerseg" has no template "background"; it has: attributes, object'):
        prompt_set("steerseg").template("background")


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ({}, r'prompt set "mine", template "object": missing; every set asks for the object\.'),
        ({"object": " \n"}, r'template "object": empty; wanted the words of a question\.'),
        (
            {"object": "the {colour} one"},
            r'template "object": nothing can fill the placeholder \{colour\} here; allowed: \{expression\}, \{attributes\}\.',
        ),
        ({"object": "not {category}", "category": "x"}, r'template "object": nothing can fill the placeholder \{category\} here'),
        (
            {"object": "x", "category": "{attributes}", "attributes": "x"},
            r'template "category": .* allowed: \{expression\}, \{candidates\}',
        ),
        ({"object": "x", "attributes": "{category}", "category": "x"}, r'template "attributes": .* allowed: \{expression\}\.'),
        ({"object": "x", "other": "{candidates}"}, r'"other": .* allowed: \{expression\}, \{attributes\}, \{category\}\.'),
        ({"object": "{attributes}"}, r'\{attributes\} comes from the template "attributes", which the set does not have'),
        ({"object": "x", "background": "{category}"}, r'"background": \{category\} comes from the template "category", which'),
    ],
)
def test_templates_that_cannot_be_asked_are_refused(templates: dict[str, str], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        PromptSet("mine", templates)
