"""Results of stages are kept by content: nothing is computed twice, and nothing is taken that does not belong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gazecut.result import Result
from gazecut.testing import fake_pipeline
from gazecut.testing.fakes import FakeMLLM

EXPRESSIONS = ["the square", "the bright thing"]


@pytest.fixture
def run(square: np.ndarray, tmp_path: Path) -> Callable[..., tuple[Result, Mapping[str, int], bool]]:
    def once(overrides: Mapping[str, Any] | None = None, frames: np.ndarray = square, **options: Any) -> tuple[Result, dict, bool]:
        pipeline = fake_pipeline(overrides, **options)
        result = pipeline.segment(frames, EXPRESSIONS[0])
        return result, result.manifest["measured"]["work"], "mllm" in pipeline.built()

    return once


def same(one: Result, other: Result) -> None:
    np.testing.assert_array_equal(one.masks, other.masks)
    np.testing.assert_array_equal(one.heatmaps.fused, other.heatmaps.fused)
    assert one.answers == other.answers
    for known, found in zip(one.prompt_weights, other.prompt_weights, strict=True):
        assert (known.role, known.view, known.tokens) == (found.role, found.view, found.tokens)
        np.testing.assert_array_equal(known.weights, found.weights, strict=True)
    plain = [{name: value for name, value in result.manifest.items() if name != "measured"} for result in (one, other)]
    assert json.dumps(plain[0]) == json.dumps(plain[1])


def test_the_second_run_asks_nothing_and_says_the_same(run: Callable[..., Any]) -> None:
    first, counted, asked = run()
    assert asked
    assert (counted["cache_hits"], counted["rollout_passes"]) == (0, 2)
    second, counted, asked = run()
    assert not asked
    assert (counted["cache_misses"], counted["rollout_passes"]) == (0, 0)
    assert counted["cache_hits"] == 4 + 1 + 1 + 1  # four maps, the category, tracklets, tracks
    same(first, second)


@pytest.mark.parametrize(
    "change", [{"fusion": [{"use": "fake-mean"}]}, {"selector": "argmax"}, {"segmenter": "attention"}, {"scorer": "object-score"}]
)
def test_another_option_after_the_maps_runs_no_model(run: Callable[..., Any], change: Mapping[str, Any]) -> None:
    run()
    _, counted, asked = run(change)
    assert not asked
    assert counted["rollout_passes"] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"overrides": {"mllm.frames_per_slot": 1}},
        {"overrides": {"attribution.first_layer": 1}},
        {"overrides": {"sampler": {"use": "uniform", "frames": 3}}},
        {"frames": "brighter"},
    ],
)
def test_whatever_the_maps_depend_on_is_asked_anew(run: Callable[..., Any], square: np.ndarray, change: dict[str, Any]) -> None:
    run()
    if "frames" in change:
        change = {"frames": np.clip(square.astype(np.int16) + 1, 0, 255).astype(np.uint8)}
    _, counted, asked = run(**change)
    assert asked
    assert counted["rollout_passes"] > 0


def test_a_scorer_needs_no_segmenter(run: Callable[..., Any]) -> None:
    run()
    pipeline = fake_pipeline({"scorer": "object-score"})
    pipeline.segmenter = None  # set by hand: nothing is taken from notes, and nothing could be opened
    with pytest.raises(AttributeError):
        pipeline.segment(np.zeros((8, 64, 80, 3), np.uint8), "the square")


def test_without_the_cache_everything_is_done(run: Callable[..., Any], own_cache: Path) -> None:
    first, counted, _ = run(cache=False)
    assert (counted["cache_hits"], counted["cache_misses"]) == (0, 0)
    assert not own_cache.exists()
    second, _, asked = run(cache=False)
    assert asked
    same(first, second)
    assert counted["frames_decoded"] < run()[1]["frames_decoded"]  # no frame is decoded for a key alone


def test_a_component_set_by_hand_leaves_no_notes_and_reads_none(square: np.ndarray, run: Callable[..., Any]) -> None:
    run()
    for _ in range(2):
        pipeline = fake_pipeline()
        pipeline.mllm = FakeMLLM()
        pipeline.segment(square, EXPRESSIONS[0])
        assert [session.view for session in pipeline.mllm.sessions] == ["video", "frame"]


def test_several_expressions_share_notes_with_single_ones(square: np.ndarray, run: Callable[..., Any]) -> None:
    alone, _, _ = run()
    with fake_pipeline().open(square) as session:
        both = session.segment_many(EXPRESSIONS)
    np.testing.assert_array_equal(both[0].masks, alone.masks)
    assert both[0].manifest["measured"]["work"]["cache_hits"] >= 5
    third = fake_pipeline()
    with third.open(square) as session:
        again = session.segment(EXPRESSIONS[1])
    assert "mllm" not in third.built()
    np.testing.assert_array_equal(again.masks, both[1].masks)


def test_expressions_that_are_alike_are_asked_once(square: np.ndarray) -> None:
    pipeline = fake_pipeline(cache=False)
    with pipeline.open(square) as session:
        first, _, again = session.segment_many(["the square", "the bright thing", "the square"])
    assert isinstance(pipeline.mllm, FakeMLLM)
    for asked in (pipeline.mllm.completed, pipeline.mllm.asked):
        assert len(asked) == len(set(asked))
    assert first.answers == again.answers
    np.testing.assert_array_equal(first.masks, again.masks)


def test_damage_is_mended(run: Callable[..., Any], own_cache: Path) -> None:
    first, _, _ = run()
    for number, path in enumerate(sorted(own_cache.rglob("*.stage"))):
        content = bytearray(path.read_bytes())
        content[number % len(content)] ^= 1
        path.write_bytes(content)
    second, counted, asked = run()
    assert asked
    assert counted["cache_hits"] == 0
    same(first, second)
    assert not run()[2]


def test_weights_that_change_while_they_are_loaded_are_noted_as_what_was_loaded(square: np.ndarray) -> None:
    commit = {"mllm": "old"}

    def pipeline(loading_brings: str) -> Any:
        made = fake_pipeline()
        made.registry.identity = lambda kind, name, options, verify=False: commit.get(kind, "")
        build = made.registry.build

        def loaded(kind: str, *arguments: Any) -> Any:
            if kind == "mllm":
                commit["mllm"] = loading_brings
            return build(kind, *arguments)

        made.registry.build = loaded
        return made

    pipeline("new").segment(square, EXPRESSIONS[0])  # the hub had a newer commit
    commit["mllm"] = "old"
    asked = pipeline("old")
    asked.segment(square, EXPRESSIONS[0])
    assert "mllm" in asked.built()  # what "new" said is not taken for what "old" would say
    commit["mllm"] = "new"
    noted = pipeline("new")
    noted.segment(square, EXPRESSIONS[0])
    assert "mllm" not in noted.built()
