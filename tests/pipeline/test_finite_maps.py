"""Attention and maps that are no numbers are told, instead of passing for "nothing found"."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gazecut import Pipeline
from gazecut.errors import BackendError, ShapeError
from gazecut.testing import fake_pipeline, moving_square
from gazecut.values import HeatMaps, MapSet, Trace


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setenv("GAZECUT_CACHE", str(tmp_path / "cache"))
    return fake_pipeline(cache=True)


def test_attention_that_overflows_is_told_and_not_kept(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    square, scored = moving_square(6), pipeline.attribution.scores_with_prompt

    def overflowing(traces: Sequence[Trace]) -> list[tuple[np.ndarray, np.ndarray | None]]:
        return [(np.where(np.arange(len(scores)) == 1, np.inf, scores), words) for scores, words in scored(traces)]

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.attribution, "scores_with_prompt", overflowing)
        with pytest.raises(BackendError, match=r"the attention on the \w+ view has values that are not finite.*Set mllm\.dtype=bfloat16"):
            pipeline.segment(square.images, "the square")
    assert len(pipeline.segment(square.images, "the square").objects) == 1, "what overflowed is in no cache"


def test_a_strategy_whose_maps_are_no_numbers_is_named(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    last, fuse = type(pipeline.fusion[-1]).__name__, pipeline.fusion[-1].fuse

    def divided(maps: MapSet) -> MapSet:
        return fuse(maps).map_open(lambda entry: HeatMaps(entry.maps.values * np.nan, entry.maps.frames_per_slot))

    monkeypatch.setattr(pipeline.fusion[-1], "fuse", divided)
    with pytest.raises(ShapeError, match=f"a map of fusion strategy {last} has values that are not finite; wanted finite ones"):
        pipeline.segment(moving_square(6).images, "the square")
