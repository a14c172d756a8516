"""Samplers for long clips: every, windows, scenes."""

from __future__ import annotations

from itertools import islice, pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gazecut.clip import ArrayClip
from gazecut.errors import ClipError
from gazecut.world import render
from gazecut_plugins.config import EveryOptions, ScenesOptions, WindowsOptions
from gazecut_plugins.every import EverySampler
from gazecut_plugins.scenes import ScenesSampler
from gazecut_plugins.windows import WindowsSampler


@given(
    length=st.integers(1, 3000),
    fps=st.sampled_from([5.0, 23.976, 24.0, 25.0, 29.97, 60.0]),
    seconds=st.sampled_from([0.01, 0.2, 0.5, 1.0, 7.3]),
)
def test_every_takes_the_frame_that_shows_at_each_moment(length: int, fps: float, seconds: float) -> None:
    indices = EverySampler(EveryOptions(seconds=seconds, most=None)).sample(SimpleNamespace(length=length, fps=fps))
    moments = np.arange(0, (length - 1) / fps + 0.001 / fps, seconds)  # a thousandth of a frame is no difference
    shown = sorted({min(length - 1, int(moment * fps + 0.001)) for moment in moments})
    assert indices.dtype == np.int64
    assert indices.tolist() == shown


def test_every_goes_by_the_clips_own_clock() -> None:
    clip = SimpleNamespace(length=5, fps=2.0, times=np.array([0.0, 0.1, 1.05, 1.1, 3.0]))
    assert EverySampler(EveryOptions(seconds=1.0)).sample(clip).tolist() == [0, 1, 3, 4]


def test_every_takes_no_more_memory_where_moments_are_denser_than_frames() -> None:
    clip = SimpleNamespace(length=100, fps=10.0)
    assert EverySampler(EveryOptions(seconds=1e-9, most=None)).sample(clip).tolist() == list(range(100))


@pytest.mark.parametrize(("most", "count"), [(64, 64), (5, 5), (None, 1000), (1000, 1000), (999, 999)])
def test_every_gives_no_more_than_the_most(most: int | None, count: int) -> None:
    indices = EverySampler(EveryOptions(seconds=1.0, most=most)).sample(SimpleNamespace(length=24_000, fps=24.0))
    assert len(indices) == count
    assert indices[0] == 0
    assert (np.diff(indices) > 0).all()


@pytest.mark.parametrize(
    ("options", "windows"),
    [
        ({}, [range(64), range(48, 112), range(96, 160)]),
        ({"length": 10, "overlap": 0}, [range(10), range(10, 20), range(20, 30)]),
        ({"length": 2.0, "overlap": 0.5, "unit": "seconds"}, [range(50), range(38, 88), range(76, 126)]),
        ({"length": 0.01, "overlap": 0.0, "unit": "seconds"}, [range(1), range(1, 2), range(2, 3)]),
        ({"length": 0.04, "overlap": 0.039, "unit": "seconds"}, [range(1), range(1, 2), range(2, 3)]),
    ],
)
def test_windows_overlap_in_frames_or_seconds(options: dict, windows: list[range]) -> None:
    sampler = WindowsSampler(WindowsOptions(**options))
    assert list(islice(sampler.windows(None, 25.0), 3)) == windows


def test_windows_spread_frames_over_each() -> None:
    sampler = WindowsSampler(WindowsOptions(frames=4))
    assert sampler.sample(SimpleNamespace(length=64)).tolist() == [0, 21, 42, 63]
    assert sampler.sample(SimpleNamespace(length=3)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "make", "message"),
    [
        ({"length": 16, "overlap": 16}, WindowsOptions, "overlap 16 is not less than length 16: no window would come after the first"),
        ({"length": 20.5}, WindowsOptions, "length and overlap are whole numbers where they count frames"),
        ({"longest": 16}, ScenesOptions, "overlap 16 is not less than longest 16: no window would come after the first"),
    ],
)
def test_windows_that_would_not_move_on_are_refused(options: dict, make: type, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make(**options)


@pytest.fixture(scope="module")
def film() -> tuple[ArrayClip, list[int]]:
    """Scenes of the pocket world, one after the other, and where they begin."""
    scenes = [render(seed, frames=length, size=64).frames for seed, length in ((90001, 40), (90002, 100), (90003, 30))]
    return ArrayClip(np.concatenate(scenes), fps=24.0), [40, 140]


def test_scenes_begin_and_end_at_cuts_and_long_ones_are_several_windows(film: tuple[ArrayClip, list[int]]) -> None:
    clip, cuts = film
    windows = list(ScenesSampler(ScenesOptions()).windows(clip, clip.fps))
    assert windows == [range(40), range(40, 104), range(88, 140), range(140, 170)]
    assert all(not window.start < cut < window.stop for window in windows for cut in cuts)


def test_scenes_of_a_clip_without_cuts_are_one() -> None:
    frames = render(90004, frames=50, size=64).frames
    assert list(ScenesSampler(ScenesOptions()).windows(ArrayClip(frames), 24.0)) == [range(50)]
    assert list(ScenesSampler(ScenesOptions()).windows(ArrayClip(frames[:1]), 24.0)) == [range(1)]


def test_a_scene_has_a_least_length() -> None:
    flicker = np.zeros((60, 32, 32, 3), np.uint8)
    flicker[20:] = (200, 40, 40)
    flicker[26:] = (30, 40, 220)
    flicker[45:] = (30, 200, 20)
    windows = list(ScenesSampler(ScenesOptions()).windows(ArrayClip(flicker), 24.0))
    assert windows == [range(20), range(20, 45), range(45, 60)]


@given(cuts=st.lists(st.integers(13, 60), max_size=4), longest=st.integers(2, 30), overlap=st.integers(0, 29))
@settings(max_examples=25)
def test_scenes_cover_the_clip_whatever_is_cut(cuts: list[int], longest: int, overlap: int) -> None:
    lengths = [*cuts, 20]
    colours = [((37 * number) % 256, (91 * number + 80) % 256, (200 * number) % 256) for number in range(len(lengths))]
    frames = np.concatenate([np.full((length, 8, 8, 3), colour, np.uint8) for length, colour in zip(lengths, colours, strict=True)])
    sampler = ScenesSampler(ScenesOptions(longest=longest, overlap=min(overlap, longest - 1)))
    windows = list(sampler.windows(ArrayClip(frames), 24.0))
    assert windows[0].start == 0
    assert windows[-1].stop == len(frames)
    assert all(len(window) <= longest for window in windows)
    for before, after in pairwise(windows):
        assert before.start < after.start <= before.stop < after.stop


def test_scenes_of_a_stream_are_not_known() -> None:
    with pytest.raises(ClipError, match=r'sampler "scenes" must see the whole clip .* take sampler "windows", or save the stream'):
        list(ScenesSampler(ScenesOptions()).windows(None, 24.0))
