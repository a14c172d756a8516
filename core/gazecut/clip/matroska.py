"""The outer frame of Matroska and WebM files, which says how long the whole file is.

FFmpeg reads such a file to wherever it ends and takes that for the end. One that was closed properly gives the size of its only
segment, so a part that is missing shows; a recording that was never closed gives none.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"


def promised_bytes(path: Path) -> int:
    """Size that a Matroska file says it has; 0 if it does not say, or is no Matroska file."""
    with path.open("rb") as file:
        if file.read(4) != _EBML:
            return 0
        header = _size(file)
        if header is None:
            return 0
        file.seek(header, 1)
        if file.read(4) != _SEGMENT:
            return 0
        segment = _size(file)
        return 0 if segment is None else file.tell() + segment


def _size(file: BinaryIO) -> int | None:
    """A size of variable length: leading zero bits of the first byte count the bytes that follow; all ones mean unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    following = 8 - first[0].bit_length()
    rest = file.read(following)
    bits = 7 * (following + 1)
    value = int.from_bytes(first + rest) & ((1 << bits) - 1)
    return None if len(rest) < following or value == (1 << bits) - 1 else value
