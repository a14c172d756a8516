"""A selector that breaks one rule fails that rule alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from gazecut.testing import SelectorConformance
from gazecut.testing.fakes import FakeSelector
from gazecut.testing.options import FakeSelectorOptions
from gazecut.values import HeatMaps, Points


class Selector(FakeSelector):
    def __init__(self, change: Callable[[Points, np.ndarray], Points]) -> None:
        super().__init__()
        self.change = change

    def select(self, maps: HeatMaps) -> Points:
        return self.change(super().select(maps), maps.values)


class Alternating(FakeSelector):
    calls = 0

    def select(self, maps: HeatMaps) -> Points:
        self.calls += busy(maps.values)
        points = super().select(maps)
        return points.at(0) if busy(maps.values) and self.calls % 4 == 3 else points


def busy(values: np.ndarray) -> bool:
    """Whether the map is one of random cells, not of one peak."""
    return len(np.unique(values)) > 12


def middle(points: Points, values: np.ndarray) -> Points:
    return points if values.max() > values.min() else Points.single_clicks(np.array([[0, 0.5, 0.5, 0.5]]))


def of_no_frame(points: Points, values: np.ndarray) -> Points:
    return replace(points, frame=points.frame + 1) if busy(values) else points


def by_memory(points: Points, values: np.ndarray) -> Points:
    return points if values.flags.c_contiguous else replace(points, x=1 - points.x)


def picky(points: Points, values: np.ndarray) -> Points:
    if values.shape[1] == 1:
        raise ZeroDivisionError
    return points


def scribble(points: Points, values: np.ndarray) -> Points:
    if busy(values):
        values[0, 0, 0] += 0.5
    return points


VIOLATIONS = {
    "test_a_clear_peak_gives_a_point": lambda: Selector(lambda points, values: points.at(0)),
    "test_clicks_lie_on_the_picture": lambda: Selector(lambda points, values: replace(points, x=points.x + 0.5 / values.shape[2])),
    "test_clicks_on_the_object_lie_on_its_attention": lambda: Selector(lambda points, values: replace(points, x=points.y, y=points.x)),
    "test_frames_are_those_of_the_maps": lambda: Selector(of_no_frame),
    "test_candidates_count_from_zero_in_each_frame": lambda: Selector(
        lambda points, values: replace(points, candidate=points.candidate + 1)
    ),
    "test_every_candidate_is_prompted_by_something": lambda: Selector(lambda points, values: replace(points, label=0 * points.label)),
    "test_scores_are_attention": lambda: Selector(lambda points, values: replace(points, score=2 * points.score)),
    "test_flat_maps_give_no_points": lambda: Selector(middle),
    "test_ties_are_settled": lambda: Selector(by_memory),
    "test_at_most_k_candidates": lambda: FakeSelector(FakeSelectorOptions(k=2)),
    "test_any_shape_is_taken": lambda: Selector(picky),
    "test_input_is_unchanged": lambda: Selector(scribble),
    "test_same_input_gives_same_output": Alternating,
}


def test_scores_of_another_place_are_noticed(broken: Callable, make_case: Callable) -> None:
    def elsewhere() -> Selector:
        return Selector(lambda points, values: replace(points, score=np.full(len(points), 0.123)))

    assert set(broken(make_case(SelectorConformance, elsewhere))) == {"test_scores_are_attention"}


def test_every_rule_has_a_violation(own_rules: Callable) -> None:
    assert set(VIOLATIONS) == own_rules(SelectorConformance)


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_a_violation_fails_its_rule_alone(rule: str, broken: Callable, make_case: Callable) -> None:
    assert set(broken(make_case(SelectorConformance, VIOLATIONS[rule]))) == {rule}
