"""Columns of text in any script."""

from __future__ import annotations

import pytest

from gazecut.cli.tables import columns


def test_cells_stand_below_each_other_and_the_last_is_as_long_as_it_likes() -> None:
    assert list(columns([("a", "bb", "c" * 90), ("aaa", "b", "")])) == [f"a     bb   {'c' * 90}", "aaa   b"]
    assert list(columns([])) == []


@pytest.mark.parametrize(
    ("text", "width"),
    [("红色的圆", 8), ("빨간 원", 7), ("ｆｕｌｌ", 8), ("été", 3), ("e\N{COMBINING ACUTE ACCENT}te", 3), ("🔴", 2)],
)
def test_a_cell_is_as_wide_as_a_terminal_shows_it(text: str, width: int) -> None:
    wide, narrow = columns([(text, "1 object"), ("the red circle", "1 object")])
    assert narrow == "the red circle   1 object"
    assert wide == f"{text}{' ' * (len('the red circle') - width)}   1 object"
    assert list(columns([(text, "x"), ("", "x")]))[1] == f"{' ' * width}   x"
