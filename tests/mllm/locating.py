"""Where a visual token looks: change the pixels under one cell of one frame, and see which visual embedding moves most.

For tests of any family, through the fixture `locate`; nothing is taken from a layout but how it folds tokens into cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gazecut.values import Frames, GridLayout
from gazecut_mllm.backend import Backend
from gazecut_mllm.family import View

SIZES = [
    (64, 96),
    (48, 200),  # wide
    (200, 48),  # tall
    (80, 80),
    (24, 32),  # tiny
    (20, 20),
    (33, 47),  # odd
    (101, 67),
    (90, 160),
    (160, 90),
    (135, 240),
    (128, 97),
]
"""(H, W) of a dozen frames, in pixels."""


@dataclass(frozen=True)
class Located:
    """What moved, for some cells of some frames.

    Attributes:
        wanted: (P,) the token that the layout maps to each cell that was changed.
        moved: (P, V) how far each visual embedding moved, one row per change.
    """

    wanted: np.ndarray
    moved: np.ndarray

    def check(self) -> None:
        """Each change moves the token of its cell most; and the token of a cell is moved most by a change under that cell."""
        most = self.moved.argmax(1)
        assert (most == self.wanted).all(), f"changes under tokens {self.wanted.tolist()} moved {most.tolist()} most"
        for token in np.unique(self.wanted):
            strongest = self.wanted[self.moved[:, token].argmax()]
            assert strongest == token, f"token {token} is moved most by a change under token {strongest}"


class Stop(Exception):  # noqa: N818  # nothing went wrong
    """The visual embeddings are there; what follows is of no interest."""


def locate(backend: Backend, view: View, count: int, size: tuple[int, int], cells: int = 8) -> Located:
    """Change some cells of some frames, one at a time.

    Args:
        backend: With tiny random weights and the family's real processor.
        view: The view.
        count: Frames of the clip.
        size: (H, W) of a frame, in pixels.
        cells: How many cells to change: the corners of the grid first, then others at random, each in a frame of its own choice.
    """
    rng = np.random.default_rng([count, *size])
    images = rng.integers(0, 100, (count, *size, 3), dtype=np.uint8)
    frames = Frames(images, np.arange(count, dtype=np.int64), 4.0)
    layout = backend.family.layout(frames, view)
    tokens = layout.fold(np.arange(layout.slots * layout.rows * layout.columns))  # (T', h, w)
    chosen = _chosen(layout, count, size, cells, rng)
    changed = [_changed(images, layout, cell) for cell in chosen]
    wanted = np.array([tokens[frame // layout.frames_per_slot, row, column] for frame, row, column in chosen])
    if view == "video":
        before, *after = _embeddings(backend, frames, view, np.stack([images, *changed]))
        return Located(wanted, np.stack([_distance(before, moved) for moved in after]))
    # A frame is a sequence of its own: only the changed one is run again. Its tokens are numbered within the whole view.
    own = layout.rows * layout.columns
    shown = np.stack([each for image, (frame, _, _) in zip(changed, chosen, strict=True) for each in (images[frame], image[frame])])
    found = _embeddings(backend, frames, view, shown[:, None])
    moved = np.zeros((len(chosen), layout.slots * own))
    for at, (frame, _, _) in enumerate(chosen):
        moved[at, frame * own : (frame + 1) * own] = _distance(found[2 * at], found[2 * at + 1])
    return Located(wanted, moved)


def _chosen(layout: GridLayout, count: int, size: tuple[int, int], cells: int, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Frame, row and column of cells that have pixels of their own; the last frame is among them."""
    height, width = size
    rows = [row for row in range(layout.rows) if _pixels(row, layout.rows, height)]
    columns = [column for column in range(layout.columns) if _pixels(column, layout.columns, width)]
    places = [(row, column) for row in (rows[0], rows[-1]) for column in (columns[0], columns[-1])]
    places += [(int(rng.choice(rows)), int(rng.choice(columns))) for _ in range(cells)]
    times = [count - 1, 0, *(int(frame) for frame in rng.integers(0, count, len(places)))]
    return list(dict.fromkeys((frame, *place) for frame, place in zip(times, places, strict=False)))[:cells]


def _changed(images: np.ndarray, layout: GridLayout, cell: tuple[int, int, int]) -> np.ndarray:
    frame, row, column = cell
    copy = images.copy()
    inside = copy[frame, _pixels(row, layout.rows, images.shape[1]), :][:, _pixels(column, layout.columns, images.shape[2])]
    copy[np.ix_([frame], _pixels(row, layout.rows, images.shape[1]), _pixels(column, layout.columns, images.shape[2]))] = 255 - inside
    return copy


def _pixels(cell: int, cells: int, length: int) -> list[int]:
    """The pixels along one side whose centres are in a cell."""
    return [pixel for pixel in range(length) if cell * length <= (pixel + 0.5) * cells < (cell + 1) * length]


def _distance(before: torch.Tensor, after: torch.Tensor) -> np.ndarray:
    return torch.linalg.norm(after - before, dim=-1).numpy()


def _embeddings(backend: Backend, frames: Frames, view: View, images: np.ndarray) -> Sequence[torch.Tensor]:
    """What the language model is given for the visual tokens of B sequences, B times (V, d)."""
    layout = backend.family.layout(frames, view)
    opening = backend._opening(frames, view, backend.family.placement(frames, view, layout), None)
    seen: list[torch.Tensor] = []

    def keep(_module: Any, _inputs: Any, options: dict[str, Any]) -> None:
        seen.append(options["inputs_embeds"][:, opening.visual].float())
        raise Stop

    hook = backend._reader.hf.model.get_decoder().register_forward_pre_hook(keep, with_kwargs=True)
    try:
        with torch.inference_mode():
            backend._prefilled(images, view, layout, opening, range(0))
    except Stop:
        pass
    finally:
        hook.remove()
    return list(seen[0])
