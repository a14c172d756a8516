"""Backends on tiny checkpoints, and frames for them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from gazecut.protocols import Runtime
from gazecut.values import Frames
from gazecut_mllm import config as options
from gazecut_mllm.backend import Backend
from gazecut_mllm.qwen2_5_vl import Qwen25VLBackend
from gazecut_mllm.qwen2_vl import Qwen2VLBackend
from gazecut_mllm.qwen3_vl import Qwen3VLBackend

VIEWS = {"video": {"tokens_per_frame": 16}, "frame": {"scale": 2, "batch": 2}}
NEW_TOKENS = 6
FAMILIES: dict[str, tuple[type[Backend], Any]] = {
    "qwen2-vl": (Qwen2VLBackend, options.Qwen2VLConfig),
    "qwen2.5-vl": (Qwen25VLBackend, options.Qwen25VLConfig),
    "qwen3-vl": (Qwen3VLBackend, options.Qwen3VLConfig),
}


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def locating() -> ModuleType:
    """The module `locating.py` beside this file: which visual embedding moves when pixels change."""
    return beside("locating")


@pytest.fixture(scope="session")
def tiny_parts() -> ModuleType:
    """The module `tiny_checkpoints.py` beside this file: a tokenizer, and weights that are sharp."""
    return beside("tiny_checkpoints")


def beside(name: str) -> ModuleType:
    """A module of this folder; test modules cannot import each other."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)  # dataclasses look their module up there
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def make_frames() -> Callable[..., Frames]:
    """Random frames: number, size (H, W), every how many frames of a 4 fps clip."""

    def make(count: int, size: tuple[int, int] = (64, 96), every: int = 2) -> Frames:
        generator = np.random.default_rng(count)
        images = generator.integers(0, 256, (count, *size, 3), dtype=np.uint8)
        return Frames(images, np.arange(count, dtype=np.int64) * every, 4.0)

    return make


@pytest.fixture(scope="session")
def make_backend(checkpoint: Callable[[str], Path]) -> Callable[..., Backend]:
    """A backend of a family on its tiny checkpoint: small views and short answers, unless options say otherwise."""

    def make(family: str, **given: Any) -> Backend:
        given = {"weights": str(checkpoint(family)), "views": VIEWS, "max_new_tokens": NEW_TOKENS, **given}
        kind, config = FAMILIES[family]
        return kind(config(**given), Runtime("cpu"))

    return make


@pytest.fixture(scope="session", params=FAMILIES)
def backend(request: pytest.FixtureRequest, make_backend: Callable[..., Backend]) -> Backend:
    """Any of them."""
    return make_backend(request.param)


@pytest.fixture(scope="session")
def qwen25(make_backend: Callable[..., Backend]) -> Backend:
    """Qwen2.5-VL alone."""
    return make_backend("qwen2.5-vl")
