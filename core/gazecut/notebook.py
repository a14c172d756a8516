"""A result as a notebook shows it: a few frames with the attention and the masks, and what was found in numbers."""

from __future__ import annotations

import base64
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from gazecut.errors import ClipError
from gazecut.pictures.frames import with_attention, with_objects
from gazecut.pictures.painting import resized
from gazecut.pictures.palette import object_colour
from gazecut.wording import counted

if TYPE_CHECKING:
    from gazecut.result import FoundObject, Result

MOST_FRAMES = 6
HEIGHT = 150
"""Of a frame, in pixels."""

_QUALITY = 85  # of JPEG: a page of results stays small
_GAP = 4


def to_html(result: Result) -> str:
    """A picture, a line of text and a table; stands alone, and reads on light and dark pages.

    Where the frames are gone, as those of a stream or of a file that was moved since, it says so in the picture's place.
    """
    title = escape(result.expression or result.clip.name)
    return f'<div class="gazecut"><p><b>{title}</b> — {escape(_summary(result))}</p>{_picture(result)}{_table(result)}</div>'


def _picture(result: Result) -> str:
    try:
        strip = _strip(result)
    except ClipError as error:
        return f"<p>no picture: {escape(str(error))}</p>"
    return f'<img alt="above: where the model looked; below: what was found" src="{_data_url(strip)}">'


def _strip(result: Result) -> np.ndarray:
    """Attention above, masks below, one column per shown frame; (h, w, 3) uint8."""
    count = len(result.frame_indices)
    places = np.unique(np.linspace(0, count - 1, min(count, MOST_FRAMES)).round().astype(np.int64))
    frames = result.frame_indices[places].tolist()
    columns = []
    for place, frame, image in zip(places.tolist(), frames, result.clip.frames(frames), strict=True):
        small = resized(image, (HEIGHT, max(1, round(HEIGHT * image.shape[1] / image.shape[0]))))
        above = with_attention(small, result.heatmaps.fused[place], result.points.at(place), radius=3)
        below = with_objects(small, result.objects, frame, thickness=2)
        columns.append(np.pad(np.concatenate([above, below]), ((0, 0), (0, _GAP), (0, 0)), constant_values=255))
    return np.concatenate(columns, axis=1)[:, :-_GAP]


def _summary(result: Result) -> str:
    found = counted(len(result.objects), "object") if result.objects else "nothing found"
    height, width = result.clip.size
    frames = f"{counted(result.clip.length, 'frame')} of {width}x{height}"
    parts = [found, counted(len(result.tracklets), "candidate"), result.clip.name, frames]
    return ", ".join([*parts, *([f"seen as: {result.category}"] if result.category else [])])


def _table(result: Result) -> str:
    if not result.objects:
        return ""
    rows = "".join(_row(found, result.clip.length) for found in result.objects)
    return f"<table><tr><th></th><th>object</th><th>score</th><th>frames</th></tr>{rows}</table>"


def _row(found: FoundObject, length: int) -> str:
    red, green, blue = object_colour(found.id)
    seen = sum(code is not None for code in found.track.codes)
    swatch = f'<td style="background:rgb({red},{green},{blue});width:1em"></td>'
    return f"<tr>{swatch}<td>{found.id}</td><td>{found.score:.2f}</td><td>{seen} of {length}</td></tr>"


def _data_url(image: np.ndarray) -> str:
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
