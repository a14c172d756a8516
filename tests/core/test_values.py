"""Values check themselves, and say what was wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gazecut import rle
from gazecut.arrays import floating, like, to_numpy, unit_range
from gazecut.errors import ShapeError
from gazecut.values import (
    Candidates,
    FrameMasks,
    Frames,
    GridLayout,
    HeatMaps,
    Judgement,
    MaskTrack,
    Points,
    PromptTokens,
    Steering,
    Tracklet,
)

IMAGES = np.zeros((2, 4, 5, 3), np.uint8)
ROW = np.array([0, 1])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Frames(IMAGES[..., 0], ROW, 25.0), r"frames\.images has shape \(2, 4, 5\); wanted \(T, H, W, 3\)"),
        (lambda: Frames(IMAGES.astype(float), ROW, 25.0), r"frames\.images has dtype float64; wanted uint8"),
        (lambda: Frames(IMAGES, ROW[:1], 25.0), r"frames\.indices has shape \(1,\); wanted \(2\)"),
        (lambda: Frames(IMAGES, ROW[::-1].copy(), 25.0), r"frames\.indices is \[1, 0\]; wanted one or more, strictly ascending"),
        (lambda: HeatMaps(np.zeros((2, 2))), r"heat maps has shape \(2, 2\); wanted \(T, h, w\)"),
        (lambda: HeatMaps(np.zeros((2, 2, 2)), 0), "frames_per_slot is 0; wanted 1 or more"),
        (lambda: HeatMaps(np.zeros((2, 2, 2)), 2).per_frame(5), "2 maps of 2 frames each do not cover 5 frames"),
        (lambda: GridLayout(2, 3, 4).fold(np.zeros(23)), r"token scores has shape \(23,\); wanted \(24\)"),
        (lambda: Candidates(np.zeros((1, 2, 2)), np.ones(1)), r"candidates\.masks has dtype float64; wanted bool"),
        (lambda: Candidates(np.zeros((1, 2, 2), bool), np.ones(2)), r"candidates\.predicted_iou has shape \(2,\); wanted \(1\)"),
        (lambda: FrameMasks(0, np.zeros((1, 2, 2), bool), np.zeros((2, 2, 2))), r"frame logits has shape \(2, 2, 2\); wanted \(1, h, w\)"),
        (lambda: MaskTrack((2, 3), (rle.encode(np.ones((2, 2), bool)),)), r"frame 0: code of size \(2, 2\); wanted \(2, 3\)"),
        (
            lambda: Candidates(np.zeros((1, 2, 2), bool), np.array([np.nan], np.float32)),
            r"candidates\.predicted_iou has values that are not finite; wanted one finite number per candidate\.",
        ),
        (
            lambda: Judgement(np.array([np.nan]), np.ones(1, bool)),
            r"judgement\.scores has values that are not finite; wanted one finite number per tracklet\.",
        ),
        (lambda: Judgement(np.zeros(2), np.ones(2, bool), reasons=("the best",)), "reasons has 1 phrases; wanted one per tracklet, 2"),
        (lambda: PromptTokens(np.arange(2), ("the",)), r"prompt\.columns has shape \(2,\); wanted \(1\)"),
        (lambda: Steering(np.zeros(3)), r"steering\.embeddings has shape \(3,\); wanted \(P, d\)"),
        (
            lambda: Tracklet(2, np.zeros((1, 2)), 1.0, 1.0, MaskTrack((2, 2), (None, None)), np.zeros((2, 1, 1), np.float16)),
            r"tracklet\.prompt_frame is 2; wanted 0 to 1",
        ),
    ],
)
def test_messages(build: Callable, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        build()


@given(st.integers(1, 9))
def test_slots_repeat_to_frames(frames: int) -> None:
    slots = -(-frames // 2)
    maps = HeatMaps(np.arange(slots * 2.0).reshape(slots, 1, 2), 2).per_frame(frames)
    assert maps.values[:, 0, 0].tolist() == [2.0 * (frame // 2) for frame in range(frames)]


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12))
def test_masks_survive_run_length_codes(seed: int, height: int, width: int) -> None:
    draw = np.random.default_rng(seed)
    masks = draw.random((3, height, width)) < draw.choice([0.0, 0.3, 1.0])
    track = MaskTrack.from_masks(masks, (height, width))
    np.testing.assert_array_equal(track.masks(), masks)
    assert [code is None for code in track.codes] == (~masks.any(axis=(1, 2))).tolist()
    assert [rle.area(code) for code in track.codes if code] == [int(mask.sum()) for mask in masks if mask.any()]


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_unit_range(kind: Callable) -> None:
    maps = kind(np.array([[[1.0, 3.0]], [[5.0, 5.0]]]))
    np.testing.assert_allclose(to_numpy(unit_range(maps)), [[[0, 0.5]], [[1, 1]]])
    np.testing.assert_allclose(to_numpy(unit_range(maps, (1, 2))), [[[0, 1]], [[0, 0]]])


def test_kinds_and_dtypes() -> None:
    half = torch.ones(2, dtype=torch.float16, requires_grad=True)
    assert floating(half).dtype == torch.float32
    assert floating(np.ones(2, np.int64)).dtype == np.float32
    assert floating(np.ones(2)).dtype == np.float64
    assert to_numpy(half).tolist() == [1, 1]
    assert like(np.ones(2), torch.zeros(1, dtype=torch.float64)).dtype == torch.float64


def test_points_of_one_frame() -> None:
    points = Points.single_clicks(np.array([[0, 0.1, 0.2, 0.9], [2, 0.3, 0.4, 0.8], [2, 0.5, 0.6, 0.7]]))
    here = points.at(2)
    assert len(here) == 2
    assert here.candidate_scores().tolist() == [0.8, 0.7]
    assert len(points.at(1)) == 0


def test_points_outside_are_a_wrong_request() -> None:
    with pytest.raises(ShapeError, match=r"points\.x spans 1\.5 to 1\.5; wanted fractions in \[0, 1\]") as caught:
        Points.single_clicks(np.array([[0, 1.5, 0.5, 1.0]]))
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("mask", [[[0, 255, 255]], [[0, 1, 2]], [[0.0, 0.5, 1.0]], [[False, True, True]]])
def test_a_mask_of_numbers_is_where_they_are_not_zero(mask: list[list[float]]) -> None:
    track = MaskTrack.from_masks(np.array([mask]), (1, 3))
    assert track.masks().tolist() == [[[False, True, True]]]
