"""Fixtures for whoever tests a component; pytest has them wherever Gazecut is installed.

`clip`: eight frames of a bright square that moves over a dark ground, with its truth. `scene`: a scene of the pocket world, with
objects, masks and sentences. `fake_mllm`: a multimodal LLM that answers from a script and looks at what stands out. `pipeline`: fakes
at every stage, needs no torch.

This module is imported in every run of pytest, so it imports nothing of Gazecut before a fixture is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gazecut.pipeline import Pipeline
    from gazecut.testing.fake_mllm import FakeMLLM
    from gazecut.testing.square import MovingSquare
    from gazecut.world import Scene


@pytest.fixture
def clip() -> MovingSquare:
    """A moving square on 8 frames of 64 x 80 pixels, with its `.images` and its `.truth`."""
    from gazecut.testing.square import moving_square

    return moving_square()


@pytest.fixture
def scene() -> Scene:
    """A scene of the pocket world: 4 frames of 64 x 64 pixels, with objects, masks and sentences."""
    from gazecut.world import render

    return render(0, frames=4, size=64)


@pytest.fixture
def fake_mllm() -> FakeMLLM:
    """A multimodal LLM that answers from a script and looks at what stands out."""
    from gazecut.testing.fake_mllm import FakeMLLM

    return FakeMLLM()


@pytest.fixture
def pipeline() -> Pipeline:
    """A pipeline of fakes; segments `clip` in milliseconds."""
    from gazecut.testing.pipeline import fake_pipeline

    return fake_pipeline()
