"""What trainings of soft prompts are tried on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gazecut import Pipeline


@pytest.fixture(scope="session")
def videos(make_videos: Callable[..., Path]) -> Path:
    """A folder of made-up videos; nobody changes it."""
    return make_videos()


@pytest.fixture(scope="session")
def parts(tiny_training: dict[str, Any]) -> Pipeline:
    """The frozen parts, on a tiny checkpoint."""
    return Pipeline.from_recipe(tiny_training, device="cpu", cache=False)
