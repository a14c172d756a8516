"""Answers are greedy whatever a checkpoint's generation config sets up, and follow what it asks besides."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gazecut.values import Frames, Question
from gazecut_mllm.backend import Backend

TEXTS = ("the red circle", "what is it on the left?")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What transformers logs, which it keeps from other handlers."""
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture
def answers(
    checkpoint: Callable[[str], Path], make_backend: Callable[..., Backend], make_frames: Callable[..., Frames], tmp_path: Path
) -> Callable[..., list[str]]:
    """Answers with and without the clip, with some settings added to the checkpoint's generation config."""

    def ask(**settings: Any) -> list[str]:
        folder = tmp_path / "copy"
        shutil.copytree(checkpoint("qwen2.5-vl"), folder, dirs_exist_ok=True)
        file = folder / "generation_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))
        backend = make_backend("qwen2.5-vl", weights=str(folder))
        with backend.open(make_frames(2), "video") as session:
            seen = [answer.texts[0] for answer in session.ask([Question(text) for text in TEXTS])]
        return [*seen, *backend.complete_many(TEXTS)]

    return ask


@pytest.mark.parametrize(
    "settings",
    [
        {
            "temperature": 0.6,
            "top_k": 20,
            "top_p": 0.8,
            "min_p": 0.1,
            "top_h": 0.4,
            "typical_p": 0.9,
            "epsilon_cutoff": 0.1,
            "eta_cutoff": 0.1,
        },
        {"num_return_sequences": 2},
        {"num_beams": 3, "early_stopping": True, "length_penalty": 0.5},
        {"penalty_alpha": 0.6},
        {"max_length": 30},
        {"return_dict_in_generate": True, "output_scores": True},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_greedy_and_silent_whatever_it_sets_up(
    answers: Callable[..., list[str]], said: pytest.LogCaptureFixture, settings: dict[str, Any]
) -> None:
    assert answers(**settings) == answers()
    assert not said.messages


def test_what_it_asks_besides_is_followed(answers: Callable[..., list[str]]) -> None:
    for changed, plain in zip(answers(repetition_penalty=0.01), answers(), strict=True):
        assert changed != plain
