"""Suppression: the official fixture, each quirk of the official code, and what must hold for any masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gazecut.tracklets import keep_above, keep_tracklets, mask_overlaps, suppress


def boxes(*spans: tuple[int, int]) -> np.ndarray:
    """One row of 100 pixels per mask, set from start to stop."""
    masks = np.zeros((len(spans), 1, 100), bool)
    for mask, (start, stop) in zip(masks, spans, strict=True):
        mask[0, start:stop] = True
    return masks


def test_official_fixture(shared: Callable[[str], Path]) -> None:
    z = np.load(shared("parity/mask_nms.npz"))
    threshold = float(z["iou_threshold"])
    kept, deleted = suppress(z["masks"], z["scores"], threshold)
    np.testing.assert_array_equal(kept, z["kept"])
    assert deleted.size == 0
    kept, deleted = suppress(z["masks"], z["scores"], threshold, z["previous_masks"], z["previous_scores"])
    np.testing.assert_array_equal(kept, z["kept_with_previous"])
    np.testing.assert_array_equal(deleted, z["deleted_previous"])


def test_torch_in_torch_out(shared: Callable[[str], Path]) -> None:
    z = np.load(shared("parity/mask_nms.npz"))
    kept, deleted = suppress(torch.from_numpy(z["masks"]), torch.from_numpy(z["scores"]), float(z["iou_threshold"]))
    assert isinstance(kept, torch.Tensor)
    assert isinstance(deleted, torch.Tensor)
    assert kept.tolist() == z["kept"].tolist()


def test_overlap_at_the_threshold_is_not_above_it() -> None:
    kept, _ = suppress(boxes((0, 10), (0, 7)), np.array([1.0, 0.9]), 0.7)
    assert kept.tolist() == [0, 1]


def test_what_a_dropped_candidate_suppressed_stays_suppressed() -> None:
    masks = boxes((0, 50), (0, 52), (60, 90))
    kept, _ = suppress(masks, np.array([1.0, 0.9, 0.5]), 0.7, boxes((0, 50)), np.array([2.0]))
    assert kept.tolist() == [2]


def test_previous_flagged_before_the_drop_stay_flagged() -> None:
    masks = boxes((0, 50), (60, 90))
    previous = boxes((0, 49), (0, 50))
    kept, deleted = suppress(masks, np.array([1.0, 0.5]), 0.7, previous, np.array([0.9, 1.0]))
    assert kept.tolist() == [1]
    assert deleted.tolist() == [0]


def test_previous_after_the_stronger_one_are_not_looked_at() -> None:
    kept, deleted = suppress(boxes((0, 50), (60, 90)), np.array([1.0, 0.5]), 0.7, boxes((0, 50), (0, 49)), np.array([1.0, 0.9]))
    assert kept.tolist() == [1]
    assert deleted.tolist() == []


def test_deletions_are_discarded_when_no_candidate_is_kept() -> None:
    kept, deleted = suppress(boxes((0, 50)), np.array([1.0]), 0.7, boxes((0, 49), (0, 50)), np.array([0.9, 1.0]))
    assert kept.tolist() == []
    assert deleted.tolist() == []


def test_empty_masks_never_suppress_each_other() -> None:
    kept, _ = suppress(boxes((0, 0), (0, 0)), np.array([0.3, 0.4]), 0.7, boxes((0, 0)), np.array([9.0]))
    assert kept.tolist() == [1, 0]


def test_a_tie_with_a_previous_tracklet_goes_to_the_previous_one() -> None:
    kept, deleted = suppress(boxes((0, 50)), np.array([1.0]), 0.7, boxes((0, 50)), np.array([1.0]))
    assert (kept.tolist(), deleted.tolist()) == ([], [])


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(0, 7), st.integers(0, 4))
def test_kept_masks_differ_and_scores_fall(seed: int, candidates: int, earlier: int) -> None:
    draw = np.random.default_rng(seed)
    masks, previous = draw.random((candidates, 5, 6)) < 0.5, draw.random((earlier, 5, 6)) < 0.5
    scores = draw.random(candidates)
    kept, deleted = suppress(masks, scores, 0.4, previous, draw.random(earlier))
    assert (np.diff(scores[kept]) <= 0).all()
    overlaps = mask_overlaps(masks[kept], masks[kept])
    assert (overlaps[~np.eye(len(kept), dtype=bool)] <= 0.4).all()
    remaining = np.setdiff1d(np.arange(earlier), deleted)
    assert (mask_overlaps(masks[kept], previous[remaining]) <= 0.4).all()


@pytest.mark.parametrize(("threshold", "suffix"), [(0.80, "080"), (0.99, "099")])
def test_kept_tracklets_of_the_official_fixture(shared: Callable[[str], Path], threshold: float, suffix: str) -> None:
    z = np.load(shared("parity/tracklets.npz"))
    shape = tuple(z["tracklets_shape"])
    tracklets = np.unpackbits(z["tracklets"], count=int(np.prod(shape))).reshape(shape).astype(bool)
    kept = keep_tracklets(z["object_scores"], z["consistency"], threshold)
    wanted_shape = tuple(z[f"kept_shape_{suffix}"])
    wanted = np.unpackbits(z[f"kept_masks_{suffix}"], count=int(np.prod(wanted_shape))).reshape(wanted_shape).astype(bool)
    prompt = z["prompt_frame"][kept]
    np.testing.assert_array_equal(np.sort(z["key_frames"][prompt]), np.sort(z[f"kept_frames_{suffix}"]))
    np.testing.assert_array_equal(tracklets[kept, prompt], wanted)


def test_keep_rule() -> None:
    scores = np.array([0.8, 0.9, 0.2])
    assert keep_above(scores, 0.8).tolist() == [1]
    assert keep_above(scores, 0.95).tolist() == [1]
    assert keep_above(scores, 0.95, otherwise_best=False).tolist() == []
    assert keep_above(scores[:0], 0.5).tolist() == []
    assert keep_tracklets(torch.tensor([1.6, 1.7]), torch.tensor([0.9, 0.9]), 0.85).tolist() == [1]
