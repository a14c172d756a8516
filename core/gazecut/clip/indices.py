"""The frames that a caller asks for, checked in one place for all kinds of clip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from gazecut.errors import ClipError


def checked_indices(name: str, length: int, indices: Iterable[int] | None) -> Sequence[int]:
    """The asked indices, or all of them.

    Args:
        name: The clip's name, for messages.
        length: Frames of the clip.
        indices: Strictly ascending, each from 0 to `length - 1`; None asks for all.

    Raises:
        ClipError: An index is out of range, or they do not ascend.
    """
    if indices is None:
        return range(length)
    wanted = [int(index) for index in indices]
    for before, after in pairwise(wanted):
        if after <= before:
            raise ClipError(f'clip "{name}": frame {after} was asked for after frame {before}; ask in ascending order, each frame once.')
    outside = next((index for index in wanted if not 0 <= index < length), None)
    if outside is not None:
        raise ClipError(f'clip "{name}" has no frame {outside}; it has {length}, from 0 to {length - 1}.')
    return wanted
