"""A sheet per checkpoint: what the maps of validation clips were without soft prompts, and what they are now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from gazecut.errors import OutputError
from gazecut.pictures.painting import coverage, heated, outline, resized
from gazecut.pictures.palette import INK, PAPER, object_colour
from gazecut.wording import one_line
from gazecut_fusion.whole_files import written_whole

TILE = 192  # px, the longer side
GAP, HEADER, LINE = 6, 24, 20  # px
LETTERS = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, eq=False)
class Sight:
    """One expression on one frame.

    Attributes:
        text: The expression.
        frame: (H, W, 3) uint8.
        mask: (H, W) bool, the truth.
        maps: Maps (h, w) in [0, 1] by what to call them, in order.
    """

    text: str
    frame: np.ndarray
    mask: np.ndarray
    maps: dict[str, np.ndarray]


def draw(sights: Sequence[Sight], title: str) -> np.ndarray:
    """A row per sight: the frame with the outline of the truth, then each map on it; (H, W, 3) uint8."""
    rows = [_row(sight) for sight in sights]
    width = max(row.shape[1] for row in rows)
    header = np.full((HEADER, width, 3), PAPER, np.uint8)
    cv2.putText(header, title, (GAP, HEADER - 8), LETTERS, 0.45, INK, 1, cv2.LINE_AA)
    return np.concatenate([header, *(np.pad(row, ((0, GAP), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows)])


def write(path: Path, sights: Sequence[Sight], title: str) -> None:
    """Draw a sheet into a PNG file, whole or not at all.

    Raises:
        OutputError: The disk refuses.
    """
    try:
        with written_whole(path) as fresh:
            Image.fromarray(draw(sights, title)).save(fresh, format="PNG")
    except OSError as error:
        raise OutputError(f'cannot write the picture "{path}": {one_line(error)}. Make room or give another folder.') from error


def _row(sight: Sight) -> np.ndarray:
    height, width = sight.frame.shape[:2]
    factor = TILE / max(height, width)
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    frame, cover = resized(sight.frame, size), coverage(sight.mask, size)
    tiles = {sight.text: frame.copy(), **{name: heated(frame, heat) for name, heat in sight.maps.items()}}
    for tile in tiles.values():
        outline(tile, cover, object_colour(1), 1)
    return np.concatenate([_named(tile, name) for name, tile in tiles.items()], axis=1)


def _named(tile: np.ndarray, name: str) -> np.ndarray:
    """A tile with its name below, and a gap to the right."""
    label = np.full((LINE, tile.shape[1], 3), PAPER, np.uint8)
    cv2.putText(label, name[:28], (2, LINE - 6), LETTERS, 0.36, INK, 1, cv2.LINE_AA)
    return np.pad(np.concatenate([tile, label]), ((0, 0), (0, GAP), (0, 0)), constant_values=255)
