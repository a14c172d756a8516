"""Fusion against the official fixtures, and what must hold for any maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gazecut.errors import ShapeError
from gazecut.values import HeatMaps, MapSet, Query, QueryMaps
from gazecut_fusion.complementary import ComplementaryFusion, complement
from gazecut_fusion.config import ComplementaryOptions, ContrastiveOptions
from gazecut_fusion.contrastive import ContrastiveFusion, contrast, smooth
from gazecut_plugins.otsu import otsu_masks
from gazecut_plugins.threshold import threshold_points

FIXTURES = ("fusion_qwen_even", "fusion_qwen_odd", "fusion_same_length", "fusion_const_frame")
KINDS = pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])


@pytest.fixture(params=FIXTURES)
def official(request: pytest.FixtureRequest, shared: Callable[[str], Path]) -> dict[str, np.ndarray]:
    return dict(np.load(shared(f"parity/{request.param}.npz")))


@KINDS
def test_contrast(official: dict[str, np.ndarray], kind: Callable) -> None:
    sigma = float(official["sigma"])
    for view, normalize in (("video", "global"), ("frame", "per-frame")):
        ours = contrast(
            kind(official[f"{view}_object"]),
            kind(official[f"{view}_background"]),
            kernel_size=int(official[f"kernel_{view}"]),
            sigma=sigma,
            normalize=normalize,
        )
        assert type(ours) is type(kind(np.zeros(1)))
        assert str(ours.dtype).endswith("float32")
        np.testing.assert_allclose(np.asarray(ours), official[f"contrast_{view}"], atol=1e-5)


@KINDS
def test_complement(official: dict[str, np.ndarray], kind: Callable) -> None:
    ours = complement(kind(official["contrast_video"]), kind(official["contrast_frame"]))
    np.testing.assert_allclose(np.asarray(ours), official["fused"], atol=1e-5)


@KINDS
def test_otsu_masks(official: dict[str, np.ndarray], kind: Callable) -> None:
    size = tuple(int(side) for side in official["frame_size"])
    shape = (len(official["fused"]), *size)
    wanted = np.unpackbits(official["otsu_masks"], count=int(np.prod(shape))).reshape(shape).astype(bool)
    ours = np.asarray(otsu_masks(kind(official["fused"]), size))
    assert ours.dtype == bool
    assert (ours != wanted).mean() <= 1e-5


@KINDS
def test_threshold_points(official: dict[str, np.ndarray], kind: Callable) -> None:
    rows = np.asarray(threshold_points(kind(official["fused"]), float(official["point_threshold"])))
    wanted = official["points_t_x_y_score"]
    assert rows.shape == wanted.shape
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows.astype(np.float64), wanted)


def test_float64_stays() -> None:
    maps = np.random.default_rng(0).random((2, 5, 6))
    assert contrast(maps, maps * 0.5, kernel_size=3, sigma=1.0).dtype == np.float64
    assert complement(maps, maps).dtype == np.float64


def test_smoothing_fades_at_the_border_and_keeps_the_sum_inside() -> None:
    spot = np.zeros((1, 9, 9))
    spot[0, 4, 4] = 1
    assert smooth(spot, 7, 1.0).sum() == pytest.approx(1)
    corner = np.zeros((1, 9, 9))
    corner[0, 0, 0] = 1
    assert smooth(corner, 7, 1.0).sum() < 0.6


@pytest.mark.parametrize("side", [0, 2, -3])
def test_kernels_have_a_centre(side: int) -> None:
    with pytest.raises(ShapeError, match=f"kernel of side {side}; wanted an odd side"):
        smooth(np.zeros((1, 4, 4)), side, 1.0)


def test_options_refuse_an_even_kernel() -> None:
    with pytest.raises(ValidationError, match="4 is even"):
        ContrastiveOptions.model_validate({"kernel": {"video": 4}})


def test_maps_of_two_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"background maps has shape \(1, 4, 5\); wanted \(1, 4, 4\)"):
        contrast(np.zeros((1, 4, 4)), np.zeros((1, 4, 5)), kernel_size=3, sigma=1.0)


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(1, 5), st.sampled_from(["global", "per-frame"]), st.sampled_from([0.0, 1e-9, 1.0, 1e4]))
def test_fused_maps_stay_in_range(seed: int, frames: int, normalize: str, scale: float) -> None:
    draw = np.random.default_rng(seed)
    first, second = (draw.random((frames, 4, 6)).astype(np.float32) * np.float32(scale) for _ in range(2))
    video = contrast(first, second, kernel_size=3, sigma=1.0, normalize=normalize)
    fused = complement(video[: -(-frames // 2)], contrast(second, first, kernel_size=5, sigma=1.0, normalize="per-frame"))
    for maps in (video, fused):
        assert np.isfinite(maps).all()
        assert maps.min() >= 0
        assert maps.max() <= 1


def test_the_plan_opens_what_fuse_folds() -> None:
    chain = [ContrastiveFusion(ContrastiveOptions()), ComplementaryFusion(ComplementaryOptions())]
    queries = [Query("object", "video", "object")]
    for strategy in reversed(chain):
        queries = list(strategy.plan(queries))
    assert [(query.role, query.view) for query in queries] == [
        ("object", "video"),
        ("background", "video"),
        ("object", "frame"),
        ("background", "frame"),
    ]
    draw = np.random.default_rng(0)
    shapes = {"video": (2, 3, 4), "frame": (4, 6, 8)}
    maps = MapSet(
        tuple(QueryMaps(query, HeatMaps(draw.random(shapes[query.view]), 2 if query.view == "video" else 1)) for query in queries)
    )
    for strategy in chain:
        maps = strategy.fuse(maps)
    assert maps.fused.values.shape == (4, 6, 8)
    assert maps.view("video").values.shape == (2, 3, 4)
    assert maps.view("frame").values.shape == (4, 6, 8)


def test_strength_zero_asks_no_background() -> None:
    fusion = ContrastiveFusion(ContrastiveOptions(strength=0.0))
    query = Query("object", "video", "object")
    assert list(fusion.plan([query])) == [query]
    maps = MapSet((QueryMaps(query, HeatMaps(np.random.default_rng(0).random((2, 3, 4)), 2)),))
    assert fusion.fuse(maps).fused.values.max() == 1


@pytest.mark.parametrize("fold", ["video", "frame"])
def test_fold_keeps_one_view(fold: str) -> None:
    fusion = ComplementaryFusion(ComplementaryOptions(fold=fold))
    shapes = {"video": (2, 3, 4), "frame": (4, 6, 8)}
    queries = fusion.plan([Query("object", "video", "object")])
    maps = fusion.fuse(MapSet(tuple(QueryMaps(query, HeatMaps(np.ones(shapes[query.view]))) for query in queries)))
    assert maps.fused.values.shape == shapes[fold]
    assert not maps.fused.values.any()


def test_what_is_not_folded_is_named() -> None:
    maps = MapSet(tuple(QueryMaps(Query("object", view, "object"), HeatMaps(np.ones((1, 2, 2)))) for view in ("video", "frame")))
    with pytest.raises(ShapeError, match=r"left 2 maps \(object on video, object on frame\)"):
        _ = maps.fused
