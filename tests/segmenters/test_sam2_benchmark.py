"""The benchmark of the SAM 2 stage does what it says, at a size that takes seconds."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

pytestmark = pytest.mark.slow
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def segment() -> Iterator[ModuleType]:
    """The benchmark as a module; its neighbours are imported by name, as when it is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        spec = importlib.util.spec_from_file_location("segment", BENCHMARKS / "segment.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "segment", module)  # dataclasses look their module up there
        spec.loader.exec_module(module)
        torch.set_num_threads(1)
        yield module


def test_both_orders_of_work_find_the_same_and_ours_encodes_each_frame_once(segment: ModuleType) -> None:
    figures = segment.compared("apart", side=64, frames=6, key_frames=3, points=3)
    official, ours = figures["official"], figures["ours"]
    assert ours["encodings"] == 6
    assert official["encodings"] > 2 * 6
    assert ours["tracklets"] == official["tracklets"] > 0
    assert ours["find"] + ours["follow"] < official["find"] + official["follow"]


def test_the_part_for_a_card_runs(segment: ModuleType) -> None:
    rows = segment.on_a_card(torch.device("cpu"), size="tiny", side=64, frames=3, objects=2)
    assert [row["precision"] for row in rows] == ["float32", "bfloat16"]
    assert all(row["seconds"] > 0 for row in rows)
    took = {"find": 2.0, "follow": 4.0, "encodings": 10, "tracklets": 3}
    text = segment.report({"side": 64, "frames": 6, "key_frames": 3, "points": 3}, {"alike": {"official": took, "ours": took}}, rows)
    assert "| alike | ours | 2.0 | 4.0 | 6.0 | 10 | 3 |" in text
    assert "| alike | **official : ours** | 1.0 | 1.0 | **1.0** | 1.0 | |" in text
    assert "| bfloat16 |" in text
