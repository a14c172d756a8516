"""The pocket checkpoint through the ordinary backend: it loads from the package, and it knows its world."""

from __future__ import annotations

import numpy as np
import pytest

from gazecut import world
from gazecut.prompts import prompt_set, render, sentence
from gazecut.protocols import Runtime
from gazecut.values import Frames, GridLayout, Question, TraceSpec
from gazecut_mllm.config import Qwen25VLConfig, QwenVideoViewOptions, QwenViewsOptions, RolloutConfig
from gazecut_mllm.qwen2_5_vl import Qwen25VLBackend
from gazecut_mllm.rollout import RolloutAttribution

SCENES = range(80_500, 80_507)
KINDS = ("name", "place", "combination")  # what it learns early; the bars for all kinds are those of its benchmark
LAYOUTS = {"video": GridLayout(4, 8, 8, 2), "frame": GridLayout(8, 16, 16)}


@pytest.fixture(scope="module")
def pocket() -> Qwen25VLBackend:
    views = QwenViewsOptions(video=QwenVideoViewOptions(tokens_per_frame=64))
    return Qwen25VLBackend(Qwen25VLConfig(weights="package:gazecut_mllm/pocket", views=views, seconds_per_slot=1.0), Runtime("cpu"))


@pytest.mark.parametrize("view", LAYOUTS)
def test_it_names_objects(pocket: Qwen25VLBackend, view: str) -> None:
    template = prompt_set("decaf").template("object")
    right: list[bool] = []
    for seed in SCENES:
        scene = world.render(seed, frames=8, size=256)
        asked = [expression for expression in scene.expressions if expression.kind in KINDS]
        with pocket.open(Frames(scene.frames, np.arange(8, dtype=np.int64), 8.0), view) as session:
            assert session.layout == LAYOUTS[view]
            answers = session.ask([Question(render(template, expression=sentence(expression.text))) for expression in asked])
        for expression, answer in zip(asked, answers, strict=True):
            right += [text == expression.answer for text in answer.texts]
    assert len(right) >= 30
    assert np.mean(right) >= 0.75


def test_its_attention_sums_to_a_share(pocket: Qwen25VLBackend) -> None:
    scene = world.render(SCENES[0], frames=5, size=128)
    attribution = RolloutAttribution(RolloutConfig(first_layer=2))
    with pocket.open(Frames(scene.frames, np.arange(5, dtype=np.int64), 8.0), "video") as session:
        trace = session.ask([Question(scene.expressions[0].text, TraceSpec(2))])[0].traces[0]
    maps = session.layout.fold(attribution.scores(trace))
    assert maps.shape == (3, 8, 8)
    assert (maps >= 0).all()
    assert maps.sum() <= 1
    assert maps.std() > 0
