"""A sampler that breaks one rule fails that rule alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gazecut.protocols import Clip
from gazecut.testing import SamplerConformance
from gazecut.testing.fakes import FakeSampler


class Sampler(FakeSampler):
    def __init__(self, change: Callable[[Clip, np.ndarray], np.ndarray]) -> None:
        super().__init__()
        self.change = change

    def sample(self, clip: Clip) -> np.ndarray:
        return self.change(clip, super().sample(clip))


class Forgetful(FakeSampler):
    calls = 0

    def sample(self, clip: Clip) -> np.ndarray:
        self.calls += 1
        return super().sample(clip)[: max(1, clip.length - self.calls % 3)]


def scribble(clip: Clip, indices: np.ndarray) -> np.ndarray:
    next(clip.frames())[:] = 0
    return indices


VIOLATIONS = {
    "test_indices_are_one_row_of_int64": lambda: Sampler(lambda clip, indices: indices.astype(np.int32)),
    "test_at_least_one_frame_is_chosen": lambda: Sampler(lambda clip, indices: indices[: 0 if clip.length > 1 else 1]),
    "test_indices_ascend": lambda: Sampler(lambda clip, indices: indices[::-1]),
    "test_indices_lie_within_the_clip": lambda: Sampler(lambda clip, indices: indices + (clip.length > 1)),
    "test_a_clip_of_one_frame_gives_it": lambda: Sampler(lambda clip, indices: indices[int(clip.length == 1) :]),
    "test_input_is_unchanged": lambda: Sampler(scribble),
    "test_same_input_gives_same_output": Forgetful,
}


def test_every_rule_has_a_violation(own_rules: Callable) -> None:
    assert set(VIOLATIONS) == own_rules(SamplerConformance)


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_a_violation_fails_its_rule_alone(rule: str, broken: Callable, make_case: Callable) -> None:
    assert set(broken(make_case(SamplerConformance, VIOLATIONS[rule]))) == {rule}
