"""Masks over time, as run-length codes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from gazecut import rle
from gazecut.errors import ShapeError


@dataclass(frozen=True)
class MaskTrack:
    """One object's masks over T frames; decoded when asked, so a long track stays small.

    Attributes:
        size: (H, W) in pixels.
        codes: One run-length code per frame; None where the object is absent.

    Raises:
        ShapeError: A code is of another size.
    """

    size: tuple[int, int]
    codes: Sequence[rle.Rle | None]

    def __post_init__(self) -> None:
        for frame, code in self.codes.numbered() if isinstance(self.codes, _Placed) else enumerate(self.codes):
            if code is not None and tuple(code["size"]) != self.size:
                raise ShapeError(f"mask track, frame {frame}: code of size {tuple(code['size'])}; wanted {self.size}.")

    @classmethod
    def from_masks(cls, masks: np.ndarray | Sequence[np.ndarray], size: tuple[int, int]) -> MaskTrack:
        """Encode masks (T, H, W) bool, or T masks (H, W)."""
        return cls(size, tuple(rle.encode(mask) if mask.any() else None for mask in masks))

    def placed(self, start: int, length: int) -> MaskTrack:
        """The same masks as a part of more frames, absent before and after; takes neither memory nor time for those.

        Args:
            start: Where the first of them goes.
            length: How many frames there are.
        """
        return MaskTrack(self.size, _Placed(self.codes, start, length))

    def __len__(self) -> int:
        return len(self.codes)

    def mask(self, frame: int) -> np.ndarray:
        """The mask of one frame, (H, W) bool."""
        code = self.codes[frame]
        return np.zeros(self.size, bool) if code is None else rle.decode(code)

    def masks(self) -> np.ndarray:
        """All masks, (T, H, W) bool."""
        return np.stack([self.mask(frame) for frame in range(len(self))]) if self.codes else np.zeros((0, *self.size), bool)


class _Placed(Sequence[rle.Rle | None]):
    """Codes with nothing before and after them."""

    def __init__(self, codes: Sequence[rle.Rle | None], start: int, length: int) -> None:
        if not 0 <= start <= start + len(codes) <= length:
            raise ShapeError(f"mask track: {len(codes)} frames from {start} on do not fit into {length}.")
        self._codes, self._start, self._length = codes, start, length

    def numbered(self) -> Iterator[tuple[int, rle.Rle | None]]:
        """Those that were placed, each with its frame."""
        return enumerate(self._codes, self._start)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> rle.Rle | None: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[rle.Rle | None]: ...

    def __getitem__(self, index: int | slice) -> rle.Rle | Sequence[rle.Rle | None] | None:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(self._length)[index])
        place = range(self._length)[index] - self._start
        return self._codes[place] if 0 <= place < len(self._codes) else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # as of a tuple of codes, which are dictionaries
