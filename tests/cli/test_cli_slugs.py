"""One folder per expression, whatever the expressions are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gazecut.cli.segment import destinations, slug


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ("the red circle", "the-red-circle"),
        ("The dog's ball?", "the-dog-s-ball"),
        ("../../etc", "etc"),
        ("...", "expression"),
        ("das größte Tier", "das-größte-tier"),
        ("x" * 90, "x" * 60),
    ],
)
def test_slugs(expression: str, name: str) -> None:
    assert slug(expression) == name


def test_one_expression_takes_the_folder_itself() -> None:
    assert destinations(Path("out"), ["the red circle"]) == [Path("out")]


def test_equal_expressions_are_told_apart() -> None:
    assert [path.name for path in destinations(Path("out"), ["a b", "A, b", "c"])] == ["a-b", "a-b-2", "c"]


@given(st.lists(st.text(max_size=8), min_size=2, max_size=6))
def test_folders_never_meet_and_stay_within_the_output(expressions: list[str]) -> None:
    folders = destinations(Path("out"), expressions)
    assert len(set(folders)) == len(expressions)
    assert {folder.parent for folder in folders} == {Path("out")}
    assert ".." not in {folder.name for folder in folders}


def test_a_name_that_another_made_up_falls_back_to_numbers() -> None:
    assert [path.name for path in destinations(Path("out"), ["a", "a", "a 2"])] == ["01", "02", "03"]
