"""Masks as palette images, one per frame, and as run-length codes in one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from gazecut.errors import OutputError
from gazecut.pictures.palette import MOST_OBJECTS, png_palette
from gazecut.result import FoundObject, Result
from gazecut_plugins.exporters.config import MasksOptions


class MasksExporter:
    """Writes `masks/00000.png` and so on, one for every frame of the clip, and `masks.json`.

    In the images the value of a pixel is an object's id, 0 the background; where objects overlap the better score wins. The
    codes in `masks.json` are whole, overlaps included.
    """

    def __init__(self, config: MasksOptions) -> None:
        """Take the options, of which there are none."""

    def export(self, result: Result, folder: Path) -> None:
        """Write both forms.

        Raises:
            OutputError: More than 255 objects, which a palette image cannot tell apart.
        """
        if len(result.objects) > MOST_OBJECTS:
            raise OutputError(
                f"masks: {len(result.objects)} objects, but a palette image tells {MOST_OBJECTS} apart; raise the scorer's `keep.above`."
            )
        (folder / "masks").mkdir()
        palette = png_palette()
        for frame in range(result.clip.length):
            image = Image.fromarray(id_map(result.objects, result.clip.size, frame))
            image.putpalette(palette)
            image.save(folder / "masks" / f"{frame:05d}.png")
        text = json.dumps(_codes(result), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        (folder / "masks.json").write_text(text + "\n", encoding="utf-8")


def id_map(objects: Sequence[FoundObject], size: tuple[int, int], frame: int) -> np.ndarray:
    """Object ids on one frame, (H, W) uint8; 0 is the background, the better score wins, then the lower id."""
    ids = np.zeros(size, np.uint8)
    for found in sorted(objects, key=lambda one: (one.score, -one.id)):
        if found.track.codes[frame] is not None:
            ids[found.track.mask(frame)] = found.id
    return ids


def _codes(result: Result) -> dict[str, object]:
    return {
        "size": list(result.clip.size),
        "fps": result.clip.fps,
        "objects": [{"id": found.id, "score": found.score, "rle": list(found.track.codes)} for found in result.objects],
    }
