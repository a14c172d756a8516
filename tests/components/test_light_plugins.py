"""Sampler, selectors and scorers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gazecut.errors import ShapeError
from gazecut.values import HeatMaps, MapSet, MaskTrack, Points, Tracklet, Tracklets
from gazecut_plugins.argmax import ArgmaxSelector
from gazecut_plugins.attention_consistency import AttentionConsistencyScorer, attention_consistency
from gazecut_plugins.config import (
    ArgmaxOptions,
    AttentionConsistencyOptions,
    KeepAbove,
    ObjectScoreOptions,
    ThresholdOptions,
    UniformOptions,
)
from gazecut_plugins.object_score import ObjectScoreScorer
from gazecut_plugins.threshold import ThresholdSelector
from gazecut_plugins.uniform import UniformSampler

NOTHING = MapSet(())


@given(st.integers(1, 5000), st.integers(1, 64))
def test_uniform_takes_the_ends_and_never_a_frame_twice(length: int, frames: int) -> None:
    indices = UniformSampler(UniformOptions(frames=frames)).sample(SimpleNamespace(length=length))
    assert indices.dtype == np.int64
    assert len(indices) == min(frames, length)
    assert indices[0] == 0
    assert (np.diff(indices) > 0).all()
    assert indices[-1] == (length - 1 if len(indices) > 1 else 0)


def test_uniform_truncates_as_the_official_code_does() -> None:
    indices = UniformSampler(UniformOptions(frames=16)).sample(SimpleNamespace(length=50))
    assert indices.tolist() == np.linspace(0, 49, 16).astype(int).tolist()


def test_threshold_gives_each_cell_a_candidate() -> None:
    maps = np.zeros((2, 2, 3), np.float32)
    maps[0, 1, 2], maps[1, 0, 0], maps[1, 0, 1] = 0.9, 0.8, 0.8
    points = ThresholdSelector(ThresholdOptions(threshold=0.8)).select(HeatMaps(maps))
    assert points.frame.tolist() == [0, 1, 1]
    assert points.candidate.tolist() == [0, 0, 1]
    np.testing.assert_allclose(points.x, [2.5 / 3, 0.5 / 3, 1.5 / 3])
    np.testing.assert_allclose(points.y, [0.75, 0.25, 0.25])


def test_argmax_gives_one_point_a_frame_and_none_on_flat_maps() -> None:
    maps = np.zeros((3, 2, 2), np.float32)
    maps[0, 1, 0] = 0.4
    maps[2, 0, 1] = maps[2, 1, 1] = 1.0
    points = ArgmaxSelector(ArgmaxOptions()).select(HeatMaps(maps))
    assert points.frame.tolist() == [0, 2]
    assert list(zip(points.x, points.y, strict=True)) == [(0.25, 0.75), (0.75, 0.25)]
    np.testing.assert_allclose(points.score, [0.4, 1.0], rtol=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_consistency_of_the_official_fixture(shared: Callable[[str], Path], kind: Callable) -> None:
    z = np.load(shared("parity/tracklets.npz"))
    shape = tuple(z["tracklets_shape"])
    masks = np.unpackbits(z["tracklets"], count=int(np.prod(shape))).reshape(shape).astype(bool)
    ours = attention_consistency(kind(z["attention"]), kind(masks))
    np.testing.assert_allclose(np.asarray(ours), z["consistency"], atol=1e-5)


def test_consistency_without_penalty_never_falls_below_zero() -> None:
    draw = np.random.default_rng(0)
    maps, masks = draw.random((3, 4, 5)), draw.random((6, 3, 16, 20)) < 0.5
    assert (attention_consistency(maps, masks, penalty=False) >= 0).all()
    assert (attention_consistency(maps, masks) < attention_consistency(maps, masks, penalty=False) + 1e-9).all()


def test_otsu_mean_attends_to_less() -> None:
    maps = np.full((1, 4, 4), 0.1)
    maps[0, :2] = 0.3
    maps[0, 0, 0] = 1.0
    mask = np.zeros((1, 1, 4, 4), bool)
    mask[..., :2, :] = True
    by_mean, by_otsu = (attention_consistency(maps, mask, mean=mean)[0] for mean in ("mean", "otsu"))
    assert by_mean == pytest.approx(1, abs=1e-6)
    assert by_otsu < 0


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
@pytest.mark.parametrize("grid", [(5, 7), (13, 17), (28, 50)])
def test_a_flat_map_attends_to_nothing_however_its_mean_is_rounded(grid: tuple[int, int], kind: Callable) -> None:
    maps = np.zeros((2, *grid), np.float32)
    maps[0, :2, :2] = 1
    covers = np.zeros((2, 2, *grid), bool)
    covers[0, 0, :2, :2] = True
    covers[1, 1] = True  # the flat frame alone
    for level in (0.1, 0.3, 1 / 3, 0.7):
        maps[1] = level
        np.testing.assert_allclose(np.asarray(attention_consistency(kind(maps), kind(covers))), [1, 0], atol=1e-6)


def test_consistency_names_the_axis_that_does_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"tracklets has shape \(1, 2, 8, 8\); wanted \(K, 3, H, W\)"):
        attention_consistency(np.zeros((3, 2, 2)), np.zeros((1, 2, 8, 8), bool))


@settings(max_examples=30)
@given(st.integers(0, 500), st.integers(1, 5))
def test_the_best_positive_consistency_is_one(seed: int, count: int) -> None:
    draw = np.random.default_rng(seed)
    scores = attention_consistency(draw.random((2, 3, 4)), draw.random((count, 2, 9, 8)) < draw.random())
    assert np.isfinite(scores).all()
    assert scores.max() <= 0 or scores.max() == pytest.approx(1, abs=1e-4)


def tracklets(*scores: tuple[float, float]) -> Tracklets:
    masks = np.ones((2, 4, 4), bool)
    return Tracklets(
        tuple(
            Tracklet(0, np.array([[0.5, 0.5]]), attention, iou, MaskTrack.from_masks(masks, (4, 4)), np.zeros((2, 2, 2), np.float16))
            for attention, iou in scores
        )
    )


@pytest.mark.parametrize(
    ("keep", "kept"),
    [("best", [False, True, False]), (KeepAbove(above=0.5), [True, True, False]), (KeepAbove(above=0.99), [False, True, False])],
)
def test_object_score_and_the_keep_rule(keep: object, kept: list[bool]) -> None:
    scorer = ObjectScoreScorer(ObjectScoreOptions(keep=keep))
    judgement = scorer.judge(tracklets((0.8, 0.8), (0.9, 0.9), (0.1, 0.1)), NOTHING, HeatMaps(np.ones((2, 2, 2))))
    np.testing.assert_allclose(judgement.scores, [0.8, 0.9, 0.1])
    assert judgement.kept.tolist() == kept
    assert judgement.consistency is None


def test_otherwise_none_keeps_nothing() -> None:
    scorer = ObjectScoreScorer(ObjectScoreOptions(keep=KeepAbove(above=0.99, otherwise="none")))
    assert not scorer.judge(tracklets((0.8, 0.8)), NOTHING, HeatMaps(np.ones((2, 2, 2)))).kept.any()


@pytest.mark.parametrize("keep", ["best", KeepAbove()])
def test_nothing_to_judge(keep: object) -> None:
    for scorer in (AttentionConsistencyScorer(AttentionConsistencyOptions(keep=keep)), ObjectScoreScorer(ObjectScoreOptions(keep=keep))):
        judgement = scorer.judge(Tracklets(), NOTHING, HeatMaps(np.ones((2, 2, 2))))
        assert judgement.scores.shape == judgement.kept.shape == (0,)


def test_points_check_themselves() -> None:
    with pytest.raises(ShapeError, match=r"points\.x spans 0\.5 to 1\.5; wanted fractions in \[0, 1\]"):
        Points.single_clicks(np.array([[0, 0.5, 0.5, 1], [0, 1.5, 0.5, 1.0]]))
    with pytest.raises(ShapeError, match="goes back in time"):
        Points.single_clicks(np.array([[1, 0.5, 0.5, 1], [0, 0.5, 0.5, 1.0]]))
