"""The attribute turn of SteerSeg: what becomes of an answer in the asked form, and of one that ignores it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gazecut.prompts import parse_attributes, placeholders, prompt_set, told_attributes
from gazecut.testing import moving_square
from gazecut.testing.fakes import FakeMLLM
from gazecut.testing.pipeline import fake_pipeline

WORDS = st.lists(st.text("abcdefghij ", min_size=1).map(str.strip).filter(bool), min_size=1, max_size=10)


def test_the_wording_is_the_papers(shared: Callable[[str], Path]) -> None:
    official = json.loads(shared("parity/prompts.json").read_text(encoding="utf-8"))
    assert dict(prompt_set("steerseg").templates) == {role: official["steerseg"][role] for role in ("attributes", "object")}
    assert prompt_set("steerseg-plain").template("object") == official["decaf"]["object-v0"]


def test_without_the_turn_nothing_asks_for_attributes() -> None:
    assert "attributes" not in frozenset().union(*map(placeholders, prompt_set("steerseg-plain").templates.values()))


@given(WORDS)
def test_a_list_in_the_asked_form_is_read(words: list[str]) -> None:
    listed = ", ".join(words)
    for written in (listed, f"{listed}.", f"'{listed}'", f"<{listed}>", f'"{listed}".'):
        assert parse_attributes(f"Reasoning: it fits the attributes asked for.\n\nAttributes: {written}\n") == listed
    bullets = "\n".join(f"- {word}" for word in words)
    assert parse_attributes(f"Reasoning: it fits.\n\nAttributes:\n{bullets}") == listed


@pytest.mark.parametrize(
    ("answer", "attributes"),
    [
        ("Reasoning: x\n**Attributes:** white, parked", "white, parked"),
        ("**Attributes**: white\n\nI hope this helps.", "white"),
        ("ATTRIBUTES : white", "white"),
        ("Attributes:\n\n1. white\n2. on the left\nThese set it apart.", "white, on the left"),
        ("Attributes: black\nAttributes: white", "white"),
        ("Attributes: size 1.5 m, first-row", "size 1.5 m, first-row"),
        ("Attributes:", None),
        ("Attributes: ...", None),
        ("Its attributes are white and round.", None),
        ("", None),
    ],
)
def test_forms_that_models_give(answer: str, attributes: str | None) -> None:
    assert parse_attributes(answer) == attributes


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("Reasoning: the car\n is white.", "the car is white."),
        ("white,  parked\n", "white, parked"),
        ("Reasoning: x\n\nAttributes: white", "white"),
        ("", ""),
    ],
)
def test_an_answer_without_a_list_stands_for_it(answer: str, told: str) -> None:
    assert told_attributes(answer) == told


@pytest.mark.parametrize(
    ("answer", "told"), [("Reasoning: r\n\nAttributes: red, big.", "red, big"), ("it is the red one", "it is the red one")]
)
def test_the_evidence_keeps_answer_and_attributes(answer: str, told: str) -> None:
    pipeline = fake_pipeline({"prompts": "steerseg", "fusion": [{"use": "complementary", "fold": "frame", "views": ["frame", "video"]}]})
    model = pipeline.mllm = FakeMLLM(script={"Attributes:": answer, "": "square"})
    result = pipeline.segment(np.asarray(moving_square().images), "The bright square")
    assert [view for view, text in model.asked if "EXACTLY this format" in text] == ["video"]
    assert result.manifest["attributes"] == told
    assert result.answers[0].role == "attributes"
    assert result.answers[0].texts == (answer,)
    for record in result.answers[1:]:
        assert f"Distinguishing attributes of the target: {told}.\n" in record.question


def test_what_each_attribute_weighed_is_known() -> None:
    pipeline = fake_pipeline({"prompts": "steerseg", "fusion": [{"use": "complementary", "fold": "frame"}]})
    result = pipeline.segment(np.asarray(moving_square().images), "The bright square")
    asked = {record.view: record.question for record in result.answers if record.role == "object"}
    assert {one.view for one in result.prompt_weights} == set(asked) == {"video", "frame"}
    for one in result.prompt_weights:
        assert "".join(one.tokens) == asked[one.view]
        attributes = "".join(one.tokens).index("target: red, large.")
        ends = np.cumsum([len(token) for token in one.tokens])
        said = (ends > attributes + len("target:")) & (ends <= attributes + len("target: red, large."))
        assert said.sum() == 2
        assert (one.weights[said] > 0).all()
