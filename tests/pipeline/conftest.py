"""The kit's fakes in the place of a multimodal LLM: answers from a script, attention as told."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gazecut.testing import moving_square
from gazecut.testing.fakes import FakeAttribution, FakeMLLM
from gazecut.testing.options import FakeMLLMOptions

Maps = dict[tuple[str, str], np.ndarray]


@pytest.fixture
def scripted() -> Callable[..., FakeMLLM]:
    """scripted(maps, pairs=True) -> a model that looks where the maps say; without pairs, a video slot is one frame."""

    def make(maps: Maps, pairs: bool = True) -> FakeMLLM:
        return FakeMLLM(FakeMLLMOptions(frames_per_slot=2 if pairs else 1), maps=maps, completion=" Circle ")

    return make


@pytest.fixture
def attribution() -> FakeAttribution:
    return FakeAttribution()


@pytest.fixture
def square() -> np.ndarray:
    """Eight frames of a bright square that moves right over a dark ground, (8, 64, 80, 3) uint8."""
    return moving_square().images


@pytest.fixture
def square_maps() -> Maps:
    """What a model that looks at the square would attend to, on a video grid (4, 4, 5) and a frame grid (8, 8, 10)."""
    inside = moving_square().truth.astype(np.float32)
    frame = inside.reshape(8, 8, 8, 10, 8).mean(axis=(2, 4))
    video = inside.reshape(4, 2, 4, 16, 5, 16).mean(axis=(1, 3, 5))
    return {
        ("object", "video"): video,
        ("object", "frame"): frame,
        ("background", "video"): 0.1 * (1 - video),
        ("background", "frame"): 0.1 * (1 - frame),
    }
