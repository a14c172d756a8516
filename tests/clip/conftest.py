"""Small videos whose every frame is recognisable, written by PyAV."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
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


@pytest.fixture(scope="session")
def smooth() -> Callable[..., np.ndarray]:
    """smooth(count, height=64, width=96) -> (T, H, W, 3) uint8: soft colours with a moving red bar, kind to lossy codecs."""

    def frames(count: int, height: int = 64, width: int = 96) -> np.ndarray:
        y, x = np.mgrid[:height, :width]
        ground = np.stack([60 + 80 * x / width, 60 + 80 * y / height, np.full_like(x, 90)], axis=-1)
        images = np.repeat(ground[None].round().astype(np.uint8), count, axis=0)
        for number in range(count):
            start = number * 2 % (width - 12)
            images[number, :, start : start + 12] = (200, 60, 60)
        return images

    return frames


SAME_BYTES = {"x264-params": "cpu-independent=1", "threads": "1"}  # otherwise an encoder may write a clip in two ways


@pytest.fixture
def write_video(tmp_path: Path) -> WriteVideo:
    """Writes a video: write_video(name, frames (T, H, W, 3 or 4), **settings) -> path.

    Settings: codec, pix_fmt, fps, options (of the codec), container (options), format (of the container), rotation, hflip,
    vflip, aspect (of pixels), stamps (presentation times in 1 / fps).
    """

    def write(name: str, frames: np.ndarray, **settings: Any) -> Path:
        path = tmp_path / name
        fps = settings.get("fps", 25)
        with av.open(str(path), "w", format=settings.get("format"), options=settings.get("container", {})) as container:
            codec = settings.get("codec", "libx264")
            same = SAME_BYTES if codec == "libx264" else {}
            stream = container.add_stream(codec, rate=fps, options={**same, **settings.get("options", {})})
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = settings.get("pix_fmt", "yuv420p")
            if "aspect" in settings:
                stream.codec_context.sample_aspect_ratio = settings["aspect"]
            if {"rotation", "hflip", "vflip"} & settings.keys():
                stream.set_display_rotation(settings.get("rotation", 0), settings.get("hflip", False), settings.get("vflip", False))
            for number, image in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(image, format="rgba" if image.shape[-1] == 4 else "rgb24")
                if "stamps" in settings:
                    frame.pts, frame.time_base = settings["stamps"][number], 1 / Fraction(fps)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write
