"""Backends on tiny checkpoints, and frames for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gazecut.protocols import Runtime
from gazecut.values import Frames
from gazecut_mllm import config as options
from gazecut_mllm.qwen import QwenBackend
from gazecut_mllm.qwen2_5_vl import Qwen25VLBackend
from gazecut_mllm.qwen2_vl import Qwen2VLBackend

VIEWS = {"video": {"tokens_per_frame": 16}, "frame": {"scale": 2, "batch": 2}}
NEW_TOKENS = 6


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def make_frames() -> Callable[..., Frames]:
    """Random frames: number, size (H, W), every how many frames of a 4 fps clip."""

    def make(count: int, size: tuple[int, int] = (64, 96), every: int = 2) -> Frames:
        generator = np.random.default_rng(count)
        images = generator.integers(0, 256, (count, *size, 3), dtype=np.uint8)
        return Frames(images, np.arange(count, dtype=np.int64) * every, 4.0)

    return make


@pytest.fixture(scope="session")
def make_backend(checkpoint: Callable[[str], Path]) -> Callable[..., QwenBackend]:
    """A backend of a family on its tiny checkpoint: small views and short answers, unless options say otherwise."""

    def make(family: str, **given: Any) -> QwenBackend:
        given = {"weights": str(checkpoint(family)), "views": VIEWS, "max_new_tokens": NEW_TOKENS, **given}
        if family == "qwen2-vl":
            return Qwen2VLBackend(options.Qwen2VLConfig(**given), Runtime("cpu"))
        return Qwen25VLBackend(options.Qwen25VLConfig(**given), Runtime("cpu"))

    return make


@pytest.fixture(scope="session", params=["qwen2-vl", "qwen2.5-vl"])
def backend(request: pytest.FixtureRequest, make_backend: Callable[..., QwenBackend]) -> QwenBackend:
    """Either family."""
    return make_backend(request.param)


@pytest.fixture(scope="session")
def qwen25(make_backend: Callable[..., QwenBackend]) -> QwenBackend:
    """Qwen2.5-VL alone."""
    return make_backend("qwen2.5-vl")
