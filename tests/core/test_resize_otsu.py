"""Resizing and Otsu masks: the official code's numbers, on arrays of both kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gazecut.errors import ShapeError
from gazecut.otsu import otsu_masks
from gazecut.resize import axis_weights, resize

FIXTURES = ("fusion_const_frame", "fusion_qwen_even", "fusion_qwen_odd", "fusion_same_length")
LENGTHS = st.integers(1, 40)


@settings(max_examples=60)
@given(h=LENGTHS, w=LENGTHS, rows=LENGTHS, columns=LENGTHS, seed=st.integers(0, 9))
def test_equals_torch(h: int, w: int, rows: int, columns: int, seed: int) -> None:
    maps = np.random.default_rng(seed).random((2, h, w))
    expected = torch.nn.functional.interpolate(torch.from_numpy(maps)[None], size=(rows, columns), mode="bilinear", align_corners=False)[0]
    assert np.abs(resize(maps, (rows, columns)) - expected.numpy()).max() < 1e-12


@given(cells=LENGTHS, pixels=LENGTHS)
def test_weights_are_shares(cells: int, pixels: int) -> None:
    weights = axis_weights(cells, pixels)
    assert weights.min() >= 0
    assert np.allclose(weights.sum(axis=1), 1)
    assert (weights > 0).sum(axis=1).max() <= 2


@pytest.mark.parametrize(("given_dtype", "wanted"), [("float64", "float64"), ("float32", "float32"), ("float16", "float32")])
def test_kind_and_dtype(given_dtype: str, wanted: str) -> None:
    maps = np.linspace(0, 1, 24).reshape(2, 3, 4).astype(given_dtype)
    resized, tensor = resize(maps, (6, 8)), resize(torch.from_numpy(maps), (6, 8))
    assert resized.dtype == wanted
    assert isinstance(tensor, torch.Tensor)
    assert np.allclose(tensor.numpy(), resized, atol=1e-6)


def test_nothing_to_resize_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"cannot resize maps of shape \(2, 0, 4\) to \(5, 5\); wanted"):
        resize(np.zeros((2, 0, 4)), (5, 5))
    with pytest.raises(ShapeError, match=r"to \(0, 5\)"):
        resize(np.zeros((2, 3, 4)), (0, 5))


@pytest.mark.parametrize("name", FIXTURES)
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_otsu_parity(shared: Callable[[str], Path], name: str, kind: Callable[[np.ndarray], object]) -> None:
    with np.load(shared(f"parity/{name}.npz")) as fixture:
        fused, size, packed = fixture["fused"], tuple(fixture["frame_size"].tolist()), fixture["otsu_masks"]
    shape = (len(fused), *size)
    expected = np.unpackbits(packed, count=int(np.prod(shape))).reshape(shape).astype(bool)
    masks = np.asarray(otsu_masks(kind(fused), size))
    assert masks.dtype == bool
    assert (masks != expected).mean() <= 1e-5


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_map_gives_empty_mask(value: float) -> None:
    maps = np.full((2, 4, 5), value, np.float32)
    maps[1, 2, 2] = 1 - value if value != 0.5 else 1.0
    masks = otsu_masks(maps, (12, 15))
    assert not masks[0].any()
    assert masks[1].any()


def test_otsu_refuses_one_map_without_time() -> None:
    with pytest.raises(ShapeError, match=r"maps has shape \(4, 5\); wanted \(T, h, w\)"):
        otsu_masks(np.zeros((4, 5)), (8, 8))
