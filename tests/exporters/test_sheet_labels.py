"""Labels on tiles never cover each other, never leave the tile, and rather stand beside a mask than on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gazecut_plugins.exporters.lettering import Lettering
from gazecut_plugins.exporters.sheet_labels import HEIGHT, Label, Labels, label_width

GREY, ORANGE = (104, 110, 120), (230, 159, 0)
LETTERING = Lettering()


def labels_on(height: int, width: int, busy: np.ndarray | None = None) -> tuple[Labels, Image.Image]:
    canvas = Image.new("RGB", (width, height))
    return Labels(canvas, LETTERING, np.zeros((height, width), bool) if busy is None else busy), canvas


wishes = st.lists(
    st.tuples(st.floats(-20, 220), st.floats(-20, 180), st.sampled_from(["1", "12  0.93", "b  0.40"])), min_size=1, max_size=25
)


@settings(max_examples=60)
@given(wishes=wishes, height=st.integers(1, 160), width=st.integers(1, 200))
def test_labels_keep_apart_and_inside(wishes: list[tuple[float, float, str]], height: int, width: int) -> None:
    labels, _ = labels_on(height, width)
    placed = [labels.add(Label((text, "x"), GREY, (x, y))) for x, y, text in wishes]
    labels.draw()
    boxes = np.array(labels._taken).reshape(-1, 4)
    assert len(boxes) == sum(placed)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2] <= width).all()
    assert (boxes[:, 3] <= height).all()
    for number, (left, top, right, bottom) in enumerate(boxes):
        others = np.delete(boxes, number, axis=0)
        assert ((others[:, 0] >= right) | (others[:, 2] <= left) | (others[:, 1] >= bottom) | (others[:, 3] <= top)).all()
    if height >= HEIGHT and width >= label_width(LETTERING, "x"):
        assert placed[0], "the first finds room on any tile that can hold it"


def test_a_label_stands_where_it_wants_to() -> None:
    labels, canvas = labels_on(100, 160)
    assert labels.add(Label(("1  0.93",), ORANGE, (80, 60)))
    labels.draw()
    y, x = np.nonzero((np.asarray(canvas) == ORANGE).all(axis=2))
    assert (y.min(), y.max() + 1) == (60 - HEIGHT, 60)
    assert abs((x.min() + x.max() + 1) / 2 - 80) <= 1


def test_a_label_stands_beside_a_mask_at_the_edge() -> None:
    busy = np.zeros((100, 160), bool)
    busy[:40, 60:100] = True
    labels, _ = labels_on(100, 160, busy)
    labels.add(Label(("1",), ORANGE, (80, -2)))
    ((left, top, right, bottom),) = labels._taken
    assert not busy[int(top) : int(bottom), int(left) : int(right)].any()


def test_a_label_that_stands_apart_has_a_line_to_what_it_names() -> None:
    labels, canvas = labels_on(100, 160)
    labels.add(Label(("1",), GREY, (80, 60)))
    labels.add(Label(("2  0.50",), ORANGE, (80, 60)))
    labels.draw()
    line = np.asarray(canvas)[:, :, 0] == ORANGE[0]
    assert line.sum() > label_width(LETTERING, "2  0.50") * (HEIGHT - 6) * 0.5
    assert np.hypot(*(np.argwhere(line) - (60, 80)).T).min() <= 1.5


@pytest.mark.parametrize(("width", "kept"), [(110, "78 suppressed"), (40, "-78"), (8, None)])
def test_the_fullest_wording_that_fits_is_taken(width: int, kept: str | None) -> None:
    labels, _ = labels_on(40, width)
    assert labels.add(Label(("78 suppressed", "-78"), GREY, None)) == (kept is not None)
    assert [text for _, text, _ in labels._placed] == ([] if kept is None else [kept])


@pytest.mark.parametrize(("taken", "left"), [(slice(0, 0), 0), (slice(100, 160), 0), (slice(0, 60), 160 - HEIGHT + 2)])
def test_a_label_of_the_whole_tile_takes_the_emptier_lower_corner(taken: slice, left: int) -> None:
    busy = np.zeros((100, 160), bool)
    busy[:, taken] = True
    labels, canvas = labels_on(100, 160, busy)
    labels.add(Label(("7",), GREY, None))
    labels.draw()
    assert labels._taken[0][:2] == (left, 100 - HEIGHT)
    y, _ = np.nonzero(np.asarray(canvas).any(axis=2))
    assert y.min() >= 100 - HEIGHT, "and no line"
