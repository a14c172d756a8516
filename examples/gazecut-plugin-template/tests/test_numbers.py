"""What the components compute, on numbers that can be checked by hand."""

import numpy as np
from gazecut.values import HeatMaps, MapSet, MaskTrack, Query, QueryMaps, Tracklet, Tracklets

from gazecut_template.config import GeometricMeanOptions, HeatGainOptions
from gazecut_template.geometric_mean import GeometricMeanFusion
from gazecut_template.heat_gain import HeatGainScorer

HEAT = HeatMaps(np.array([[[1, 1, 0, 0], [0, 0, 0, 0]]], np.float32))  # mean 0.25


def tracklet(mask: list[list[int]]) -> Tracklet:
    """One frame, one pixel per cell."""
    track = MaskTrack.from_masks(np.array([mask], bool), (2, 4))
    return Tracklet(0, np.array([[0.5, 0.5]]), 1.0, 1.0, track, np.zeros((1, 2, 4), np.float16))


def test_heat_gain_rewards_what_is_hot_and_charges_for_what_is_not() -> None:
    exact = tracklet([[1, 1, 0, 0], [0, 0, 0, 0]])
    wide = tracklet([[1, 1, 1, 1], [0, 0, 0, 0]])
    cold = tracklet([[0, 0, 0, 0], [1, 1, 1, 1]])
    scorer = HeatGainScorer(HeatGainOptions(share=0.5))
    judgement = scorer.judge(Tracklets((exact, wide, cold)), MapSet(()), HEAT)
    np.testing.assert_allclose(judgement.scores, [2 * 0.75 / 8, 2 * 0.5 / 8, -4 * 0.25 / 8])
    assert judgement.kept.tolist() == [True, True, False]


def test_heat_gain_keeps_nothing_that_is_worse_than_nothing() -> None:
    cold = tracklet([[0, 0, 0, 0], [1, 1, 1, 1]])
    judgement = HeatGainScorer(HeatGainOptions()).judge(Tracklets((cold,)), MapSet(()), HEAT)
    assert judgement.kept.tolist() == [False]


def test_geometric_mean_asks_both_views_and_is_high_where_both_are() -> None:
    strategy = GeometricMeanFusion(GeometricMeanOptions())
    video, frame = strategy.plan([Query("object", "video", "object")])
    assert (video.view, frame.view) == ("video", "frame")
    slot = HeatMaps(np.array([[[0.0, 0.4]]]), frames_per_slot=2)  # one map for two frames
    frames = HeatMaps(np.array([[[0.0, 1.0, 0.0, 1.0]], [[0.5, 0.0, 0.0, 0.5]]]))
    fused = strategy.fuse(MapSet((QueryMaps(video, slot), QueryMaps(frame, frames)))).fused
    # The slot, scaled to [0, 1] and spread over four cells, is 0, 1/4, 3/4, 1 on both frames.
    np.testing.assert_allclose(fused.values, [[[0.0, 0.5, 0.0, 1.0]], [[0.0, 0.0, 0.0, 1.0]]])
