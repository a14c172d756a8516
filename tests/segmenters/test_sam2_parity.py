"""The whole SAM 2 stage beside the official code's own run of it (../shared/parity/README.md)."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gazecut import Pipeline
from gazecut.result import Result


def unpacked(stage: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    """Masks that were stored as bits."""
    shape = tuple(stage[f"{name}_shape"])
    return np.unpackbits(stage[name], count=int(np.prod(shape))).reshape(shape).astype(bool)


@pytest.fixture(scope="module", params=[1, 2, 3])
def stage(request: pytest.FixtureRequest, shared: Callable[[str], Path]) -> np.lib.npyio.NpzFile:
    """What the official code was given, and what it gave."""
    return np.load(shared(f"parity/stage_{request.param}.npz"))


def options_of(packaging: str, shared: Callable[[str], Path]) -> dict[str, Any]:
    """The same model in the form of each packaging."""
    if packaging == "sam2-hf":
        return {"use": "sam2-hf", "weights": str(shared("parity/tiny_sam2_hf"))}
    if find_spec("sam2") is None:
        pytest.skip("needs package sam2, see requirements-sam2.txt")
    told = json.loads(shared("parity/tiny_sam2.config.json").read_text())
    weights = str(shared("parity/tiny_sam2.safetensors"))
    return {"use": "sam2", "weights": weights, "config": told["config"], "hydra_overrides": told["hydra_overrides"]}


@pytest.fixture(scope="module", params=["sam2-hf", "sam2"])
def result(request: pytest.FixtureRequest, stage: np.lib.npyio.NpzFile, shared: Callable[[str], Path]) -> Result:
    """Ours, through the pipeline."""
    overrides = {
        **{f"segmenter.{name}": value for name, value in options_of(request.param, shared).items()},
        "segmenter.fill_holes": 0,  # the official run was on a CPU, where its operator is absent
        "selector.use": "threshold",
        "selector.threshold": float(stage["point_threshold"]),
        "scorer.use": "attention-consistency",
        "scorer.keep": {"above": float(stage["keep_threshold"]), "otherwise": "best"},
    }
    pipeline = Pipeline.from_recipe("pocket", overrides=overrides, device="cpu")
    with pipeline.open(stage["frames"]) as session:
        return session.segment_maps(stage["attention"], stage["key_frames"])


def test_the_same_tracklets_come_out_of_the_loop(stage: np.lib.npyio.NpzFile, result: Result) -> None:
    found = result.tracklets
    assert [each.prompt_frame for each in found] == stage["tracklet_frame"].tolist()
    np.testing.assert_allclose([each.object_score for each in found], stage["tracklet_object_score"], atol=1e-5)
    np.testing.assert_allclose([each.consistency for each in found], stage["tracklet_consistency"], atol=1e-5)
    for each, masks in zip(found, unpacked(stage, "tracklet_masks"), strict=True):
        np.testing.assert_array_equal(each.masks, masks)


def test_the_same_ones_are_kept(stage: np.lib.npyio.NpzFile, result: Result) -> None:
    kept = [int(stage["key_frames"][each.prompt_frame]) for each in result.tracklets if each.kept]
    assert kept == stage["kept_frames"].tolist()


def test_the_final_masks_are_the_same_pixel_by_pixel(stage: np.lib.npyio.NpzFile, result: Result) -> None:
    """Promised is an IoU of 0.995 on every frame with `sam2`; with `sam2-hf`, 0.95, and 0.985 on average. All pixels agree, since
    frames are resized as the official code does it, and prompts of masks are remembered and pointed to as it does; a few pixels
    are left to the rounding of other machines.
    """
    wanted = unpacked(stage, "final_masks")
    assert wanted.any()
    assert (result.masks != wanted).mean() <= 1e-5
