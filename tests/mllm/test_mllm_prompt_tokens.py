"""Traces say where the question's words stand, and what the rollout gives to each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from gazecut.values import Frames, Question, Steering, TraceSpec
from gazecut_mllm.backend import Backend
from gazecut_mllm.chat import Chat
from gazecut_mllm.config import RolloutConfig
from gazecut_mllm.family import Placement
from gazecut_mllm.rollout.attribution import RolloutAttribution
from gazecut_mllm.rollout.driver import rollout_row

TEXTS = ("which is the red circle?", "看 the  naïve ☂, twice", "x")


def words_at(backend: Backend, ids: list[int]) -> str:
    return str(backend.family.processor.tokenizer.decode(ids))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("kind", ["video", "image"])
def test_a_turn_is_cut_into_the_words_of_its_question(qwen25: Backend, text: str, kind: Any) -> None:
    token = qwen25.family.processor.video_token if kind == "video" else qwen25.family.processor.image_token
    turn = Chat(qwen25.family.processor).turn(text, Placement(kind, (token,), token))
    assert "".join(turn.words) == text
    assert len(turn.words) == len(turn.question)
    ids = turn.after[turn.question.start : turn.question.stop]
    assert words_at(qwen25, list(ids)) == text
    alone = [word for word, more in zip(turn.words, [*turn.words[1:], "end"], strict=True) if word and more]
    for word in alone:
        assert any(words_at(qwen25, [token]) == word for token in ids)


@pytest.mark.parametrize("place", [None, "before-text", "after-text"])
@pytest.mark.parametrize("row", ["last-prompt", "first-answer"])
def test_columns_are_where_the_words_are(qwen25: Backend, make_frames: Callable[..., Frames], place: str | None, row: str) -> None:
    """Another word changes the first layer's keys there, and before it nowhere."""
    soft = None if place is None else Steering(torch.zeros(3, qwen25._reader.hf.width), place)
    spec = TraceSpec(0, 0, row)
    with qwen25.open(make_frames(2), "video") as session:
        texts = ("a red circle", "a red square")
        one, other = (answer.traces[0] for answer in session.ask([Question(text, spec, soft) for text in texts]))
    length = len(one.prompt.columns)
    assert np.diff(one.prompt.columns).tolist() == [1] * (length - 1)
    assert not np.isin(one.prompt.columns, one.visual_columns).any()
    same = [word for word, second in zip(one.prompt.texts, other.prompt.texts, strict=False) if word == second]
    keys = [trace.layers[0].key for trace in (one, other)]
    first = int(one.prompt.columns[0]) + len(same)
    shared = min(key.shape[1] for key in keys)
    changed = (keys[0][:, :shared] - keys[1][:, :shared]).abs().amax((0, 2)) > 1e-6
    assert int(changed.nonzero()[0]) == first


def test_weights_are_entries_of_the_row(qwen25: Backend, make_frames: Callable[..., Frames]) -> None:
    attribution = RolloutAttribution(RolloutConfig(first_layer=1))
    with qwen25.open(make_frames(3), "frame") as session:
        traces = [trace for answer in session.ask([Question(text, attribution.spec) for text in TEXTS]) for trace in answer.traces]
    found = attribution.scores_with_prompt(traces)
    assert len(found) == len(TEXTS) * 3
    for trace, (scores, weights), plain in zip(traces, found, attribution.scores_many(traces), strict=True):
        row = rollout_row(trace.layers, trace.visual_columns)
        assert weights is not None
        torch.testing.assert_close(weights, row[torch.as_tensor(trace.prompt.columns)], rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(scores, plain, rtol=0, atol=0)
        assert float(weights.min()) > 0
        assert float(scores.sum() + weights.sum()) < 1
