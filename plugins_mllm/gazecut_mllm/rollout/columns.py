"""Which columns weigh the heads."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns whose largest attention in each row weighs a head.

    Attributes:
        chosen: (N,) bool.
        first: The first of them.
        stop: One beyond the last of them.
        is_range: Whether no column between them is left out.
    """

    chosen: torch.Tensor
    first: int
    stop: int
    is_range: bool

    def largest(self, attention: torch.Tensor) -> torch.Tensor:
        """Largest attention (H, n) on the columns, of attention (H, n, k) on the first k tokens; 0 for rows that see none of them."""
        part = self.among(attention)
        if not part.shape[-1]:
            return attention.new_zeros(attention.shape[:-1])
        # Attention is never negative, so what is multiplied away never is the largest; gathering columns would cost more.
        return (part if self.is_range else part * self.chosen[self.first : self.first + part.shape[-1]]).amax(-1)

    def among(self, attention: torch.Tensor) -> torch.Tensor:
        """View (H, n, m) of attention (H, n, k) from the first to the last of the columns, as far as it goes."""
        return attention[..., self.first : max(self.first, min(self.stop, attention.shape[-1]))]

    def to(self, device: torch.device) -> Columns:
        """The same on a device."""
        return Columns(self.chosen.to(device), self.first, self.stop, self.is_range)


def columns_of(chosen: torch.Tensor) -> Columns:
    """From one or more chosen columns (N,) bool."""
    where = chosen.nonzero()[:, 0]
    first, stop = int(where[0]), int(where[-1]) + 1
    return Columns(chosen, first, stop, stop - first == len(where))
