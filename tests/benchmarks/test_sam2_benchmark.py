"""The benchmark of the SAM 2 stage does what it says, at a size that takes seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.slow
PARTS = ("vision_encoder", "mask_decoder", "memory_attention")


@pytest.fixture(scope="module")
def segment(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    torch.set_num_threads(1)
    return benchmark("segment")


@pytest.fixture
def calls(segment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[Counter[str]]:
    """How often each way, one after the other, called parts of the model."""
    counts: list[Counter[str]] = []
    random_model, measured = segment.random_model, segment.measured

    def watched_model(*wanted: Any) -> Any:
        model = random_model(*wanted)
        for part in PARTS:
            getattr(model, part).register_forward_hook(lambda *_, part=part: counts[-1].update([part]))
        return model

    def counted(*given: Any) -> Any:
        counts.append(Counter())
        return measured(*given)

    monkeypatch.setattr(segment, "random_model", watched_model)
    monkeypatch.setattr(segment, "measured", counted)
    return counts


@pytest.mark.parametrize("scene", ["alike", "apart"])
def test_both_orders_of_work_find_the_same_and_ours_does_less_for_it(scene: str, segment: ModuleType, calls: list[Counter[str]]) -> None:
    figures = segment.compared(scene, side=64, frames=6, key_frames=3, points=3)
    official, ours = calls
    assert figures["ours"]["tracklets"] == figures["official"]["tracklets"] > 0
    assert (figures["official"]["encodings"], figures["ours"]["encodings"]) == (official["vision_encoder"], ours["vision_encoder"])
    assert ours["vision_encoder"] == 6, "each frame once"
    assert official["vision_encoder"] > 2 * 6
    assert 0 < ours["mask_decoder"] < official["mask_decoder"]
    assert 0 < ours["memory_attention"] < official["memory_attention"]
    assert all(took > 0 for each in figures.values() for took in (each["find"], each["follow"]))


def test_the_part_for_a_card_runs(segment: ModuleType) -> None:
    rows = segment.on_a_card(torch.device("cpu"), size="tiny", side=64, frames=3, objects=2)
    assert [row["precision"] for row in rows] == ["float32", "bfloat16"]
    assert all(row["seconds"] > 0 for row in rows)
    took = {"find": 2.0, "follow": 4.0, "encodings": 10, "tracklets": 3}
    text = segment.report({"side": 64, "frames": 6, "key_frames": 3, "points": 3}, {"alike": {"official": took, "ours": took}}, rows)
    assert "| alike | ours | 2.0 | 4.0 | 6.0 | 10 | 3 |" in text
    assert "| alike | **official : ours** | 1.0 | 1.0 | **1.0** | 1.0 | |" in text
    assert "| bfloat16 |" in text
