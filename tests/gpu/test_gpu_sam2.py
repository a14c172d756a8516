"""`sam2-hf` on a CUDA device: the official stage, both precisions, overlaps and holes on the device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gazecut import Pipeline
from gazecut.tracklets import mask_overlaps
from gazecut_segmenter.sam2_masks import fill_holes, overlap_matrix

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


@pytest.mark.parametrize(("precision", "mean", "lowest"), [("float32", 0.995, 0.99), ("bfloat16", 0.97, 0.9)])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_official_stage(shared: Callable[[str], Path], number: int, precision: str, mean: float, lowest: float) -> None:
    stage = np.load(shared(f"parity/stage_{number}.npz"))
    overrides = {
        "segmenter.use": "sam2-hf",
        "segmenter.weights": str(shared("parity/tiny_sam2_hf")),
        "segmenter.fill_holes": 0,
        "segmenter.precision": precision,
        "selector.use": "threshold",
        "selector.threshold": float(stage["point_threshold"]),
        "scorer.use": "attention-consistency",
        "scorer.keep": {"above": float(stage["keep_threshold"]), "otherwise": "best"},
    }
    result = Pipeline.from_recipe("pocket", overrides=overrides, device="cuda").segment_maps(
        stage["frames"], stage["attention"], stage["key_frames"]
    )
    shape = tuple(stage["final_masks_shape"])
    wanted = np.unpackbits(stage["final_masks"], count=int(np.prod(shape))).reshape(shape).astype(bool)
    overlaps = [mask_overlaps(ours[None], theirs[None])[0, 0] for ours, theirs in zip(result.masks, wanted, strict=True) if theirs.any()]
    assert np.mean(overlaps) >= mean
    assert min(overlaps) >= lowest


def test_overlaps_and_holes_are_those_of_the_cpu() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 96, 80, generator=draw) + 0.7
    assert torch.equal(fill_holes(logits.cuda(), 8).cpu(), fill_holes(logits, 8))
    masks = torch.rand(6, 96, 80, generator=draw) < 0.4
    np.testing.assert_array_equal(overlap_matrix(masks.cuda(), masks[:4].cuda()), mask_overlaps(masks.numpy(), masks[:4].numpy()))
