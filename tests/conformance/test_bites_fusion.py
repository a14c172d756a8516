"""A fusion strategy that breaks one rule fails that rule alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from gazecut.testing import FusionConformance
from gazecut.testing.fakes import FakeMean
from gazecut.values import MapSet, Query


class FromFrame(FakeMean):
    """Plans otherwise, and may leave something open, where it starts from the view `frame`."""

    def __init__(self, plan: Callable[[list[Query]], list[Query]] = list, folds: bool = True) -> None:
        super().__init__()
        self.otherwise, self.folds, self.started = plan, folds, ""

    def plan(self, queries: Sequence[Query]) -> list[Query]:
        self.started = queries[0].view
        planned = super().plan(queries)
        return self.otherwise(planned) if self.started == "frame" else planned

    def fuse(self, maps: MapSet) -> MapSet:
        return super().fuse(maps) if self.folds or self.started != "frame" else maps


class Mean(FakeMean):
    """Changes the fused values, or the whole set."""

    def __init__(self, change: Callable | None = None, whole: Callable | None = None) -> None:
        super().__init__()
        self.change, self.whole = change, whole

    def fuse(self, maps: MapSet) -> MapSet:
        fused = super().fuse(maps)
        if self.change:
            fused = fused.map_open(lambda entry: replace(entry.maps, values=self.change(entry.maps.values)))
        return self.whole(maps, fused) if self.whole else fused


class Drifting(FakeMean):
    calls = 0

    def fuse(self, maps: MapSet) -> MapSet:
        self.calls += 1
        return super().fuse(maps).map_open(lambda entry: replace(entry.maps, values=entry.maps.values + 1e-6 * self.calls))


def scribble(maps: MapSet, fused: MapSet) -> MapSet:
    maps.open[0].maps.values[0, 0, 0] += 1
    return fused


VIOLATIONS = {
    "test_plan_still_asks_for_the_object": lambda: FromFrame(lambda planned: [replace(query, role="thing") for query in planned]),
    "test_plan_asks_views_that_exist": lambda: FromFrame(lambda planned: [*planned, replace(planned[0], view="sideways")]),
    "test_planned_queries_are_different_objects": lambda: FromFrame(lambda planned: [*planned, planned[0]]),
    "test_fuse_folds_what_plan_opens": lambda: FromFrame(folds=False),
    "test_every_frame_keeps_a_map": lambda: Mean(lambda values: values[:-1] if len(values) == 5 else values),
    "test_places_stay_where_they_are": lambda: Mean(lambda values: values.swapaxes(1, 2)),
    "test_values_are_finite": lambda: Mean(lambda values: values if values.max() > values.min() else values * np.nan),
    "test_numpy_stays_numpy": lambda: Mean(lambda values: values.astype(np.float64) if isinstance(values, np.ndarray) else values),
    "test_torch_stays_torch": lambda: Mean(np.asarray),
    "test_works_in_a_chain": lambda: Mean(whole=lambda maps, fused: replace(fused, open=fused.with_role("object"))),
    "test_evidence_of_others_is_kept": lambda: Mean(whole=lambda maps, fused: replace(fused, views=maps.open)),
    "test_input_is_unchanged": lambda: Mean(whole=scribble),
    "test_same_input_gives_same_output": Drifting,
}


def test_every_rule_has_a_violation(own_rules: Callable) -> None:
    assert set(VIOLATIONS) == own_rules(FusionConformance)


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_a_violation_fails_its_rule_alone(rule: str, broken: Callable, make_case: Callable) -> None:
    assert set(broken(make_case(FusionConformance, VIOLATIONS[rule], component="fake-mean"))) == {rule}
