"""Objects from window to window: what counts as the same, who goes on, and who gets which number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gazecut import rle
from gazecut.linking import Linker, agreement, link
from gazecut.result import FoundObject
from gazecut.tracklets import mask_overlaps
from gazecut.values import Judgement, MaskTrack, Tracklet, Tracklets
from gazecut.windows import Span

SIZE = (12, 16)
FIRST = Span(range(8), range(6))
SECOND = Span(range(4, 12), range(6, 12))


def box(left: int, width: int = 4) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[2:8, left : left + width] = True
    return mask


def track(left: int | None, frames: int = 8, seen: range | None = None) -> MaskTrack:
    """A still box in some of the frames."""
    nothing = np.zeros(SIZE, bool)
    return MaskTrack.from_masks([box(left) if left is not None and t in (seen or range(frames)) else nothing for t in range(frames)], SIZE)


def found(*lefts: int | None, score: float = 0.9, seen: range | None = None) -> list[FoundObject]:
    return [FoundObject(number, score, track(left, seen=seen)) for number, left in enumerate(lefts, start=1)]


def candidates(*lefts: int | None) -> Tracklets:
    """On the sampled frames 0, 3, 6 of a window."""
    return Tracklets(tuple(Tracklet(0, np.zeros((1, 2)), 0.5, 0.5, track(left, 3), np.zeros((3, 2, 2), np.float16)) for left in lefts))


def judged(*kept: bool, fallback: bool = False) -> Judgement:
    reasons = tuple("above 0.8" if one else "not above 0.8" for one in kept)
    return Judgement(np.full(len(kept), 0.5), np.array(kept, bool), reasons=reasons, fallback=fallback)


masks = st.lists(st.integers(0, 2**12 - 1), min_size=0, max_size=4).map(
    lambda numbers: np.array([[number >> bit & 1 for bit in range(12)] for number in numbers], bool).reshape(-1, 3, 4)
)


@given(masks, masks)
@settings(max_examples=60)
def test_codes_overlap_as_their_masks_do(first: np.ndarray, second: np.ndarray) -> None:
    overlaps = rle.overlaps([rle.encode(mask) for mask in first], [rle.encode(mask) for mask in second])
    np.testing.assert_allclose(overlaps, mask_overlaps(first, second), atol=1e-12)


def test_agreement_is_the_mean_over_frames_where_either_is_there() -> None:
    half = MaskTrack.from_masks([box(2), box(2), np.zeros(SIZE, bool), np.zeros(SIZE, bool)], SIZE)
    whole = MaskTrack.from_masks([box(2), box(4), box(2), np.zeros(SIZE, bool)], SIZE)
    empty = MaskTrack.from_masks(np.zeros((4, *SIZE), bool), SIZE)
    np.testing.assert_allclose(agreement([half, empty], [whole, half, empty]), [[(1 + 1 / 3 + 0) / 3, 1, 0], [0, 0, 0]])
    assert agreement([], [half]).shape == (0, 1)
    assert agreement([half], []).shape == (1, 0)


@given(st.integers(0, 5), st.integers(0, 5), st.floats(0.05, 1), st.randoms(use_true_random=False))
def test_pairs_are_disjoint_reach_the_bar_and_leave_no_better_one(rows: int, columns: int, least: float, random: object) -> None:
    overlaps = np.array([[random.choice([0.0, 0.3, 0.5, 0.7, 1.0]) for _ in range(columns)] for _ in range(rows)]).reshape(rows, columns)
    pairs = list(link(overlaps, least))
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    values = [overlaps[pair] for pair in pairs]
    assert all(value >= least for value in values)
    assert values == sorted(values, reverse=True)
    for row, column in np.ndindex(overlaps.shape):
        if overlaps[row, column] >= least and (row, column) not in pairs:
            assert any(overlaps[pair] >= overlaps[row, column] for pair in pairs if pair[0] == row or pair[1] == column)


def test_the_best_pair_is_linked_first() -> None:
    assert list(link(np.array([[0.8, 0.9], [0.0, 0.95]]), 0.5)) == [(1, 1), (0, 0)]


def test_an_object_keeps_its_number_and_others_get_the_next() -> None:
    linker = Linker(0.5)
    linker.follow(FIRST, found(0, 8))
    assert [one.id for one in linker.show(FIRST)] == [1, 2]
    linker.follow(SECOND, found(9, 4))
    shown = linker.show(SECOND)
    assert [(one.id, bool(one.track.mask(0)[3, 10])) for one in shown] == [(2, True), (3, False)]
    assert all(len(one.track) == len(SECOND.own) for one in shown)


def test_below_the_bar_it_is_another_object() -> None:
    for least, ids in ((0.33, [1]), (0.34, [2])):
        linker = Linker(least)
        linker.follow(FIRST, found(0))
        linker.show(FIRST)
        linker.follow(SECOND, found(2))  # a third in common
        assert [one.id for one in linker.show(SECOND)] == ids


def test_numbers_are_given_when_an_object_is_first_shown() -> None:
    linker = Linker(0.5)
    linker.follow(FIRST, found(0, seen=range(6, 8)) + found(8))  # the first is seen in frames that are the second window's own
    assert [(one.id, bool(one.track.mask(0)[3, 10])) for one in linker.show(FIRST)] == [(1, True)]
    linker.follow(SECOND, found(0))
    assert [one.id for one in linker.show(SECOND)] == [2]


def test_without_common_frames_everything_is_new() -> None:
    linker = Linker(0.5)
    linker.follow(Span(range(8), range(8)), found(0))
    linker.show(Span(range(8), range(8)))
    after = Span(range(8, 16), range(8, 16))
    assert not linker.decide(after)(candidates(0), judged(False), np.array([0, 3, 6]), None).kept.any()
    linker.follow(after, found(0))
    assert [one.id for one in linker.show(after)] == [2]


def test_a_fall_back_is_kept_in_no_window() -> None:
    said = Linker(0.5).decide(FIRST)(candidates(0, 8), judged(True, False, fallback=True), np.array([0, 3, 6]), None)
    assert said.kept.tolist() == [False, False]
    assert said.reasons == ("no fall-back in windows: above 0.8", "not above 0.8")
    assert not said.fallback


@pytest.mark.parametrize("fallback", [False, True])
def test_what_goes_on_with_an_object_is_kept(fallback: bool) -> None:
    linker = Linker(0.5)
    linker.follow(FIRST, found(0))
    linker.show(FIRST)
    said = linker.decide(SECOND)(candidates(0, 8, 1), judged(False, fallback, False, fallback=fallback), np.array([0, 3, 6]), None)
    assert said.kept.tolist() == [True, False, False]
    assert said.reasons[0] == "continues object 1"


def test_an_object_that_the_rule_goes_on_with_is_continued_once() -> None:
    linker = Linker(0.5)
    linker.follow(FIRST, found(0))
    said = linker.decide(SECOND)(candidates(1, 0), judged(True, False), np.array([0, 3, 6]), None)
    assert said.kept.tolist() == [True, False]


def test_an_object_without_a_number_is_continued_too() -> None:
    linker = Linker(0.5)
    linker.follow(FIRST, found(0, seen=range(4, 8)))  # not shown yet when the next window is judged
    said = linker.decide(SECOND)(candidates(0), judged(False), np.array([0, 3, 6]), None)
    assert said.reasons == ("continues an object of the window before",)


@pytest.mark.parametrize("contrast", [0.1, 0.6])
def test_nothing_goes_on_where_the_attention_does_not_stand_out(contrast: float) -> None:
    linker = Linker(0.5, contrast_above=0.5)
    linker.follow(FIRST, found(0))
    said = linker.decide(SECOND)(candidates(0), judged(False), np.array([0, 3, 6]), contrast)
    assert said.kept.tolist() == [contrast > 0.5]


def test_a_scorer_without_reasons_is_heard() -> None:
    said = Linker(0.5).decide(FIRST)(candidates(0), Judgement(np.ones(1), np.ones(1, bool)), np.array([0, 3, 6]), None)
    assert said.kept.tolist() == [True]
    assert said.reasons is None
