"""Masks as palette images, one per frame, and as run-length codes in one file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from gazecut.pictures.palette import MOST_COLOURS, png_palette
from gazecut.result import Result
from gazecut.stretch import Stretch
from gazecut_plugins.exporters.config import MasksOptions


class MasksExporter:
    """Writes `masks/00000.png` and so on, one for every frame of the clip, as frames come, and `masks.json` at the end.

    In the images the value of a pixel is an object's id, 0 the background; where objects overlap the better score wins, in windows the
    better one of the window. An image that shows an id above 255, as an hour of film may, is 16-bit grey, for a palette ends there. The
    codes in `masks.json` are whole, overlaps included.
    """

    def __init__(self, config: MasksOptions) -> None:
        """Take the options, of which there are none."""

    def export_stretch(self, stretch: Stretch, folder: Path) -> None:
        """Write the images of a stretch."""
        (folder / "masks").mkdir(exist_ok=True)
        palette = png_palette()
        for frame in stretch.frames:
            ids = id_map(stretch, frame)
            image = Image.fromarray(ids)
            if ids.dtype == np.uint8:
                image.putpalette(palette)
            image.save(folder / "masks" / f"{frame:05d}.png")

    def export(self, result: Result, folder: Path) -> None:
        """Write the codes."""
        with (folder / "masks.json").open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(_codes(result))


def id_map(stretch: Stretch, frame: int) -> np.ndarray:
    """Object ids on one frame of a stretch; 0 is the background, the better score wins, then the lower id.

    Returns:
        (H, W) uint8, or uint16 where an id needs it.
    """
    ids = np.zeros(stretch.clip.size, np.uint16)
    place = frame - stretch.frames.start
    for found in sorted(stretch.objects, key=lambda one: (one.score, -one.id)):
        if found.track.codes[place] is not None:
            ids[found.track.mask(place)] = found.id
    return ids if ids.max(initial=0) > MOST_COLOURS else ids.astype(np.uint8)


def _codes(result: Result) -> Iterator[str]:
    """The text of `masks.json` in pieces, for all of it at once may be larger than all else in memory."""
    yield f'{{"size":{_json(list(result.clip.size))},"fps":{_json(result.clip.fps)},"objects":['
    for number, found in enumerate(result.objects):
        yield f'{"," if number else ""}{{"id":{found.id},"score":{_json(found.score)},"rle":['
        yield from (f"{',' if frame else ''}{_json(code)}" for frame, code in enumerate(found.track.codes))
        yield "]}"
    yield "]}\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
