"""A recipe's own wording, from the recipe to the model and into the manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from gazecut import Pipeline
from gazecut.errors import PromptError
from gazecut.prompts import merged, render, sentence
from gazecut.values import MapSet, Query

SEGMENTER = {"segmenter": {"use": "attention"}}


@pytest.fixture
def build(scripted: Callable, attribution: object, square_maps: dict) -> Callable[[object], Pipeline]:
    """The pocket recipe with other prompts, on maps that are known."""

    def make(prompts: object) -> Pipeline:
        pipeline = Pipeline.from_recipe("pocket", overrides={**SEGMENTER, "prompts": prompts})
        pipeline.mllm, pipeline.attribution = scripted(square_maps), attribution
        return pipeline

    return make


def asked(pipeline: Pipeline, square: np.ndarray) -> dict[str, str]:
    return {record.role: record.question for record in pipeline.segment(square, "the square").answers}


def test_variants_over_each_other_are_what_the_model_reads(build: Callable, square: np.ndarray) -> None:
    names, expression = ["decaf-object-v1", "decaf-background-v3"], sentence("the square")
    questions = asked(build(names), square)
    assert questions == {role: render(merged(names)[role], expression=expression) for role in ("object", "background")}


def test_words_of_ones_own_are_asked_and_noted(build: Callable, square: np.ndarray) -> None:
    own = {"extends": "decaf", "background": "What lies behind {expression} Anything but {category}?"}
    pipeline = build(own)
    questions = asked(pipeline, square)
    assert questions["background"].startswith("What lies behind the square. Anything but ")
    assert questions["object"] == render(merged(["decaf"])["object"], expression="the square.")
    manifest = pipeline.segment(square, "the square").manifest
    assert manifest["recipe"]["prompts"] == {**merged(["decaf"]), "background": own["background"]}


def test_a_template_in_vain_stops_the_run_before_the_model_is_asked(build: Callable, square: np.ndarray) -> None:
    pipeline = build({"extends": "decaf", "bg": "a street"})
    with pytest.raises(PromptError, match=r'words "bg", which nothing asks for; fusion asks: background, object\.') as caught:
        pipeline.segment(square, "the square")
    assert caught.value.exit_status == 2
    assert pipeline.mllm.sessions == []


class Horizon:
    """Asks what is far away besides, and makes nothing of it."""

    def plan(self, queries: Sequence[Query]) -> Sequence[Query]:
        return [*queries, *(replace(query, role="far", prompt="far-away") for query in queries if query.role == "object")]

    def fuse(self, maps: MapSet) -> MapSet:
        return replace(maps, open=tuple(entry for entry in maps.open if entry.query.role != "far"))


def test_a_strategy_may_ask_what_only_this_recipe_words(build: Callable, square: np.ndarray, square_maps: dict) -> None:
    square_maps |= {("far", view): square_maps["background", view] for view in ("video", "frame")}
    pipeline = build({"extends": "decaf", "far-away": "What is behind any {category}?"})
    pipeline.fusion = (Horizon(), *pipeline.fusion)
    questions = asked(pipeline, square)
    assert questions["far"].startswith("What is behind any ")
