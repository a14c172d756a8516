"""What the words of a question weighed, from the attention's row to the result and the manifest; and how many prompts were suppressed."""

from __future__ import annotations

import numpy as np
import pytest

from gazecut.result import Result
from gazecut.testing import fake_pipeline
from gazecut.testing.fakes import FakeAttribution


class PlainAttribution:
    """An attribution that knows of visual tokens only."""

    def __init__(self) -> None:
        self._inner = FakeAttribution()
        self.spec = self._inner.spec
        self.scores, self.scores_many = self._inner.scores, self._inner.scores_many


@pytest.fixture
def result(square: np.ndarray) -> Result:
    return fake_pipeline(cache=False).segment(square, "the square")


def test_every_traced_question_is_weighed_word_by_word(result: Result) -> None:
    asked = {(record.role, record.view): record.question for record in result.answers if record.role != "category"}
    assert [(one.role, one.view) for one in result.prompt_weights] == list(asked)
    for one in result.prompt_weights:
        assert "".join(one.tokens) == asked[one.role, one.view]
        assert (one.weights.shape, one.weights.dtype) == ((len(one.tokens),), np.float32)
        assert one.weights.min() > 0


def test_weights_of_several_sequences_are_their_mean(result: Result, square: np.ndarray) -> None:
    """The fake gives what no picture takes to the tokens after it, in equal parts; the rest of the row is on the map."""
    for one in result.prompt_weights:
        assert len(set(one.weights.tolist())) == 1
    pipeline = fake_pipeline(cache=False)
    with pipeline.open(square) as session:
        session.segment("the square")
        asked = next(found for found in pipeline.mllm.sessions if found.view == "frame")
    left = 1 - asked._maps["object"].reshape(asked.layout.slots, -1).sum(axis=1)
    weights = next(one for one in result.prompt_weights if (one.role, one.view) == ("object", "frame"))
    assert weights.weights[0] == pytest.approx(left.mean() / (len(weights.tokens) + 1), rel=1e-6)


def test_the_manifest_tells_the_same(result: Result) -> None:
    told = [{"role": one.role, "view": one.view, "tokens": one.tokens, "weights": one.weights.tolist()} for one in result.prompt_weights]
    assert told
    assert result.manifest["prompt_weights"] == told


def test_an_attribution_that_does_not_tell_leaves_them_out(square: np.ndarray, result: Result) -> None:
    pipeline = fake_pipeline(cache=False)
    pipeline.attribution = PlainAttribution()
    plain = pipeline.segment(square, "the square")
    assert plain.prompt_weights == ()
    assert plain.manifest["prompt_weights"] == []
    np.testing.assert_array_equal(plain.masks, result.masks)


def test_given_maps_weigh_no_words(square: np.ndarray) -> None:
    given = fake_pipeline(cache=False).segment_maps(square, np.ones((1, 4, 5), np.float32), np.array([0]))
    assert given.prompt_weights == ()


def test_prompts_that_left_no_tracklet_were_suppressed(result: Result) -> None:
    prompts = np.bincount(result.points.frame, minlength=len(result.frame_indices))  # one point each
    left = np.bincount([one.prompt_frame for one in result.tracklets], minlength=len(result.frame_indices))
    assert result.suppressed.tolist() == (prompts - left).tolist() == result.manifest["suppressed"]
    assert result.suppressed.min() >= 0
    assert prompts.sum() == result.suppressed.sum() + len(result.tracklets)


def test_reasons_of_the_scorer_reach_the_manifest(square: np.ndarray) -> None:
    found = fake_pipeline({"scorer": {"use": "object-score", "keep": "best"}}, cache=False).segment(square, "the square")
    assert [one.reason for one in found.tracklets if one.kept] == ["the best"]
    assert [about["reason"] for about in found.manifest["tracklets"]] == [one.reason for one in found.tracklets]


def test_a_scorer_without_reasons_gives_none(result: Result) -> None:
    assert {one.reason for one in result.tracklets} == {None}
