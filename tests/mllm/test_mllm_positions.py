from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gazecut.errors import BackendError
from gazecut_mllm.positions import VisualBlock, mrope_positions


def sequence(prefix: int, block: VisualBlock, suffix: int) -> torch.Tensor:
    return torch.tensor([False] * prefix + [True] * len(block) + [False] * suffix)


def test_positions_of_the_authors_code(shared: Callable[[str], Path]) -> None:
    cases = json.loads(shared("parity/rope_positions.json").read_text())["cases"]
    assert len(cases) == 10
    for case in cases:
        slots, rows, columns = case["video_grid_thw"]
        step = case["second_per_grid_t"] * case["tokens_per_second"] if case["family"] == "qwen2.5-vl" else 1.0
        block = VisualBlock(slots, rows // 2, columns // 2, step)
        positions = mrope_positions(sequence(case["prefix"], block, case["suffix"]), [block])
        end = case["prefix"] + len(block)
        assert positions.shape == (3, case["length"])
        assert positions[:, case["prefix"]].tolist() == case["first_visual"]
        assert positions[:, end - 1].tolist() == case["last_visual"]
        assert positions[:, end].tolist() == case["vision_end_position"]
        assert positions[:, -1].tolist() == case["last_text"]
        assert positions.sum(1).tolist() == case["sum_per_axis"]


@pytest.mark.parametrize(("seconds", "per_second", "expected"), [(0.5, 2, [0, 1, 2, 3]), (1.9, 2, [0, 3, 7, 11]), (0.1, 10, [0, 1, 2, 3])])
def test_fractions_of_a_second_do_not_collapse(seconds: float, per_second: int, expected: list[int]) -> None:
    block = VisualBlock(4, 1, 1, seconds * per_second)
    assert mrope_positions(sequence(2, block, 1), [block])[0].tolist() == [0, 1, *[2 + slot for slot in expected], expected[-1] + 3]


def test_several_blocks_with_text_between() -> None:
    image = VisualBlock(1, 2, 3)
    visual = torch.cat([sequence(1, image, 2), sequence(0, image, 1)])
    positions = mrope_positions(visual, [image, image])
    assert positions[:, 1:7].tolist() == [[1] * 6, [1, 1, 1, 2, 2, 2], [1, 2, 3, 1, 2, 3]]
    assert positions[0, 7:9].tolist() == [4, 5]
    assert positions[:, 9:15].tolist() == [[6] * 6, [6, 6, 6, 7, 7, 7], [6, 7, 8, 6, 7, 8]]
    assert positions[:, 15].tolist() == [9, 9, 9]


def test_no_visual_tokens() -> None:
    assert mrope_positions(torch.zeros(3, dtype=torch.bool), []).tolist() == [[0, 1, 2]] * 3


def test_errors() -> None:
    block = VisualBlock(1, 2, 2)
    with pytest.raises(BackendError, match="3 visual tokens in the prompt, 4 in the grids"):
        mrope_positions(torch.tensor([True, True, True, False]), [block])
    with pytest.raises(BackendError, match="from 0 on are interrupted; wanted 4 in a row"):
        mrope_positions(torch.tensor([True, True, False, True, True]), [block])
