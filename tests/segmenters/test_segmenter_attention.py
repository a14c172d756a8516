"""The map as mask: DecAF's attention output, and the key-frame loop that must not change it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gazecut import Pipeline
from gazecut.otsu import otsu_masks
from gazecut.protocols import Runtime
from gazecut_segmenter.attention import AttentionSegmenter, map_between
from gazecut_segmenter.config import AttentionOptions


@pytest.mark.parametrize("fixture", ["fusion_qwen_even", "fusion_qwen_odd", "fusion_same_length"])
def test_pipeline_gives_the_official_masks(shared: Callable[[str], Path], fixture: str) -> None:
    """Every frame's mask, though some frames have no cell that the selector takes."""
    with np.load(shared(f"parity/{fixture}.npz")) as arrays:
        fused, size, packed = arrays["fused"], tuple(arrays["frame_size"].tolist()), arrays["otsu_masks"]
    shape = (len(fused), *size)
    expected = np.unpackbits(packed, count=int(np.prod(shape))).reshape(shape).astype(bool)
    pipeline = Pipeline.from_recipe("pocket", overrides={"segmenter.use": "attention"}, device="cpu")
    result = pipeline.segment_maps(np.zeros((*shape, 3), np.uint8), fused, np.arange(len(fused)))
    assert (result.masks != expected).mean() <= 1e-5


def test_between_key_frames_the_map_is_interpolated(square: Any) -> None:
    maps = square.heat.numpy()
    expected = otsu_masks(np.stack([0.75 * maps[0] + 0.25 * maps[1], maps[1], maps[2]]), square.clip.size)
    with AttentionSegmenter(AttentionOptions(), Runtime()).open(square.clip) as session:
        followed = square.follow(session, 0, square.truth[:2])
    for frame, mask in zip((2, 8, 16), expected, strict=True):
        assert (followed[frame] == mask).all()
    assert square.clip.decoded == []


def test_predicted_iou_is_soft_overlap(square: Any) -> None:
    crisp = np.zeros((6, 8), np.float32)
    crisp[2:4, 2:5] = 1
    hazy = 0.5 * crisp + 0.3
    with AttentionSegmenter(AttentionOptions(), Runtime()).open(square.clip) as session:
        trust = [session.masks_at(8, square.points(8), heat).predicted_iou[0] for heat in (crisp, hazy)]
    assert trust[0] > 0.6 > trust[1]


@given(index=st.integers(-5, 30), frames=st.lists(st.integers(0, 20), min_size=1, max_size=5, unique=True).map(sorted))
def test_map_between_is_linear_and_held(index: int, frames: list[int]) -> None:
    values = np.array(frames, np.float64)[:, None, None] * np.ones((1, 2, 3))
    found = map_between(values, np.array(frames), index)
    assert found == pytest.approx(np.full((2, 3), np.clip(index, frames[0], frames[-1])))
