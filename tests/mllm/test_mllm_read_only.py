"""Frames that cannot be written to, as those of a memory map, are taken without a warning and give the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gazecut.protocols import Runtime
from gazecut.values import Frames, Question, TraceSpec
from gazecut_mllm.backend import Backend
from gazecut_mllm.config import InternVL3Config, LlavaOnevisionConfig
from gazecut_mllm.internvl3 import InternVL3Backend
from gazecut_mllm.llava_onevision import LlavaOnevisionBackend

TILED: dict[str, tuple[type[Backend], Any]] = {
    "internvl3": (InternVL3Backend, InternVL3Config),
    "llava-onevision": (LlavaOnevisionBackend, LlavaOnevisionConfig),
}


@pytest.fixture(autouse=True)
def _every_warning() -> Iterator[None]:
    """Not only the first one of a process, as torch has it otherwise."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(before)


def check(backend: Backend, frames: Frames, view: str) -> None:
    question = Question("the red circle", TraceSpec(0))
    with backend.open(frames, view) as session:
        wanted = session.ask([question])[0]
    locked = frames.images.copy()
    locked.flags.writeable = False
    with backend.open(Frames(locked, frames.indices, frames.fps), view) as session:
        found = session.ask([question])[0]
    assert found.texts == wanted.texts
    for one, other in zip(found.traces, wanted.traces, strict=True):
        assert all(torch.equal(a.key, b.key) and torch.equal(a.query, b.query) for a, b in zip(one.layers, other.layers, strict=True))


@pytest.mark.parametrize("view", ["video", "frame"])
def test_qwen(backend: Backend, make_frames: Callable[..., Frames], view: str) -> None:
    check(backend, make_frames(3), view)


@pytest.mark.parametrize("view", ["video", "frame"])
@pytest.mark.parametrize("family", TILED)
def test_tiles(checkpoint: Callable[[str], Path], make_frames: Callable[..., Frames], family: str, view: str) -> None:
    kind, config = TILED[family]
    check(kind(config(weights=str(checkpoint(family)), max_new_tokens=6), Runtime("cpu")), make_frames(3, (40, 60)), view)
