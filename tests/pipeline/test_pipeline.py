"""A clip's walk through the pipeline, with a scripted multimodal LLM in place of a real one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gazecut import Pipeline
from gazecut.errors import DeviceError, PromptError, ShapeError

FIXTURES = ("fusion_qwen_even", "fusion_qwen_odd", "fusion_same_length", "fusion_const_frame")
ATTENTION = {"segmenter": "attention"}


@pytest.fixture
def pipeline(scripted: Callable, attribution: object, square_maps: dict) -> Pipeline:
    pipeline = Pipeline.from_recipe("pocket", overrides=ATTENTION)
    pipeline.mllm = scripted(square_maps)
    pipeline.attribution = attribution
    return pipeline


@pytest.mark.parametrize("fixture", FIXTURES)
def test_recipe_fuses_raw_maps_as_the_official_code_does(
    shared: Callable[[str], Path], scripted: Callable, attribution: object, fixture: str
) -> None:
    z = np.load(shared(f"parity/{fixture}.npz"))
    maps = {(role, view): z[f"{view}_{role}"] for role in ("object", "background") for view in ("video", "frame")}
    frames = len(z["fused"])
    pipeline = Pipeline.from_recipe("decaf-qwen2.5-vl-7b", overrides={**ATTENTION, "sampler.frames": frames})
    pipeline.mllm = scripted(maps, pairs=len(maps["object", "video"]) != frames)
    pipeline.attribution = attribution
    result = pipeline.segment(np.zeros((frames, *z["frame_size"].tolist(), 3), np.uint8), "the dog")
    assert result.heatmaps.fused.dtype == np.float32
    np.testing.assert_allclose(result.heatmaps.fused, z["fused"], atol=1e-5)


def test_finds_the_square(pipeline: Pipeline, square: np.ndarray) -> None:
    result = pipeline.segment(square, "The bright square")
    truth = square[..., 0] > 100
    overlap = (result.masks & truth).sum() / (result.masks | truth).sum()
    assert overlap > 0.45  # cells of 8 px, objects of 24
    assert result.masks.shape == (8, 64, 80)
    assert result.category == "circle"
    assert result.heatmaps.video.shape == (8, 4, 5)
    assert result.heatmaps.frame.shape == (8, 8, 10)
    assert [found.id for found in result.objects] == list(range(1, len(result.objects) + 1))
    assert sum(judged.kept for judged in result.tracklets) == len(result.objects)


def test_what_was_asked_before_is_not_asked_again(pipeline: Pipeline, square: np.ndarray) -> None:
    with pipeline.open(square) as session:
        first, second = session.segment_many(["The bright square", "the bright square."])
        asked = len(pipeline.mllm.asked)
        third = session.segment("The bright square")
    assert asked == 4  # object and background, on two views
    assert len(pipeline.mllm.asked) == asked
    for other in (second, third):
        assert other.answers == first.answers
        np.testing.assert_array_equal(other.masks, first.masks)


def test_after_a_failure_everything_can_be_asked_again(pipeline: Pipeline, square: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = pipeline.segment(square, "The bright square")
    with pipeline.open(square) as session:
        with monkeypatch.context() as failing:
            failing.setattr(pipeline.attribution, "scores_with_prompt", _fail)
            with pytest.raises(RuntimeError, match="out of luck"):
                session.segment("The bright square")
        found = session.segment("The bright square")
    np.testing.assert_array_equal(found.heatmaps.fused, wanted.heatmaps.fused)


def _fail(_traces: object) -> None:
    raise RuntimeError("out of luck")


def test_asks_in_order_and_opens_each_view_once(pipeline: Pipeline, square: np.ndarray) -> None:
    with pipeline.open(square) as session:
        session.segment_many(["The bright square", "is it red?"])
        backend = pipeline.mllm
        assert [opened.view for opened in backend.sessions] == ["video", "frame"]
        assert not any(opened.closed for opened in backend.sessions)
    assert [opened.closed for opened in backend.sessions] == [1, 1]
    session.close()
    assert [opened.closed for opened in backend.sessions] == [1, 1]
    opening = [(view, text.split()[0:3]) for view, text in backend.asked]
    assert opening == [
        ("video", ["the", "bright", "square."]),
        ("video", ["is", "it", "red?"]),
        ("frame", ["the", "bright", "square."]),
        ("frame", ["is", "it", "red?"]),
        # of one category, so the background is one question
        *[(view, ["Describe", "the", "background"]) for view in ("video", "frame")],
    ]
    assert "excluding any circle." in backend.asked[-1][1]
    candidates = ",".join(["object 0", *[f"object {index}" for index in range(8)]])
    assert f"Candidate object class list: {candidates}\n" in backend.completed[0]


def test_many_expressions_equal_one_by_one(pipeline: Pipeline, square: np.ndarray) -> None:
    with pipeline.open(square) as session:
        many = session.segment_many(["the square", "the bright thing"])
        one = session.segment("the bright thing")
    np.testing.assert_array_equal(many[1].masks, one.masks)
    assert many[1].answers == one.answers


def test_a_result_is_there_before_the_next_one_is_at_risk(pipeline: Pipeline, square: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    with pipeline.open(square) as session:
        results = session.segment_each(["the square", "the bright thing"])
        first = next(results)
        assert first.masks.any()
        monkeypatch.setattr(pipeline, "selector", None)
        with pytest.raises(AttributeError):
            next(results)


def test_a_constant_map_gives_an_empty_valid_result(pipeline: Pipeline, square: np.ndarray, square_maps: dict, tmp_path: Path) -> None:
    for maps in square_maps.values():
        maps[:] = 0.25
    result = pipeline.segment(square, "nothing at all")
    assert not result.heatmaps.fused.any()
    assert len(result.points) == len(result.tracklets) == len(result.objects) == 0
    assert result.masks.shape == (8, 64, 80)
    assert not result.masks.any()
    result.save(tmp_path / "out")
    assert (tmp_path / "out" / "masks" / "00007.png").exists()


def test_given_maps_need_no_mllm(square: np.ndarray, square_maps: dict) -> None:
    pipeline = Pipeline.from_recipe("pocket", overrides=ATTENTION)
    maps = square_maps["object", "frame"][::2]
    result = pipeline.segment_maps(square, maps, np.array([0, 2, 4, 6]))
    assert "mllm" not in pipeline.built()
    assert result.masks.any(axis=(1, 2)).all()
    np.testing.assert_array_equal(result.heatmaps.fused, maps)
    assert result.answers == ()


@pytest.mark.parametrize(
    ("maps", "indices", "message"),
    [
        (np.zeros((2, 3)), [0, 1], r"maps has shape \(2, 3\)"),
        (np.zeros((2, 3, 3)), [0], r"frame_indices has shape \(1,\); wanted \(2\)"),
        (np.full((2, 3, 3), 2.0), [0, 1], r"finite values in \[0, 1\]"),
        (np.full((2, 3, 3), np.nan), [0, 1], r"finite values in \[0, 1\]"),
        (np.zeros((2, 3, 3)), [1, 0], "ascend strictly within 0 to 7"),
        (np.zeros((2, 3, 3)), [0, 8], "ascend strictly within 0 to 7"),
        (np.zeros((2, 3, 3)), [0.5, 2.0], r"must be whole numbers that ascend strictly within 0 to 7; got \[0.5, 2.0\]"),
    ],
)
def test_given_maps_are_checked(square: np.ndarray, maps: np.ndarray, indices: list[float], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Pipeline.from_recipe("pocket").segment_maps(square, maps, np.array(indices))


def test_an_empty_expression_is_refused_before_anything_runs(pipeline: Pipeline, square: np.ndarray) -> None:
    with pytest.raises(PromptError, match="the expression is empty"):
        pipeline.segment(square, "  ")
    assert pipeline.mllm.sessions == []


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "", "cpu0"])
def test_an_unknown_device_is_refused_at_once(device: str) -> None:
    with pytest.raises(DeviceError, match="no device is called"):
        Pipeline.from_recipe("pocket", device=device)


def test_one_view_asks_one_view(pipeline: Pipeline, scripted: Callable, attribution: object, square: np.ndarray, square_maps: dict) -> None:
    alone = Pipeline.from_recipe("pocket", overrides={**ATTENTION, "fusion.complementary.views": ["frame"]})
    alone.mllm, alone.attribution = scripted(square_maps), attribution
    result = alone.segment(square, "the square")
    assert [session.view for session in alone.mllm.sessions] == ["frame"]
    assert result.heatmaps.video is None
    np.testing.assert_allclose(result.heatmaps.fused, result.heatmaps.frame)


def test_without_fusion_the_raw_map_is_brought_to_the_unit_range(
    scripted: Callable, attribution: object, square: np.ndarray, square_maps: dict
) -> None:
    plain = Pipeline.from_recipe("pocket", overrides={**ATTENTION, "fusion": []})
    plain.mllm, plain.attribution = scripted(square_maps), attribution
    result = plain.segment(square, "the square")
    assert result.heatmaps.fused.shape == (8, 4, 5)
    assert (result.heatmaps.fused.min(), result.heatmaps.fused.max()) == (0, 1)
    assert [record.role for record in result.answers] == ["object"]


def test_steerseg_asks_for_attributes_first(scripted: Callable, attribution: object, square: np.ndarray, square_maps: dict) -> None:
    pipeline = Pipeline.from_recipe(
        "pocket", overrides={**ATTENTION, "prompts": "steerseg", "fusion": [{"use": "complementary", "fold": "frame"}]}
    )
    pipeline.mllm, pipeline.attribution = scripted(square_maps), attribution
    result = pipeline.segment(square, "the square")
    assert [record.role for record in result.answers] == ["attributes", "object", "object"]
    assert "Distinguishing attributes of the target: red, large." in result.answers[1].question


def test_the_manifest_repeats_the_run(pipeline: Pipeline, square: np.ndarray) -> None:
    manifest = pipeline.segment(square, "the square").manifest
    assert manifest["expression"] == "the square"
    assert manifest["seed"] == 0
    assert manifest["weights"]["mllm"]["device"] == "cpu"
    assert set(manifest["measured"]) == {"seconds", "expressions_asked", "peak_memory_bytes", "work", "host"}
    again = Pipeline.from_recipe(manifest["recipe"])
    assert again.recipe.filled() == pipeline.recipe.filled()
