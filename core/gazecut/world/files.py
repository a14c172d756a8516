"""Scenes of the pocket world as files, for whoever wants a clip with the truth beside it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from gazecut.world.scene import Scene

FPS = 12
ENCODING = {"crf": "12", "x264-params": "cpu-independent=1", "threads": "1"}
"""No loss that an eye sees, and the same bytes in every run, on every processor."""
PALETTE = (0, 0, 0, 230, 60, 60, 70, 200, 90, 70, 120, 240, 240, 200, 60)
"""Background, then the at most four objects; RGB."""


def write_scene(scene: Scene, folder: Path) -> Path:
    """Write a scene: the clip, its frames without loss, masks and sentences.

    `clip.mp4`; `frames/%05d.png`; `masks/%05d.png`, palette images where 0 is background and i + 1 is object i; `scene.json`
    with the objects' words and, per expression, its text, kind and object ids.

    Args:
        scene: What to write.
        folder: A folder that exists.

    Returns:
        The video.
    """
    for name in ("frames", "masks"):
        (folder / name).mkdir(exist_ok=True)
    labels = np.zeros(scene.frames.shape[:3], np.uint8)
    for item in scene.objects:
        labels[item.masks] = item.id + 1
    for number, (frame, label) in enumerate(zip(scene.frames, labels, strict=True)):
        Image.fromarray(frame).save(folder / "frames" / f"{number:05d}.png")
        mask = Image.fromarray(label, mode="L")
        mask.putpalette(PALETTE)
        mask.save(folder / "masks" / f"{number:05d}.png")
    (folder / "scene.json").write_text(json.dumps(_described(scene), indent=2) + "\n", encoding="utf-8")
    write_video(folder / "clip.mp4", scene.frames, FPS)
    return folder / "clip.mp4"


def write_video(path: Path, frames: np.ndarray, fps: int) -> None:
    """Write frames (T, H, W, 3) uint8 RGB as H.264."""
    height, width = frames.shape[1:3]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options=ENCODING)
        stream.width, stream.height = width, height
        # Halved colour planes need even sides.
        stream.pix_fmt = "yuv444p" if height % 2 or width % 2 else "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _described(scene: Scene) -> dict[str, object]:
    return {
        "seed": scene.seed,
        "background": scene.background,
        "objects": [{"id": item.id, "shape": item.shape, "attributes": list(item.attributes)} for item in scene.objects],
        "expressions": [{"text": each.text, "kind": each.kind, "object_ids": list(each.object_ids)} for each in scene.expressions],
    }
