"""Small videos whose every frame is recognisable, written by PyAV."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

WriteVideo = Callable[..., Path]


@pytest.fixture(scope="session")
def moving_bar() -> Callable[..., np.ndarray]:
    """moving_bar(count, height=48, width=64) -> (T, H, W, 3) uint8: a white bar on a noisy ground, no two frames alike."""

    def frames(count: int, height: int = 48, width: int = 64) -> np.ndarray:
        images = np.random.default_rng(7).integers(0, 60, (count, height, width, 3), dtype=np.uint8)
        for number in range(count):
            start = number * 3 % (width - 6)
            images[number, :, start : start + 6] = 255
        return images

    return frames


@pytest.fixture
def write_video(tmp_path: Path) -> WriteVideo:
    """write_video(name, frames, codec=, pix_fmt=, fps=, options=, container=, rotation=) -> path."""

    def write(name: str, frames: np.ndarray, **settings: Any) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", options=settings.get("container", {})) as container:
            stream = container.add_stream(
                settings.get("codec", "libx264"), rate=settings.get("fps", 25), options=settings.get("options", {})
            )
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = settings.get("pix_fmt", "yuv420p")
            if "rotation" in settings:
                stream.set_display_rotation(settings["rotation"])
            for image in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        return path

    return write
