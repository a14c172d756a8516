"""Windows of a clip: where they lie, which frames are whose, and that each frame is taken once and held briefly."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gazecut.clip import ArrayClip
from gazecut.clip.passing import PassingClip
from gazecut.errors import ClipError, ShapeError
from gazecut.optional import WindowSampler
from gazecut.protocols import Clip
from gazecut.values import MaskTrack
from gazecut.windows import HeldClip, Reel, even_windows, windows_of


def images(length: int) -> np.ndarray:
    """Frames that tell their own number."""
    return np.arange(length, dtype=np.uint8)[:, None, None, None] + np.zeros((length, 4, 6, 3), np.uint8)


def numbers(frames: Iterator[np.ndarray]) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in frames]


class Given:
    """A sampler with the windows that it is given."""

    def __init__(self, *windows: range) -> None:
        self._windows = windows

    def sample(self, clip: Clip) -> np.ndarray:
        return np.arange(clip.length)

    def windows(self, clip: Clip | None, fps: float) -> Iterator[range]:
        return iter(self._windows)


@given(length=st.integers(1, 200), window=st.integers(1, 40), overlap=st.integers(0, 39), stream=st.booleans())
@settings(max_examples=80)
def test_own_frames_are_the_clip_and_seams_lie_in_the_middle(length: int, window: int, overlap: int, stream: bool) -> None:
    overlap = min(overlap, window - 1)
    frames = images(length)
    reel = Reel(PassingClip(iter(frames)) if stream else ArrayClip(frames))
    spans = []
    for span in reel.spans(even_windows(window, overlap)):
        assert numbers(reel.window(span).frames()) == list(span.frames)
        held = reel.stretch(span)
        assert numbers(held.frames(span.own)) == list(span.own)
        assert held.length == span.own.stop
        spans.append(span)
    assert [frame for span in spans for frame in span.own] == list(range(length))
    assert all(span.own.start >= span.frames.start and span.own.stop <= span.frames.stop for span in spans)
    for before, after in pairwise(spans):
        assert before.own.stop == (after.frames.start + before.frames.stop) // 2
        assert len(before.frames) == window
        assert after.frames.stop > before.frames.stop  # every window gives a new frame


@given(length=st.integers(1, 300), window=st.integers(1, 40), overlap=st.integers(0, 39))
@settings(max_examples=60)
def test_windows_of_a_clip_are_those_that_it_is_walked_in(length: int, window: int, overlap: int) -> None:
    sampler = Given(*islice(even_windows(window, min(overlap, window - 1)), length + 1))
    assert isinstance(sampler, WindowSampler)
    clip = ArrayClip(images(length))
    listed = list(windows_of(sampler, clip, 24.0))
    assert len(listed) == len(list(Reel(clip).spans(iter(listed))))


def test_a_sampler_without_windows_gets_even_ones() -> None:
    class Plain:
        def sample(self, clip: Clip) -> np.ndarray:
            return np.arange(clip.length)

    assert list(islice(windows_of(Plain(), None, 24.0), 3)) == [range(64), range(48, 112), range(96, 160)]


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ([range(1, 9)], "frames 1 to 8; wanted one from frame 0 on"),
        ([range(8), range(9, 20)], "frames 9 to 19; wanted one that begins in 1 to 8 and ends after 8"),
        ([range(8), range(8)], "wanted one that begins in 1 to 8"),
        ([range(8), range(9)], "wanted one that begins in 1 to 8"),
        ([range(0, 8, 2)], "wanted one from frame 0 on"),
        ([range(0)], "wanted one from frame 0 on"),
        ([range(8)], "windows end with frame 7, but the clip goes on"),
        ([], "windows end with frame 0, but the clip goes on"),
    ],
)
def test_windows_that_leave_frames_out_are_refused(windows: list[range], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        list(windows_of(Given(*windows), ArrayClip(images(30)), 24.0))


@pytest.mark.parametrize("stream", [False, True])
def test_frames_are_taken_once_and_never_more_than_a_window_and_one_ahead(stream: bool) -> None:
    taken: list[int] = []

    class Watched(ArrayClip):
        def frames(self, indices: object = None) -> Iterator[np.ndarray]:
            for number, frame in enumerate(super().frames(indices)):
                taken.append(number)
                yield frame

    source = Watched(images(100))
    reel = Reel(PassingClip(source.frames()) if stream else source)
    for span in reel.spans(even_windows(20, 5)):
        assert len(taken) <= span.frames.stop + 1
        assert len(reel._held) <= 21
    assert taken == list(range(100))
    reel.close()
    assert not reel._held
    reel.close()


def test_only_frames_that_are_at_hand_can_be_had() -> None:
    held = HeldClip(list(images(12)[8:]), 8, "camera", 25.0)
    assert (held.length, held.size, held.fps) == (12, (4, 6), 25.0)
    assert isinstance(held, Clip)
    first = next(held.frames([8]))
    first[:] = 200
    assert numbers(held.frames([8, 11])) == [8, 11]
    for asked in (None, [3, 8]):
        with pytest.raises(ClipError, match='of clip "camera" has passed; at hand are 8 to 11'):
            held.frames(asked)
    with pytest.raises(ClipError, match="no frame 12"):
        held.frames([12])


def test_a_stream_passes_once() -> None:
    clip = PassingClip(iter(images(3)), fps=25, name="camera")
    assert isinstance(clip, Clip)
    assert (clip.length, clip.size, clip.fps) == (0, (4, 6), 25.0)
    with pytest.raises(ClipError, match='"camera" is a stream: its frames cannot be seen one by one'):
        clip.frames([0])


def test_a_stream_is_not_seen_again() -> None:
    clip = PassingClip(iter(images(3)), name="camera")
    assert numbers(clip.frames()) == [0, 1, 2]
    assert clip.length == 3
    with pytest.raises(ClipError, match=r"cannot be seen again, they pass once. Save them to a file first"):
        clip.frames()


def test_a_camera_may_use_its_memory_again() -> None:
    buffer = np.zeros((4, 6, 3), np.uint8)

    def camera() -> Iterator[np.ndarray]:
        for number in range(3):
            buffer[:] = number
            yield buffer

    assert numbers(iter(list(PassingClip(camera()).frames()))) == [0, 1, 2]


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "has no frames; the iterator ended at once"),
        ([np.zeros((4, 6, 3), np.float32)], "frame 0 has dtype float32; wanted frames"),
        ([np.zeros((4, 6), np.uint8)], r"frame 0 has shape \(4, 6\)"),
        ("film.mp4", "cannot stream from str; wanted an iterator of frames"),
        (np.zeros((2, 4, 6, 3), np.uint8), "cannot stream from ndarray"),
        (7, "cannot stream from int"),
    ],
)
def test_what_is_no_stream_of_frames_is_refused(frames: object, message: str) -> None:
    with pytest.raises(ClipError, match=message):
        PassingClip(frames)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_a_stream_has_frames_per_second(fps: float) -> None:
    with pytest.raises(ClipError, match=r"fps is .*; wanted more than 0"):
        PassingClip(iter(images(2)), fps=fps)


@pytest.mark.parametrize(
    ("second", "message"),
    [(np.zeros((4, 7, 3), np.uint8), "frame 1 has shape .* wanted one size"), (np.zeros((4, 6, 3), bool), "frame 1 has dtype bool")],
)
def test_a_later_frame_that_is_none_is_refused_when_it_comes(second: np.ndarray, message: str) -> None:
    coming = PassingClip([images(1)[0], second]).frames()
    next(coming)
    with pytest.raises(ClipError, match=message):
        next(coming)


@given(before=st.integers(0, 5), after=st.integers(0, 5), there=st.lists(st.booleans(), max_size=6))
def test_a_placed_track_is_the_whole_one(before: int, after: int, there: list[bool]) -> None:
    masks = [np.full((2, 3), one) for one in there]
    nothing = np.zeros((2, 3), bool)
    whole = MaskTrack.from_masks([nothing] * before + masks + [nothing] * after, (2, 3))
    placed = MaskTrack.from_masks(masks, (2, 3)).placed(before, before + len(there) + after)
    assert placed == whole
    assert list(placed.codes) == list(whole.codes)
    assert placed.codes[1:-1] == whole.codes[1:-1]
    assert placed.codes[-1:] == whole.codes[-1:]
    np.testing.assert_array_equal(placed.masks(), whole.masks())
    with pytest.raises(IndexError):
        placed.codes[len(placed)]


@pytest.mark.parametrize(("start", "length"), [(-1, 4), (3, 4)])
def test_a_track_must_fit_where_it_is_placed(start: int, length: int) -> None:
    with pytest.raises(ShapeError, match="do not fit into 4"):
        MaskTrack((2, 3), (None, None)).placed(start, length)
