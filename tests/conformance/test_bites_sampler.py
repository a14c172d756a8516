"""A sampler that breaks one rule fails that rule alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from gazecut.protocols import Clip
from gazecut.testing import SamplerConformance
from gazecut.testing.fakes import FakeSampler
from gazecut.windows import even_windows


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


class Windows(FakeSampler):
    """Even windows of a clip or a stream, or what the test puts in their place."""

    def __init__(
        self, of_clip: Callable[[int], Iterator[range]] | None = None, of_stream: Callable[[], Iterator[range]] | None = None
    ) -> None:
        super().__init__()
        self.of_clip, self.of_stream = of_clip, of_stream
        self.calls = 0

    def windows(self, clip: Clip | None, fps: float) -> Iterator[range]:
        self.calls += 1
        if clip is None:
            return self.of_stream() if self.of_stream else even_windows(8, 2)
        return self.of_clip(self.calls) if self.of_clip else even_windows(8, 2)


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
    "test_windows_cover_the_clip": lambda: Windows(of_clip=lambda _: iter([range(8), range(9, 400)])),
    "test_windows_of_a_stream_cover_it_or_are_refused": lambda: Windows(of_stream=lambda: iter([range(400)])),
    "test_the_same_clip_gives_the_same_windows": lambda: Windows(of_clip=lambda calls: even_windows(8, calls % 8)),
}


def test_every_rule_has_a_violation(own_rules: Callable) -> None:
    assert set(VIOLATIONS) == own_rules(SamplerConformance)


@pytest.mark.parametrize(
    "windows",
    [
        [range(1, 400)],
        [range(8), range(4, 8), range(8, 400)],
        [range(8), range(8), range(8, 400)],
        [range(0, 400, 2)],
        [range(0), range(400)],
        [range(8), range(8, 16)],
    ],
)
def test_windows_that_leave_frames_out_or_turn_back_are_seen(windows: list[range], broken: Callable, make_case: Callable) -> None:
    assert set(broken(make_case(SamplerConformance, lambda: Windows(of_clip=lambda _: iter(windows))))) == {"test_windows_cover_the_clip"}


def test_a_sampler_with_windows_conforms(broken: Callable, make_case: Callable) -> None:
    assert not broken(make_case(SamplerConformance, Windows))


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_a_violation_fails_its_rule_alone(rule: str, broken: Callable, make_case: Callable) -> None:
    assert set(broken(make_case(SamplerConformance, VIOLATIONS[rule]))) == {rule}
