"""A scorer that breaks one rule fails that rule alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gazecut.testing import ScorerConformance
from gazecut.testing.fakes import FakeScorer
from gazecut.values import HeatMaps, Judgement, MapSet, Tracklets


class Scorer(FakeScorer):
    def __init__(self, change: Callable) -> None:
        super().__init__()
        self.change = change

    def judge(self, tracklets: Tracklets, maps: MapSet, fused: HeatMaps) -> Judgement:
        return self.change(super().judge(tracklets, maps, fused), tracklets=tracklets, maps=maps, fused=fused)


class Counting(FakeScorer):
    calls = 0

    def judge(self, tracklets: Tracklets, maps: MapSet, fused: HeatMaps) -> Judgement:
        self.calls += 1
        return replace(super().judge(tracklets, maps, fused), consistency=np.full(len(tracklets), float(self.calls)))


def scalar_for_one(said: Judgement, tracklets: Tracklets, **_: object) -> object:
    return said if len(tracklets) != 1 else SimpleNamespace(scores=said.scores[0], kept=said.kept, consistency=None)


def one_for_none(said: Judgement, tracklets: Tracklets, **_: object) -> Judgement:
    return said if len(tracklets) else Judgement(np.zeros(1), np.zeros(1, bool))


def lost_on_flat(said: Judgement, fused: HeatMaps, **_: object) -> Judgement:
    flat = fused.values.size > 10 and fused.values.max() == fused.values.min()
    return replace(said, scores=said.scores * np.nan) if flat else said


def needs_pixels(said: Judgement, tracklets: Tracklets, **_: object) -> Judgement:
    if any(not tracklet.masks.any() for tracklet in tracklets):
        raise ZeroDivisionError
    return said


def needs_frames(said: Judgement, fused: HeatMaps, **_: object) -> Judgement:
    if len(fused.values) == 1:
        raise IndexError
    return said


def needs_views(said: Judgement, maps: MapSet, **_: object) -> Judgement:
    assert maps.view("frame").values is not None
    return said


def scribble(said: Judgement, fused: HeatMaps, **_: object) -> Judgement:
    fused.values[0, 0, 0] += 1
    return said


VIOLATIONS = {
    "test_every_tracklet_gets_one_score": lambda: Scorer(lambda said, **_: replace(said, scores=said.scores.astype(np.float32))),
    "test_kept_is_one_flag_per_tracklet": lambda: Scorer(
        lambda said, **_: SimpleNamespace(scores=said.scores, kept=said.kept.astype(int), consistency=None)
    ),
    "test_a_single_tracklet_is_judged": lambda: Scorer(scalar_for_one),
    "test_none_for_none": lambda: Scorer(one_for_none),
    "test_flat_maps_give_finite_scores": lambda: Scorer(lost_on_flat),
    "test_empty_and_full_masks_give_finite_scores": lambda: Scorer(needs_pixels),
    "test_consistency_is_finite_or_none": lambda: Scorer(lambda said, **_: replace(said, consistency=said.scores * np.nan)),
    "test_order_does_not_matter": lambda: Scorer(lambda said, **_: replace(said, scores=said.scores + np.arange(len(said.scores)))),
    "test_views_may_be_missing": lambda: Scorer(needs_views),
    "test_any_size_is_judged": lambda: Scorer(needs_frames),
    "test_input_is_unchanged": lambda: Scorer(scribble),
    "test_same_input_gives_same_output": Counting,
}


def test_every_rule_has_a_violation(own_rules: Callable) -> None:
    assert set(VIOLATIONS) == own_rules(ScorerConformance)


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_a_violation_fails_its_rule_alone(rule: str, broken: Callable, make_case: Callable) -> None:
    assert set(broken(make_case(ScorerConformance, VIOLATIONS[rule]))) == {rule}
