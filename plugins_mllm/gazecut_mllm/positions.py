"""Positions of tokens: one by one, or in three axes (M-RoPE) as the authors of Qwen2-VL and Qwen2.5-VL define them.

With three axes, text moves all three on by one per token; a visual token takes the slot, row and column of its cell, counted from
where the block starts; text after a block starts one past the largest position used so far (arXiv 2409.12191, section 2.1). Qwen2.5-VL
stretches the temporal axis to real time (arXiv 2502.13923, section 2.1.2). transformers 5.17 starts text after a long video
elsewhere and drops fractions of a second; so we always pass positions, and never let the model derive its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gazecut.errors import BackendError

ROUNDING = 1e-6  # lets 3 slots of 0.1 s at 10 per second be 3, not 2


@dataclass(frozen=True)
class VisualBlock:
    """A run of visual tokens: one image, or one video.

    Attributes:
        slots: Temporal slots.
        rows: Token rows h, after merging.
        columns: Token columns w, after merging.
        step: Temporal positions from one slot to the next; may be a fraction, positions are floored.
    """

    slots: int
    rows: int
    columns: int
    step: float = 1.0

    def __len__(self) -> int:
        return self.slots * self.rows * self.columns

    def offsets(self) -> torch.Tensor:
        """Positions (3, slots * rows * columns) int64, counted from the start of the block."""
        slot = (torch.arange(self.slots, dtype=torch.float64) * self.step + ROUNDING).floor().long()
        axes = torch.meshgrid(slot, torch.arange(self.rows), torch.arange(self.columns), indexing="ij")
        return torch.stack(axes).flatten(1)


def token_positions(visual: torch.Tensor, blocks: Sequence[VisualBlock], axes: int) -> torch.Tensor:
    """Positions of every token of a sequence.

    Args:
        visual: (N,) bool, true at visual tokens.
        blocks: The visual blocks in the order of the sequence; of no use with one axis.
        axes: 1, or 3 for M-RoPE.

    Returns:
        (axes, N) int64 on the CPU.

    Raises:
        BackendError: The visual tokens are not those of the blocks.
    """
    return mrope_positions(visual, blocks) if axes == 3 else torch.arange(len(visual))[None]


def position_ids(positions: torch.Tensor) -> torch.Tensor:
    """Positions (axes, B, n) as transformers takes them: (3, B, n), or (B, n) where there is one axis."""
    return positions[0] if len(positions) == 1 else positions


def mrope_positions(visual: torch.Tensor, blocks: Sequence[VisualBlock]) -> torch.Tensor:
    """Temporal, row and column position of every token of a sequence.

    Args:
        visual: (N,) bool, true at visual tokens.
        blocks: The visual blocks in the order of the sequence; text stands between them.

    Returns:
        (3, N) int64 on the CPU.

    Raises:
        BackendError: The visual tokens are not those of the blocks.
    """
    visual = visual.cpu()
    found, wanted = int(visual.sum()), sum(len(block) for block in blocks)
    if found != wanted:
        raise BackendError(f"{found} visual tokens in the prompt, {wanted} in the grids; wanted as many.")
    parts: list[torch.Tensor] = []
    cursor = following = 0
    for block in blocks:
        start = cursor + int(visual[cursor:].int().argmax())
        if not visual[start : start + len(block)].all():
            raise BackendError(f"the visual tokens from {start} on are interrupted; wanted {len(block)} in a row, as the grid says.")
        parts += [_text(following, start - cursor)]
        following += start - cursor
        parts += [block.offsets() + following]
        following = int(parts[-1].max()) + 1
        cursor = start + len(block)
    return torch.cat([*parts, _text(following, len(visual) - cursor)], dim=1)


def _text(start: int, length: int) -> torch.Tensor:
    return torch.arange(start, start + length).expand(3, -1)
