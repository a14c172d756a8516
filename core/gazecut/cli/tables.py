"""Columns of text, the same in a terminal and in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def columns(rows: Iterable[Sequence[str]], gap: int = 3) -> Iterator[str]:
    """Lines whose cells stand below each other; the last cell is as long as it likes."""
    table = [tuple(row) for row in rows]
    if not table:
        return
    widths = [max(map(_width, column)) for column in zip(*table, strict=True)][:-1]
    for row in table:
        cells = [cell + " " * (width + gap - _width(cell)) for cell, width in zip(row, widths, strict=False)]
        yield "".join((*cells, row[-1])).rstrip()


def _width(text: str) -> int:
    """Places that a terminal gives a text; characters of Chinese take two, accents that stand alone none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # imported for those who need it: listings answer at once

    return cell_len(text)
