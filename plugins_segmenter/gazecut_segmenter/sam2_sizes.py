"""The four published sizes of SAM 2 and 2.1, recognised by the shapes of their tensors; what shapes do not tell is written here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

_BLOCK = re.compile(r"image_encoder\.trunk\.blocks\.\d+\.norm2\.weight")
_ONLY_IN_2_1 = "no_obj_embed_spatial"


@dataclass(frozen=True)
class Size:
    """The image encoder of one size. Widths and heads double from stage to stage.

    Attributes:
        name: As the hub has it.
        letter: As Meta's configs have it.
        width: Channels of the first stage.
        blocks: Blocks of each stage.
        heads: Attention heads of the first stage.
        global_blocks: Blocks that attend to the whole frame; all others attend within windows.
        windows: Side of the windows of each stage, in cells.
        background: Side of the coarse position code, in cells.
    """

    name: str
    letter: str
    width: int
    blocks: tuple[int, int, int, int]
    heads: int
    global_blocks: tuple[int, int, int]
    windows: tuple[int, int, int, int] = (8, 4, 14, 7)
    background: int = 7

    @property
    def widths(self) -> list[int]:
        """Channels of each stage."""
        return [self.width << stage for stage in range(len(self.blocks))]


SIZES = (
    Size("tiny", "t", 96, (1, 2, 7, 2), 1, (5, 7, 9)),
    Size("small", "s", 96, (1, 2, 11, 2), 1, (7, 10, 13)),
    Size("base-plus", "b+", 112, (2, 3, 16, 3), 2, (12, 16, 20), background=14),
    Size("large", "l", 144, (2, 6, 36, 4), 2, (23, 33, 43), windows=(8, 4, 16, 8)),
)


@dataclass(frozen=True)
class Model:
    """A published model.

    Attributes:
        size: Its image encoder.
        generation: "2" or "2.1".
    """

    size: Size
    generation: str

    @property
    def meta_config(self) -> str:
        """Name of its hydra config in package sam2."""
        folder = "sam2" if self.generation == "2" else "sam2.1"
        return f"configs/{folder}/{folder}_hiera_{self.size.letter}.yaml"


def recognise(shapes: Mapping[str, tuple[int, ...]]) -> Model | None:
    """The published model that has tensors of these shapes, or None for one that somebody made.

    Args:
        shapes: By Meta's names.
    """
    blocks = Counter(shape[0] for name, shape in shapes.items() if _BLOCK.fullmatch(name))
    for size in SIZES:
        if blocks == dict(zip(size.widths, size.blocks, strict=True)) and _fits(shapes, size):
            return Model(size, "2.1" if _ONLY_IN_2_1 in shapes else "2")
    return None


def _fits(shapes: Mapping[str, tuple[int, ...]], size: Size) -> bool:
    """Whether the position codes have the sizes that the encoder would give them."""
    window, background = size.windows[0], size.background
    return shapes.get("image_encoder.trunk.pos_embed") == (1, size.width, background, background) and shapes.get(
        "image_encoder.trunk.pos_embed_window"
    ) == (1, size.width, window, window)
