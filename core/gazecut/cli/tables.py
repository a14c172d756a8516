"""Columns of text, the same in a terminal and in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def columns(rows: Iterable[Sequence[str]], gap: int = 3) -> Iterator[str]:
    """Lines whose cells stand below each other; the last cell is as long as it likes."""
    table = [tuple(row) for row in rows]
    if not table:
        return
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)][:-1]
    for row in table:
        cells = [cell.ljust(width + gap) for cell, width in zip(row, widths, strict=False)]
        yield "".join((*cells, row[-1])).rstrip()
