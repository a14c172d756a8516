"""A segmenter that breaks one rule fails that rule alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from gazecut.protocols import Clip, Provenance
from gazecut.testing import SegmenterConformance
from gazecut.testing.fakes import FakeSegmenter, FakeSegmenterSession
from gazecut.tracklets import mask_overlaps
from gazecut.values import Candidates, FrameMasks, Points


class Segmenter(FakeSegmenter):
    def __init__(self, session: type[FakeSegmenterSession]) -> None:
        super().__init__()
        self.session, self.opened = session, 0

    def open(self, clip: Clip) -> FakeSegmenterSession:
        self.opened += 1
        session = super().open(clip)
        session.__class__ = self.session
        session.number = self.opened
        return session


class Silent(FakeSegmenter):
    def describe(self) -> Provenance:
        return Provenance("", "")


class OnePerPoint(FakeSegmenterSession):
    def masks_at(self, frame: int, points: Points, heat: np.ndarray) -> Candidates:
        return super().masks_at(frame, replace(points, candidate=np.arange(len(points))), heat)


class Overconfident(FakeSegmenterSession):
    def masks_at(self, *asked: object) -> Candidates:
        said = super().masks_at(*asked)
        return replace(said, predicted_iou=said.predicted_iou * 2)


class NeedsPoints(FakeSegmenterSession):
    def masks_at(self, frame: int, points: Points, heat: np.ndarray) -> Candidates:
        return super().masks_at(int(points.frame[0]), points, heat)


class Streaming(FakeSegmenterSession):
    """Changes what a propagation gives."""

    def propagate(self, frame: int, masks: np.ndarray, frames: list[int], *asked: object) -> Iterator[FrameMasks]:
        yield from self.changed(list(super().propagate(frame, masks, frames, *asked)), len(masks))

    def changed(self, items: list[FrameMasks], objects: int) -> list[FrameMasks]:
        raise NotImplementedError


class Skipping(Streaming):
    def changed(self, items: list[FrameMasks], objects: int) -> list[FrameMasks]:
        return items[:-1] if len(items) == 3 else items


class Ascending(Streaming):
    def changed(self, items: list[FrameMasks], objects: int) -> list[FrameMasks]:
        return sorted(items, key=lambda item: item.frame)


class Merging(Streaming):
    def changed(self, items: list[FrameMasks], objects: int) -> list[FrameMasks]:
        return [replace(item, masks=item.masks[:1]) for item in items]


class Crossing(FakeSegmenterSession):
    """Takes each object of two for the other."""

    def propagate(self, frame: int, masks: np.ndarray, *asked: object) -> Iterator[FrameMasks]:
        crossed = len(masks) == 2 and (masks[0] != masks[1]).any()
        for item in super().propagate(frame, masks, *asked):
            yield replace(item, masks=masks[::-1]) if crossed and item.frame == frame else item


class Wide(Streaming):
    def changed(self, items: list[FrameMasks], objects: int) -> list[FrameMasks]:
        return [replace(item, logits=np.zeros((objects, 2, 2), np.float32)) for item in items]


class Forgetful(FakeSegmenterSession):
    """Takes several prompts at once, and loses their objects."""

    def propagate_together(self, prompts: list[tuple[int, np.ndarray]], *asked: object) -> Iterator[tuple[int, FrameMasks]]:
        for number, prompt in enumerate(prompts):
            for item in self.propagate(*prompt, *asked):
                yield number, replace(item, masks=np.zeros_like(item.masks))


class Generous(FakeSegmenterSession):
    """Takes empty masks for the same."""

    def overlaps(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        empty = ~first.any(axis=(1, 2))[:, None] & ~second.any(axis=(1, 2))
        return np.where(empty, 1.0, mask_overlaps(first, second))


class NeedsTwoFrames(Streaming):
    def changed(self, items: list[FrameMasks], objects: int) -> list[FrameMasks]:
        return [items[0], items[1], *items[2:]] if len(self._truth) == 1 else items


class EvenSizes(FakeSegmenterSession):
    def masks_at(self, *asked: object) -> Candidates:
        said = super().masks_at(*asked)
        height, width = said.masks.shape[1:]
        return replace(said, masks=said.masks[:, : height // 2 * 2, : width // 2 * 2])


class Tiring(FakeSegmenterSession):
    """Trusts less for every frame that it was asked about before."""

    def masks_at(self, frame: int, *asked: object) -> Candidates:
        self.frames = {*getattr(self, "frames", ()), frame}
        said = super().masks_at(frame, *asked)
        return replace(said, predicted_iou=said.predicted_iou / np.float32(len(self.frames)))


class Numbered(FakeSegmenterSession):
    """Trusts less in every session."""

    def masks_at(self, *asked: object) -> Candidates:
        said = super().masks_at(*asked)
        return replace(said, predicted_iou=said.predicted_iou / np.float32(self.number))


class Scribbling(FakeSegmenterSession):
    def masks_at(self, frame: int, points: Points, heat: np.ndarray) -> Candidates:
        said = super().masks_at(frame, points, heat)
        points.score[:] = 0
        return said


class StillFollowing(FakeSegmenterSession):
    """Answers no question when it is closed, but follows masks."""

    def propagate(self, *asked: object) -> Iterator[FrameMasks]:
        closed, self.closed = self.closed, 0
        items = list(super().propagate(*asked))
        self.closed = closed
        yield from items


class CloseOnce(FakeSegmenterSession):
    def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        super().close()


class OpenAfterSuccess(FakeSegmenterSession):
    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is not None:
            self.close()


class OpenAfterError(FakeSegmenterSession):
    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is None:
            self.close()


VIOLATIONS: dict[str, Callable] = {
    "test_it_describes_itself": Silent,
    "test_every_candidate_gets_a_mask": lambda: Segmenter(OnePerPoint),
    "test_trust_is_a_share": lambda: Segmenter(Overconfident),
    "test_no_points_give_no_masks": lambda: Segmenter(NeedsPoints),
    "test_every_asked_frame_comes_once": lambda: Segmenter(Skipping),
    "test_forwards_then_backwards": lambda: Segmenter(Ascending),
    "test_followed_masks_have_the_clips_size": lambda: Segmenter(Merging),
    "test_objects_keep_their_order": lambda: Segmenter(Crossing),
    "test_logits_are_finite_half_floats": lambda: Segmenter(Wide),
    "test_prompts_together_come_as_one_by_one": lambda: Segmenter(Forgetful),
    "test_overlaps_are_those_of_the_core": lambda: Segmenter(Generous),
    "test_a_clip_of_one_frame_is_segmented": lambda: Segmenter(NeedsTwoFrames),
    "test_odd_sizes_are_segmented": lambda: Segmenter(EvenSizes),
    "test_questions_do_not_change_each_other": lambda: Segmenter(Tiring),
    "test_input_is_unchanged": lambda: Segmenter(Scribbling),
    "test_same_input_gives_same_output": lambda: Segmenter(Numbered),
    "test_closing_twice_is_fine": lambda: Segmenter(CloseOnce),
    "test_a_closed_session_refuses": lambda: Segmenter(OpenAfterSuccess),
    "test_an_error_closes_the_session": lambda: Segmenter(OpenAfterError),
}


def test_every_rule_has_a_violation(own_rules: Callable) -> None:
    assert set(VIOLATIONS) == own_rules(SegmenterConformance)


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_a_violation_fails_its_rule_alone(rule: str, broken: Callable, make_case: Callable) -> None:
    assert set(broken(make_case(SegmenterConformance, VIOLATIONS[rule]))) == {rule}


def test_a_closed_session_that_still_follows_masks_is_noticed(broken: Callable, make_case: Callable) -> None:
    assert set(broken(make_case(SegmenterConformance, lambda: Segmenter(StillFollowing)))) == {"test_a_closed_session_refuses"}
