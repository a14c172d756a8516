"""Scorer pearson: correlation with the attention of each view."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gazecut.errors import ShapeError
from gazecut.testing import samples
from gazecut.values import HeatMaps, MapSet, MaskTrack, Query, QueryMaps, Tracklet, Tracklets
from gazecut_plugins.config import KeepAbove, PearsonOptions
from gazecut_plugins.pearson import PearsonScorer, align, clipped_logits, pearson

NUMBERS = st.floats(-10, 10, allow_nan=False).map(lambda number: round(number, 3))
PAIRS = arrays.array_shapes(min_dims=3, max_dims=3, max_side=4).flatmap(
    lambda shape: st.tuples(arrays.arrays(np.float64, shape, elements=NUMBERS), arrays.arrays(np.float64, shape, elements=NUMBERS))
)


def tracklet(logits: np.ndarray) -> Tracklet:
    track = MaskTrack.from_masks(np.zeros((len(logits), 4, 4), bool), (4, 4))
    return Tracklet(0, np.array([[0.5, 0.5]]), 0.9, 0.9, track, logits.astype(np.float16))


def views(frame: np.ndarray | None = None, video: np.ndarray | None = None, per_slot: int = 2) -> MapSet:
    found = []
    if video is not None:
        found.append(QueryMaps(Query("object", "video", "object"), HeatMaps(video, per_slot)))
    if frame is not None:
        found.append(QueryMaps(Query("object", "frame", "object"), HeatMaps(frame)))
    return MapSet((), tuple(found))


def scores(logits: list[np.ndarray], maps: MapSet, fused: np.ndarray, **options: Any) -> np.ndarray:
    return PearsonScorer(PearsonOptions(**options)).judge(Tracklets(tuple(map(tracklet, logits))), maps, HeatMaps(fused)).scores


@given(PAIRS)
def test_correlation_is_what_numpy_says(pair: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = pair
    assume(np.ptp(first) > 0.01 and np.ptp(second) > 0.01)
    assert pearson(first, second) == pytest.approx(np.corrcoef(first.ravel(), second.ravel())[0, 1], abs=1e-9)


@given(PAIRS, st.floats(0.01, 100), st.floats(-100, 100))
def test_scale_and_level_of_the_maps_do_not_count(pair: tuple[np.ndarray, np.ndarray], scale: float, level: float) -> None:
    first, second = pair
    found = pearson(first, second)
    assert -1 <= found <= 1
    assert found == pearson(second, first)
    assume(np.ptp(second) > 0.01)
    assert pearson(first, scale * second + level) == pytest.approx(found, abs=1e-6)
    assert pearson(first, -scale * second + level) == pytest.approx(-found, abs=1e-6)


@given(PAIRS.map(lambda pair: pair[0]), st.floats(-1e6, 1e6))
def test_what_is_constant_agrees_with_nothing(values: np.ndarray, level: float) -> None:
    assert pearson(values, np.full(values.shape, level)) == 0


def test_a_constant_stays_one_where_averaging_rounds() -> None:
    flat = clipped_logits(np.full((3, 7, 9), 0.1, np.float16), (2, 5))
    assert pearson(flat, np.random.default_rng(0).normal(size=(3, 2, 5))) == 0


@settings(max_examples=50)
@given(
    logits=arrays.arrays(np.float16, (5, 4, 6), elements=st.floats(-20, 20, width=16)),
    frame=arrays.arrays(np.float32, (5, 4, 6), elements=st.floats(0, 1, width=16)),
    video=arrays.arrays(np.float32, (3, 2, 3), elements=st.floats(0, 1, width=16)),
    weight=st.floats(0, 1),
)
def test_scores_are_in_range_and_mix_by_weight(logits: np.ndarray, frame: np.ndarray, video: np.ndarray, weight: float) -> None:
    both = scores([logits], views(frame, video), frame, frame_weight=weight)
    of_frame, of_video = scores([logits], views(frame), frame), scores([logits], views(None, video), frame)
    assert -1 <= both[0] <= 1
    assert both[0] == pytest.approx(weight * of_frame[0] + (1 - weight) * scores([logits], views(frame, video), frame, frame_weight=0.0)[0])
    assert of_video.shape == (1,)


def test_it_is_equation_6_by_hand() -> None:
    draw = np.random.default_rng(1)
    logits = draw.normal(0, 3, (4, 8, 8)).astype(np.float16)
    frame, video = draw.random((4, 4, 4)).astype(np.float32), draw.random((2, 2, 2)).astype(np.float32)
    M = logits.astype(np.float64).reshape(4, 4, 2, 4, 2).mean(axis=(2, 4))
    M_video = M.reshape(2, 2, 2, 2, 2, 2).mean(axis=(1, 3, 5))
    wanted = 0.3 * np.corrcoef(M.ravel(), frame.ravel())[0, 1] + 0.7 * np.corrcoef(M_video.ravel(), video.ravel())[0, 1]
    assert scores([logits], views(frame, video), frame)[0] == pytest.approx(wanted)


def test_a_slot_is_the_mean_of_the_frames_that_it_covers() -> None:
    logits = np.arange(5, dtype=np.float64)[:, None, None] * np.ones((5, 2, 2))
    assert align(logits, HeatMaps(np.zeros((3, 1, 1)), 2)).ravel().tolist() == [0.5, 2.5, 4]
    with pytest.raises(ShapeError, match="do not cover 5 frames"):
        align(logits, HeatMaps(np.zeros((2, 1, 1)), 2))


def test_a_coarse_mask_is_interpolated_on_a_fine_map() -> None:
    logits = np.zeros((1, 2, 2), np.float16)
    logits[:, :, 1] = 8
    assert clipped_logits(logits, (2, 4))[0, 0].tolist() == [0, 2, 6, 8]


def test_frames_without_the_object_do_not_outweigh_the_others() -> None:
    maps = samples.square_maps(4).numpy()
    logits = (20 * maps - 10).astype(np.float16)
    logits[3] = -1024
    assert clipped_logits(logits, maps.shape[1:]).min() == -10
    here = scores([logits], views(maps), maps)[0]
    assert here > 0.8
    assert np.corrcoef(logits.astype(np.float64).ravel(), maps.ravel())[0, 1] < 0.3


def test_without_one_view_the_other_has_all_the_weight() -> None:
    draw = np.random.default_rng(0)
    logits, frame = draw.normal(size=(4, 4, 4)), draw.random((4, 4, 4))
    video, fused = draw.random((2, 2, 2)), draw.random((4, 4, 4))
    assert scores([logits], views(frame), fused)[0] == pytest.approx(pearson(logits.astype(np.float16), frame), abs=1e-6)
    alone = align(clipped_logits(logits.astype(np.float16), (4, 4)), HeatMaps(video, 2))
    assert scores([logits], views(None, video), fused)[0] == pytest.approx(pearson(alone, video), abs=1e-6)
    assert scores([logits], MapSet(()), fused)[0] == pytest.approx(pearson(logits.astype(np.float16), fused), abs=1e-6)


def test_the_tracklet_on_the_object_is_kept() -> None:
    maps = samples.square_maps(4)
    found = samples.tracklets(4)
    coarse = maps.numpy().reshape(2, 2, 4, 2, 5, 2).mean(axis=(1, 3, 5))
    judgement = PearsonScorer(PearsonOptions()).judge(found, views(maps.numpy(), coarse), maps)
    assert judgement.kept.tolist() == [True, False, False, False]
    assert judgement.reasons == ("the best", *["not the best"] * 3)
    assert judgement.consistency is None
    assert (np.diff(judgement.scores) < 0).all()
    above = PearsonScorer(PearsonOptions(keep=KeepAbove(above=-1.0))).judge(found, views(maps.numpy()), maps)
    assert above.kept.all()


def test_no_tracklets_no_scores() -> None:
    judgement = PearsonScorer(PearsonOptions()).judge(Tracklets(), views(np.zeros((2, 2, 2))), HeatMaps(np.zeros((2, 2, 2))))
    assert judgement.scores.shape == judgement.kept.shape == (0,)


def test_flat_maps_score_nothing() -> None:
    flat = np.full((4, 8, 10), 0.5, np.float32)
    assert scores([one.logits for one in samples.tracklets(2)], views(flat, flat[::2]), flat).tolist() == [0, 0]
