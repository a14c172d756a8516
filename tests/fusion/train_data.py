"""A folder of made-up videos in the layout of Ref-YouTube-VOS, for training in tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (32, 48)


def build_videos(folder: Path, videos: int = 3, frames: int = 4) -> Path:
    """Videos "v0", "v1", ...: a bright square (object 2) moves over a dark ground beside a dim one (object 1)."""
    about: dict[str, Any] = {}
    for number in range(videos):
        name = f"v{number}"
        images, masks = folder / "train" / "JPEGImages" / name, folder / "train" / "Annotations" / name
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        for frame in range(frames):
            labels = np.zeros(SIZE, np.uint8)
            labels[20:28, 4:14] = 1
            labels[4 : 12 + number, 8 * frame + 4 : 8 * frame + 16] = 2
            pixels = np.array([[20, 30, 20], [60, 60, 160], [230, 60, 50]], np.uint8)[labels]
            Image.fromarray(pixels).save(images / f"{frame:05d}.jpg", quality=95)
            mask = Image.fromarray(labels, mode="L")
            mask.putpalette([0, 0, 0, 0, 0, 255, 255, 0, 0])
            mask.save(masks / f"{frame:05d}.png")
        expressions = {"0": {"exp": "the red circle", "obj_id": "2"}, "1": {"exp": "the one on the left", "obj_id": 1}}
        about[name] = {"frames": [f"{frame:05d}" for frame in range(frames)], "expressions": expressions}
    write_expressions(folder, about)
    return folder


def write_expressions(folder: Path, videos: Any) -> None:
    path = folder / "meta_expressions" / "train" / "meta_expressions.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"videos": videos}))


def read_expressions(folder: Path) -> Any:
    return json.loads((folder / "meta_expressions" / "train" / "meta_expressions.json").read_text())["videos"]
