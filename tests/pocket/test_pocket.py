"""The shipped pocket model, end to end: what it knows on held-out scenes, and that a run repeats."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gazecut import Pipeline
from gazecut.world import HELD_OUT, render
from gazecut.world_score import score_world, summarise


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pocket() -> Pipeline:
    return Pipeline.from_recipe("pocket", device="cpu")


def test_it_points_at_what_it_is_asked_for(pocket: Pipeline) -> None:
    trials = list(score_world(pocket, scenes=10))
    means = summarise([trial for trial in trials if trial.kind != "motion"])["all"]
    assert means["n"] >= 12
    assert means["pointing"] > means["random object"] + 0.3
    assert means["pointing"] > 0.85
    assert means["answer (video)"] > 0.85
    assert means["answer (frame)"] > 0.85
    assert means["background"] > 0.9
    assert means["J"] > 0.7


def test_the_same_run_gives_the_same_files(pocket: Pipeline, tmp_path: Path) -> None:
    scene = render(HELD_OUT, frames=10, size=128)
    expression = scene.expressions[0].text
    again = Pipeline.from_recipe("pocket", device="cpu")
    for pipeline, name in ((pocket, "first"), (again, "second")):
        pipeline.segment(scene.frames, expression).save(tmp_path / name)
    first, second = tmp_path / "first", tmp_path / "second"
    for file in ("masks.json", "evidence/heatmaps.safetensors"):
        assert (first / file).read_bytes() == (second / file).read_bytes()
    runs = [json.loads((folder / "run.json").read_text()) for folder in (first, second)]
    for run in runs:
        run.pop("measured")
    assert runs[0] == runs[1]


def test_expressions_asked_together_get_the_masks_of_those_asked_alone(pocket: Pipeline) -> None:
    scene = render(HELD_OUT + 1, frames=8, size=256)
    texts = [expression.text for expression in scene.expressions[:3]]
    with pocket.open(scene.frames) as session:
        together = session.segment_many(texts)
    for text, result in zip(texts, together, strict=True):
        alone = pocket.segment(scene.frames, text)
        assert [record.texts for record in alone.answers] == [record.texts for record in result.answers]
        np.testing.assert_allclose(alone.heatmaps.fused, result.heatmaps.fused, atol=1e-4)
        assert (alone.masks != result.masks).mean() < 0.001


@pytest.mark.slow
def test_it_knows_its_world(pocket: Pipeline) -> None:
    means = summarise(list(score_world(pocket, scenes=100)))
    for kind, view, least in (
        ("colour", "frame", 0.92),
        ("place", "frame", 0.92),
        ("combination", "frame", 0.85),
        ("size", "frame", 0.84),
        ("motion", "video", 0.70),
    ):
        assert means[kind][f"answer ({view})"] >= least, kind
    assert means["all"]["background"] >= 0.95
    assert means["all"]["pointing"] >= 0.78
    assert means["all but motion"]["pointing"] >= 0.88
    assert means["all but motion"]["J&F"] >= 0.75
    assert means["motion"]["pointing"] > means["motion"]["random object"]
