"""The question's words on a sheet: complete, in order, within the page, shaded and measured by their weights."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gazecut.interview import PromptWeights
from gazecut.pictures.palette import PAPER
from gazecut_plugins.exporters import sheet_words
from gazecut_plugins.exporters.lettering import Lettering
from gazecut_plugins.exporters.sheet_words import BAR, words_of

LETTERING = Lettering()
INDENT, WIDTH = 316, 900


def drawn(result, *weighed: PromptWeights) -> np.ndarray:
    picture = words_of(dataclasses.replace(result, prompt_weights=weighed), LETTERING, WIDTH, INDENT)
    assert picture is not None
    return np.asarray(picture)


def weighed(tokens: tuple[str, ...], weights: list[float], role: str = "object", view: str = "video") -> PromptWeights:
    return PromptWeights(role, view, tokens, np.array(weights, np.float32))


def bars(picture: np.ndarray) -> list[int]:
    """Heights of the bars of one line, from left to right."""
    blue = (picture == BAR).all(axis=2)
    heights = blue.sum(axis=0)
    starts = np.flatnonzero((heights > 0) & (np.roll(heights, 1) == 0))
    return [int(heights[start]) for start in starts]


tokens = st.lists(st.text(st.sampled_from("ab i.\n看é"), max_size=9), min_size=1, max_size=40)


@settings(max_examples=60)
@given(tokens=tokens, width=st.integers(160, 700))
def test_every_token_stands_once_in_order_and_within_the_page(tokens: list[str], width: int) -> None:
    lines = sheet_words._lines(tokens, LETTERING, width)
    assert lines == [line for line in lines if line]
    for line in lines:
        assert all(left.x + left.width <= right.x + 0.5 for left, right in itertools.pairwise(line))
        assert line[-1].x + line[-1].width <= width + 0.5
    begun = [piece.token for line in lines for piece in line if piece.begins]
    assert begun == list(range(len(begun)))
    if len(lines) < sheet_words._MOST_LINES:
        assert len(begun) == len(tokens)
        said = "".join(piece.text for line in lines for piece in line).replace(" ", "").replace("\\n", "")
        assert said == "".join("".join(tokens).split())


def test_bars_are_as_high_as_weights(make_result) -> None:
    heights = bars(drawn(make_result(), weighed(("the", " red", " di", "sc"), [0.01, 0.04, 0.0, 0.02])))
    assert [round(height / max(heights), 1) for height in heights] == [0.3, 1.0, 0.5], "what weighs nothing has no bar"


def test_a_token_of_many_words_has_one_bar(make_result) -> None:
    long = " ".join(["Respond with a single word"] * 20)
    assert len(bars(drawn(make_result(), weighed(("Which?", f" {long}"), [0.02, 0.01])))) == 2


def test_shades_follow_the_weights(make_result) -> None:
    picture = drawn(make_result(), weighed(("wwww", " wwww"), [1.0, 0.25])).astype(int)
    row = picture[sheet_words._HEADING + 3, INDENT:]  # above the letters
    shades = sorted({tuple(pixel) for pixel in row.tolist()} - {PAPER})
    assert len(shades) == 2
    strong, weak = (255 - np.array(shade)[0] for shade in shades)
    assert strong / weak == pytest.approx(4, rel=0.05)


def test_very_long_questions_end_with_an_ellipsis(make_result) -> None:
    many = tuple(f" word{number}" for number in range(400))
    lines = sheet_words._lines(many, LETTERING, WIDTH - INDENT)
    assert len(lines) == sheet_words._MOST_LINES
    assert lines[-1][-1].text == "…"
    assert drawn(make_result(), weighed(many, [0.1] * 400)).shape[0] < 400


def test_object_questions_of_every_view_are_shown_and_no_others(make_result) -> None:
    result, one = make_result(), weighed(("a", " b"), [0.1, 0.2])
    single = drawn(result, one)
    assert np.array_equal(drawn(result, one, weighed(("a", " b"), [0.1, 0.2], role="background")), single)
    both = drawn(result, one, weighed(("a", " b"), [0.1, 0.2], view="frame"))
    assert both.shape[0] > single.shape[0]
    assert np.array_equal(both[: single.shape[0]], single)


def test_without_weights_there_is_nothing_to_draw(make_result) -> None:
    result = make_result()
    for none in ((), (weighed((), []),), (weighed(("a",), [0.1], role="background"),)):
        assert words_of(dataclasses.replace(result, prompt_weights=none), LETTERING, WIDTH, INDENT) is None


def test_weights_of_nothing_are_no_bars(make_result) -> None:
    assert bars(drawn(make_result(), weighed(("a", " b"), [0.0, 0.0]))) == []
