"""The outer frame of Matroska, WebM, MP4 and MOV files, which says how long the whole file is.

FFmpeg reads on to wherever such a file ends, and takes that for its end. Most say how many bytes they have, so that a part that is
missing shows at once; a recording that was never closed may not.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"mfra", b"sidx", b"free", b"skip", b"wide", b"meta", b"udta", b"uuid"})
_WIDE_SIZE, _TO_THE_END = 1, 0  # sizes of boxes that mean something else


def promised_bytes(path: Path) -> int:
    """Size in bytes that a file says it has, at least; 0 if it does not say."""
    with path.open("rb") as file:
        start = file.read(8)
        file.seek(0)
        if start[:4] == _EBML:
            return _matroska(file)
        return _boxes(file) if start[4:] in _BOXES else 0


def _matroska(file: BinaryIO) -> int:
    """Header and segment: the only two elements of a file."""
    for name in (_EBML, _SEGMENT):
        size = _variable_size(file) if file.read(4) == name else None
        if size is None:
            return 0
        file.seek(size, 1)
    return file.tell()


def _variable_size(file: BinaryIO) -> int | None:
    """A size of 1 to 8 bytes: leading zero bits count the bytes that follow, and all ones mean unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    following = 8 - first[0].bit_length()
    rest = file.read(following)
    bits = 7 * (following + 1)
    value = int.from_bytes(first + rest) & ((1 << bits) - 1)
    return None if len(rest) < following or value == (1 << bits) - 1 else value


def _boxes(file: BinaryIO) -> int:
    """Boxes one after another; what follows the last that is known may be anything."""
    end = 0
    while True:
        header = file.read(8)
        if len(header) < 8 or header[4:] not in _BOXES:
            return end
        size = int.from_bytes(header[:4])
        if size == _WIDE_SIZE:
            size = int.from_bytes(file.read(8))
        if size == _TO_THE_END or size < 8:
            return end
        end += size
        file.seek(end)
