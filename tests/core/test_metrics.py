"""J and F against the official code, on made-up and on real masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gazecut.errors import ShapeError
from gazecut.metrics import contour_accuracy, region_similarity


def test_official_fixture(shared: Callable[[str], Path]) -> None:
    z = np.load(shared("parity/metrics.npz"))
    for index in range(12):
        truth, prediction = z[f"gt_{index}"][None], z[f"pred_{index}"][None]
        assert region_similarity(truth, prediction)[0] == pytest.approx(z["J"][index], abs=1e-9)
        assert contour_accuracy(truth, prediction)[0] == pytest.approx(z["F"][index], abs=1e-9)


@pytest.mark.parametrize("sequence", ["blackswan", "car-shadow", "libby"])
def test_real_predictions(shared: Callable[[str], Path], sequence: str) -> None:
    reference = json.loads(shared("data/osvos/reference_scores.json").read_text())["scores"][sequence]
    predicted = sorted(shared(f"data/osvos/{sequence}").glob("*.png"))
    annotations = shared(f"data/davis_mini/valid/Annotations/{sequence}")
    prediction = np.stack([np.asarray(Image.open(path)) > 0 for path in predicted])
    truth = np.stack([np.asarray(Image.open(annotations / path.name)) > 0 for path in predicted])
    region, contour = region_similarity(truth, prediction), contour_accuracy(truth, prediction)
    assert region.mean() == pytest.approx(reference["J"], abs=1e-6)
    assert contour.mean() == pytest.approx(reference["F"], abs=1e-6)
    assert region[1:-1].mean() == pytest.approx(reference["J_inner"], abs=1e-6)
    np.testing.assert_allclose(contour[:5], reference["F_first5"], atol=1e-6)


def test_empty_masks() -> None:
    empty, full = np.zeros((1, 9, 9), bool), np.ones((1, 9, 9), bool)
    full[:, :3] = False
    assert region_similarity(empty, empty)[0] == contour_accuracy(empty, empty)[0] == 1
    assert region_similarity(full, empty)[0] == contour_accuracy(full, empty)[0] == 0
    assert region_similarity(empty, full)[0] == contour_accuracy(empty, full)[0] == 0


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_range_and_identity(seed: int) -> None:
    draw = np.random.default_rng(seed)
    first, second = draw.random((2, 2, 14, 17)) < draw.random()
    for measure in (region_similarity, contour_accuracy):
        scores = measure(first, second)
        assert scores.shape == (2,)
        assert ((scores >= 0) & (scores <= 1)).all()
        np.testing.assert_array_equal(scores, measure(second, first))
        np.testing.assert_array_equal(measure(first, first), [1, 1])


@pytest.mark.parametrize("measure", [region_similarity, contour_accuracy])
def test_shapes_must_agree(measure: Callable) -> None:
    with pytest.raises(ShapeError, match=r"truth has shape \(1, 4, 4\), prediction \(1, 4, 5\); wanted the same"):
        measure(np.zeros((1, 4, 4), bool), np.zeros((1, 4, 5), bool))
