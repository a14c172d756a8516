"""Every visual token lies where the layout says: shown on pixels, for every family, view and many sizes of frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gazecut.values import GridLayout
from gazecut_mllm.backend import Backend

FAMILIES = ("qwen2-vl", "qwen2.5-vl", "qwen3-vl")
COUNTS = {"video": (1, 2, 3, 16), "frame": (1, 2, 3)}


@pytest.fixture(scope="module", params=FAMILIES)
def backend(request: pytest.FixtureRequest, make_backend: Callable[..., Backend]) -> Backend:
    return make_backend(request.param, views={"video": {"tokens_per_frame": 24}, "frame": {"scale": 2}})


@pytest.mark.parametrize("view", ["video", "frame"])
def test_every_token_lies_where_the_layout_says(backend: Backend, locating: Any, view: str) -> None:
    for index, size in enumerate(locating.SIZES):
        locating.locate(backend, view, COUNTS[view][index % len(COUNTS[view])], size).check()


@pytest.mark.parametrize("view", ["video", "frame"])
@pytest.mark.parametrize("size", [(480, 854), (720, 405)])
def test_the_same_for_long_clips_of_large_frames(backend: Backend, locating: Any, view: str, size: tuple[int, int]) -> None:
    locating.locate(backend, view, 16, size).check()


def test_a_layout_that_is_one_cell_off_does_not_pass(backend: Backend, locating: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fold = GridLayout.fold
    for wrong in (lambda maps: np.roll(maps, 1, 2), lambda maps: np.roll(maps, 1, 0), lambda maps: maps[:, ::-1]):
        monkeypatch.setattr(GridLayout, "fold", lambda layout, tokens, wrong=wrong: wrong(fold(layout, tokens)))
        with pytest.raises(AssertionError, match="changes under tokens"):
            locating.locate(backend, "video", 4, (64, 96)).check()
