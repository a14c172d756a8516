"""An attribution that breaks one rule fails that rule alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from gazecut.testing import AttributionConformance
from gazecut.testing.fakes import FakeAttribution
from gazecut.values import Trace, TraceSpec


class Attribution(FakeAttribution):
    def __init__(self, change: Callable) -> None:
        super().__init__()
        self.change = change

    def scores(self, trace: Trace) -> object:
        return self.change(super().scores(trace), trace)


class ByLayer(FakeAttribution):
    """Changes what it makes of a layer."""

    def __init__(self, change: Callable) -> None:
        super().__init__()
        self.change = change

    def _row(self, query: object, key: object, scale: float) -> object:
        return self.change(super()._row(query, key, scale), query, scale)


class TooMany(FakeAttribution):
    """One score more where heads share a key head."""

    def scores(self, trace: Trace) -> object:
        layers = list(trace.layers)
        scores = super().scores(replace(trace, layers=layers))
        return scores.repeat(2) if layers[0].query.shape[0] == 6 else scores


class Sorting(FakeAttribution):
    def scores(self, trace: Trace) -> object:
        return super().scores(replace(trace, visual_columns=np.sort(trace.visual_columns)))


class Drifting(FakeAttribution):
    """Other scores after the trace that the kit scores in between."""

    changes = 0

    def scores(self, trace: Trace) -> object:
        scores = super().scores(trace) + self.changes
        between = np.random.default_rng(5).standard_normal(1).astype(np.float32)
        self.changes += int(isinstance(trace.layers, list) and float(trace.layers[0].query[0, 0, 0]) == float(between[0]))
        return scores


class Backwards(FakeAttribution):
    def scores_many(self, traces: Sequence[Trace]) -> list:
        return super().scores_many(traces)[::-1]


class Negative(FakeAttribution):
    """Weights below 0, beside the right scores."""

    def scores_with_prompt(self, traces: Sequence[Trace]) -> list[tuple]:
        return [(scores, None if weights is None else -weights) for scores, weights in super().scores_with_prompt(traces)]


def odd_spec() -> FakeAttribution:
    made = FakeAttribution()
    made.spec = TraceSpec(first_layer=-1)
    return made


def scribble(scores: object, trace: Trace) -> object:
    if isinstance(trace.layers, list):
        trace.layers[0].query[0, 0, 0] += 1
    return scores


VIOLATIONS = {
    "test_spec_says_which_attention": odd_spec,
    "test_every_visual_token_gets_one_score": TooMany,
    "test_scores_are_finite": lambda: ByLayer(lambda row, query, scale: row * np.nan if scale > 10 else row),
    "test_scores_are_not_negative": lambda: Attribution(lambda scores, trace: scores - 0.5),
    "test_one_visual_token_is_scored": lambda: Attribution(lambda scores, trace: scores.squeeze()),
    "test_order_of_columns_is_kept": Sorting,
    "test_traces_together_are_scored_as_alone": Backwards,
    "test_layers_are_read_once": lambda: Attribution(lambda scores, trace: scores + 0 * float(trace.layers[0].scale)),
    "test_layers_put_together_when_read_are_the_same": lambda: Attribution(
        lambda scores, trace: scores if isinstance(trace.layers, list) else scores / 2
    ),
    "test_numpy_stays_numpy": lambda: Attribution(
        lambda scores, trace: scores.astype(np.float64) if isinstance(scores, np.ndarray) else scores
    ),
    "test_torch_stays_torch": lambda: Attribution(lambda scores, trace: np.asarray(scores)),
    "test_prompt_tokens_are_weighed_beside_the_same_scores": Negative,
    "test_input_is_unchanged": lambda: Attribution(scribble),
    "test_same_input_gives_same_output": Drifting,
}


def test_every_rule_has_a_violation(own_rules: Callable) -> None:
    assert set(VIOLATIONS) == own_rules(AttributionConformance)


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_a_violation_fails_its_rule_alone(rule: str, broken: Callable, make_case: Callable) -> None:
    assert set(broken(make_case(AttributionConformance, VIOLATIONS[rule]))) == {rule}
