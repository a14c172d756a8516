"""Real video, with a stand-in for the attention: the bar that `classical` is held to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def real_pixels(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("real_pixels")


def test_stand_in_is_a_map(real_pixels: ModuleType) -> None:
    truth = np.zeros((40, 56, 104), bool)
    truth[:, 20:40, 30:60] = True
    maps, indices = real_pixels.stand_in(truth)
    assert (maps.shape, maps.min(), maps.max()) == ((16, 14, 26), 0, 1)
    assert indices[[0, -1]].tolist() == [0, 39]
    assert maps[:, 7, 11].mean() > 0.6 > 0.2 > maps[:, 0, 20].mean()


def test_one_sequence(shared: Callable[[str], Path], real_pixels: ModuleType) -> None:
    data = shared("data/davis_mini") / "valid"
    classical, attention = (real_pixels.score(segmenter, "car-shadow", data) for segmenter in ("classical", "attention"))
    assert classical.jaccard > 0.75
    assert attention.jaccard < classical.jaccard
    assert attention.contour < classical.contour


@pytest.mark.slow
def test_four_sequences(shared: Callable[[str], Path], real_pixels: ModuleType) -> None:
    data = shared("data/davis_mini") / "valid"
    scores = [real_pixels.score("classical", name, data) for name in real_pixels.SEQUENCES]
    assert np.mean([score.jaccard for score in scores]) >= 0.75
    report = real_pixels.report({"classical": scores})
    assert f"| libby | 49 | 854 x 480 | {scores[3].jaccard:.3f} |" in report


def test_missing_data_are_named(
    real_pixels: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(real_pixels, "DATA", tmp_path / "none")
    monkeypatch.setattr(sys, "argv", ["real_pixels.py"])
    with pytest.raises(SystemExit) as ended:
        real_pixels.main()
    assert ended.value.code == 2
    assert (
        f"no folder {tmp_path / 'none'}; lay the sequences blackswan, car-shadow, dogs-jump, libby of DAVIS there"
        in capsys.readouterr().err
    )
