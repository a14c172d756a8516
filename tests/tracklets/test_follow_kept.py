"""The way over the whole clip: one prompt after another, or together where a session offers that; each frame once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from gazecut import rle
from gazecut.errors import SegmenterError
from gazecut.testing.fakes import FakeSegmenterSession
from gazecut.tracklets import KeyFrames, follow_kept
from gazecut.values import FrameMasks, HeatMaps, MaskTrack, Points, Tracklet

SIZE, LENGTH = (6, 9), 7
KEY = KeyFrames(np.array([1, 4]), HeatMaps(np.zeros((2, 3, 3), np.float32)), Points.single_clicks(np.zeros((0, 4))))


def mask_of(column: int) -> np.ndarray:
    """One column of the frame."""
    mask = np.zeros(SIZE, bool)
    mask[:, column % SIZE[1]] = True
    return mask


def tracklet(prompt_frame: int, column: int) -> Tracklet:
    """A column that stays where it is on both key frames."""
    track = MaskTrack(SIZE, (rle.encode(mask_of(column)),) * 2)
    return Tracklet(prompt_frame, np.zeros((1, 2)), 0.5, 0.5, track, np.zeros((2, 3, 3), np.float16))


class OneByOne(FakeSegmenterSession):
    """Columns move to the right, one a frame."""

    def __init__(self, order: Sequence[int] = range(LENGTH)) -> None:
        super().__init__(np.zeros((LENGTH, *SIZE), bool))
        self.order, self.asked = order, []

    def propagate(self, frame: int, masks: np.ndarray, *_: object) -> Iterator[FrameMasks]:
        self.asked.append((frame, len(masks)))
        for index in self.order:
            yield FrameMasks(index, np.roll(masks, index - frame, axis=2))


class Together(OneByOne):
    """The same for all prompts at once, frame by frame."""

    sweeps = 0

    def propagate_together(self, prompts: Sequence[tuple[int, np.ndarray]], *_: object) -> Iterator[tuple[int, FrameMasks]]:
        self.sweeps += 1
        ways = [self.propagate(*prompt) for prompt in prompts]
        for items in zip(*ways, strict=True):
            yield from reversed(list(enumerate(items)))


KEPT = [tracklet(1, 0), tracklet(0, 3), tracklet(1, 5)]


@pytest.mark.parametrize("session", [OneByOne(), Together()], ids=lambda session: type(session).__name__)
def test_each_group_starts_from_its_own_key_frame(session: OneByOne) -> None:
    tracks = follow_kept(session, KEPT, KEY, LENGTH)
    assert session.asked == [(1, 1), (4, 2)], "grouped by key frame, ascending"
    for track, (start, column) in zip(tracks, [(4, 0), (1, 3), (4, 5)], strict=True):
        np.testing.assert_array_equal(track.masks(), np.stack([mask_of(column + frame - start) for frame in range(LENGTH)]))


def test_all_groups_go_through_the_clip_at_once_where_the_session_offers_that() -> None:
    session = Together()
    follow_kept(session, KEPT, KEY, LENGTH)
    assert session.sweeps == 1


@pytest.mark.parametrize("kind", [OneByOne, Together])
@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([0, 1, 1, 2, 3, 4, 5, 6], "the segmenter gave frame 1 twice; each asked frame must come once"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "the segmenter gave frame 7 unasked; each asked frame must come once"),
        ([0, 1, 4, 5, 6], r"the segmenter gave no masks for frames \[2, 3\]; each asked frame must come once"),
    ],
)
def test_frames_that_do_not_come_once_are_refused(kind: type[OneByOne], order: list[int], message: str) -> None:
    with pytest.raises(SegmenterError, match=message):
        follow_kept(kind(order), KEPT, KEY, LENGTH)


class Merging(OneByOne):
    """Takes all prompts for one."""

    def propagate(self, frame: int, masks: np.ndarray, *asked: object) -> Iterator[FrameMasks]:
        return super().propagate(frame, masks.any(axis=0, keepdims=True), *asked)


def test_another_number_of_objects_is_refused() -> None:
    with pytest.raises(SegmenterError, match="the segmenter gave 1 mask on frame 0 for 2 objects; each object must have one"):
        follow_kept(Merging(), KEPT, KEY, LENGTH)


def test_nothing_kept_asks_for_nothing() -> None:
    session = Together()
    assert follow_kept(session, [], KEY, LENGTH) == ()
    assert session.asked == []
