"""Holes, prompts, sizes and overlaps: against OpenCV, and against the official steps written out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from gazecut.tracklets import mask_overlaps
from gazecut_segmenter import sam2_masks
from gazecut_segmenter.sam2_masks import FILLED, at_clip_size, best_masks, fill_holes, mask_prompts, overlap_matrix, prompt_logits
from gazecut_segmenter.sam2_shared import NO_OBJECT, Decoded


def filled_by_opencv(logits: torch.Tensor, cells: int) -> np.ndarray:
    """The operator as it is described: 8-connected components of what is 0 or below, by area."""
    filled = logits.numpy().copy()
    for mask in filled:
        count, labels, stats, _ = cv2.connectedComponentsWithStats((mask <= 0).astype(np.uint8), connectivity=8)
        for label in range(1, count):
            if stats[label, cv2.CC_STAT_AREA] <= cells:
                mask[labels == label] = FILLED
    return filled


@settings(max_examples=150)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 30), st.integers(1, 30), st.floats(-2, 2.5), st.integers(0, 30))
def test_holes_are_those_of_opencv(seed: int, count: int, height: int, width: int, level: float, cells: int) -> None:
    logits = torch.randn(count, height, width, generator=torch.Generator().manual_seed(seed)) + level
    np.testing.assert_array_equal(fill_holes(logits, cells).numpy(), filled_by_opencv(logits, cells))


@pytest.mark.parametrize("cells", [7, 8, 9])
def test_a_snake_is_as_large_as_it_is_long(cells: int) -> None:
    logits = torch.ones(1, 12, 12)
    for step in range(8):  # a zigzag of 8 cells that touch at their corners only
        logits[0, 2 + step % 2, 2 + step] = -1.0
    filled = fill_holes(logits, cells)
    assert bool((filled > 0).all()) == (cells >= 8)
    assert filled.min() == (torch.tensor(FILLED) if cells >= 8 else -1)


def test_a_hole_of_zeros_is_background() -> None:
    logits = torch.ones(1, 5, 5)
    logits[0, 2, 2] = 0.0
    assert fill_holes(logits, 1)[0, 2, 2] == FILLED


def test_masks_of_a_batch_do_not_meet() -> None:
    logits = torch.stack([torch.full((6, 6), -1.0), torch.ones(6, 6), torch.full((6, 6), -1.0)])
    logits[1, 2, 2] = -1.0
    filled = fill_holes(logits, 8)
    assert bool((filled[0] < 0).all())
    assert bool((filled[1] > 0).all())


def test_nothing_to_fill() -> None:
    logits = torch.randn(2, 8, 8)
    assert fill_holes(logits, 0) is logits
    assert fill_holes(logits[:0], 8).shape == (0, 8, 8)


def test_prompts_are_resized_with_antialiasing_and_cut_at_one_half() -> None:
    masks = torch.from_numpy(np.random.default_rng(0).random((2, 90, 130)) < 0.5)
    resized = nn.interpolate(masks[:, None].float(), (64, 64), mode="bilinear", antialias=True)
    assert torch.equal(mask_prompts(masks, 64), (resized >= 0.5).float())
    square = masks[:, :64, :64]
    assert torch.equal(mask_prompts(square, 64)[:, 0] > 0, square)


def test_logits_of_a_prompt_are_ten_inside_and_outside() -> None:
    prompt = torch.zeros(1, 1, 64, 64)
    prompt[..., :32] = 1
    logits = prompt_logits(prompt)
    assert logits.shape == (1, 16, 16)
    assert float(logits[0, 0, 0]) == pytest.approx(10)
    assert float(logits[0, 0, -1]) == pytest.approx(-10)


def test_large_clips_are_resized_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(7, 16, 16)
    whole = at_clip_size(logits, (50, 70))
    assert torch.equal(whole, nn.interpolate(logits[:, None], (50, 70), mode="bilinear")[:, 0] > 0)
    monkeypatch.setattr(sam2_masks, "_PIXELS_AT_ONCE", 2 * 50 * 70)
    assert torch.equal(at_clip_size(logits, (50, 70)), whole)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(0, 5), st.integers(0, 5))
def test_overlaps_as_one_matrix(seed: int, first: int, second: int) -> None:
    draw = np.random.default_rng(seed)
    left, right = draw.random((first, 13, 17)) < draw.random((first, 1, 1)), draw.random((second, 13, 17)) < 0.5
    left[:1] = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sam2_masks, "_PIXELS_AT_ONCE", 100)
        np.testing.assert_array_equal(overlap_matrix(torch.from_numpy(left), torch.from_numpy(right)), mask_overlaps(left, right))


def test_the_best_of_three_by_predicted_iou() -> None:
    logits = torch.arange(2 * 3 * 4, dtype=torch.float32).reshape(2, 3, 2, 2)
    trust = torch.tensor([[0.1, 0.9, 0.5], [0.7, 0.2, 0.3]])
    tokens = torch.arange(6.0).reshape(2, 3, 1)
    best, score, token = best_masks(Decoded(logits, trust, tokens, torch.tensor([[1.0], [0.0]])))
    assert torch.equal(best[0], logits[0, 1])
    assert bool((best[1] == NO_OBJECT).all()), "presence of 0 is no presence; its predicted IoU still counts"
    assert score.tolist() == pytest.approx([0.9, 0.7])
    assert token.tolist() == [[1.0], [3.0]]
    one = Decoded(logits[:, :1], trust[:, :1], tokens[:, :1], torch.ones(2, 1))
    assert best_masks(one)[2].tolist() == [[0.0], [3.0]]
