"""Who sees whom: causality, padding, masks, and prompts that branch off a shared trunk.

Several prompts with the same first tokens are laid out as one sequence, the trunk once and then each prompt's own tokens:

    [ trunk, P tokens ][ branch 0, S_0 ][ branch 1, S_1 ] ...        N = P + S_0 + S_1 + ...

A token of a branch sees the trunk and what comes before it in its own branch. Attention from the trunk is thereby worked out
once for all prompts, and every row of the laid-out sequence is, entry by entry, the row of the prompt that it belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Self

import numpy as np
import torch

from gazecut.arrays import Array
from gazecut.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Masking:
    """What narrows attention beyond causality; arrays of either kind.

    Attributes:
        tokens: (N,) or (B, N) bool, False at padding. Padding is seen by nobody, weighs no head and gets 0. None: all are tokens.
        mask: (N, N) or (B, N, N) bool, True where the token of the row sees that of the column; it replaces causality, so blocks
            that see both ways can be given. A row without True sees nothing. None: causal.
    """

    tokens: Array | None = None
    mask: Array | None = None


@dataclass(frozen=True, eq=False)
class Reach:
    """Who sees whom in one sequence of N tokens.

    Attributes:
        trunk: Tokens P that all prompts share; N for a single prompt.
        branches: Positions of each prompt's own tokens; none for a single prompt.
        tokens: (N,) bool, False at padding; None where there is none.
        mask: (N, N) bool with padding and branches worked in, deciding alone; None where attention is causal.
    """

    trunk: int
    branches: tuple[range, ...] = ()
    tokens: torch.Tensor | None = None
    mask: torch.Tensor | None = None

    def __len__(self) -> int:
        return self.branches[-1].stop if self.branches else self.trunk

    @property
    def is_causal(self) -> bool:
        """Whether causality and branches say everything."""
        return self.tokens is None and self.mask is None

    @cached_property
    def prompts(self) -> list[torch.Tensor]:
        """Positions of the tokens of each prompt, ascending; on the device of the masks, else on the CPU."""
        device = None if self.tokens is None else self.tokens.device
        trunk = torch.arange(self.trunk, device=device)
        whole = [torch.cat([trunk, torch.arange(own.start, own.stop, device=device)]) for own in self.branches] or [trunk]
        return whole if self.tokens is None else [each[self.tokens[each]] for each in whole]

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        tokens, mask = (None if each is None else each.to(device) for each in (self.tokens, self.mask))
        return replace(self, tokens=tokens, mask=mask)


def reach_of(length: int, branches: Sequence[int], tokens: torch.Tensor | None, mask: torch.Tensor | None) -> Reach:
    """Put together what is known of one sequence.

    Args:
        length: Number of tokens N.
        branches: Own tokens of each prompt; none for a single prompt.
        tokens: (N,) bool or None.
        mask: (N, N) bool or None.

    Raises:
        ShapeError: Branches that leave no trunk, or a prompt whose tokens are all padding.
    """
    if any(own < 1 for own in branches) or sum(branches) >= length:
        raise ShapeError(
            f"rollout branches have {', '.join(map(str, branches))} tokens; wanted 1 or more each, and fewer together than the {length} "
            "tokens of the sequence, so that a shared trunk is left."
        )
    ends = (length - sum(branches) + np.cumsum([0, *branches])).tolist()
    spans = tuple(range(start, stop) for start, stop in pairwise(ends))
    reach = Reach(ends[0], spans, tokens)
    if tokens is not None and not all(len(prompt) for prompt in reach.prompts):
        raise ShapeError("rollout was given a prompt of padding alone; wanted one or more tokens that are True in `tokens`.")
    return reach if mask is None else replace(reach, mask=_narrowed(mask, reach))


def _narrowed(mask: torch.Tensor, reach: Reach) -> torch.Tensor:
    """The mask (N, N) without padding, and without what other branches hold."""
    narrowed = mask.clone()
    if reach.tokens is not None:
        narrowed &= reach.tokens.to(mask.device)
    for own in reach.branches:
        narrowed[: own.start, own.start : own.stop] = False
        narrowed[own.stop :, own.start : own.stop] = False
    return narrowed
