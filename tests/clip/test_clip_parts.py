"""Parts of clips: moments in seconds or frames, each n-th frame, and what cannot be asked for."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from itertools import chain, pairwise

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gazecut.clip import ArrayClip, PartClip, check_part, frame_times, open_clip, video
from gazecut.errors import ClipError
from gazecut.protocols import Clip


def numbered(count: int, fps: float = 10.0) -> ArrayClip:
    """A clip whose pixels are the number of their frame."""
    return ArrayClip(np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 2, 2, 3)), fps=fps, name="numbered")


def numbers(clip: Clip) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in clip.frames()]


@pytest.mark.parametrize(
    ("start", "end", "every", "expected"),
    [
        (1, 2, 1, range(10, 20)),
        (1.0, "2", 3, range(10, 20, 3)),
        ("0:01.5", "00:00:02", 1, range(15, 20)),
        ("12f", "15f", 1, range(12, 15)),
        ("12f", 1.5, 2, range(12, 15, 2)),
        (None, 0.3, 1, range(3)),
        (2.7, None, 1, range(27, 30)),
        (None, None, 7, range(0, 30, 7)),
        (0, 1000, 1, range(30)),
        (0.05, 0.15, 1, range(1, 2)),  # frames at 0.1 s
        (np.float32(1), np.int64(2), np.int64(5), range(10, 20, 5)),
        (Fraction(1, 3), Fraction(2, 3), 1, range(4, 7)),
        (0, "1f", 100, range(1)),
    ],
)
def test_a_part_is_half_open_and_thinned(start, end, every, expected):
    clip = open_clip(numbered(30), start=start, end=end, every=every)
    assert isinstance(clip, Clip)
    assert isinstance(clip, PartClip)
    assert numbers(clip) == list(expected)
    assert (clip.length, clip.fps, clip.size, clip.name) == (len(expected), 10 / every, (2, 2), "numbered")
    assert clip.part.frames == expected
    assert (clip.part.start, clip.part.end, clip.part.every, clip.part.source_length) == (start, end, every, 30)
    np.testing.assert_allclose(clip.times, (np.array(expected) - expected[0]) / 10)


def test_parts_side_by_side_make_the_whole():
    clip = numbered(30, fps=30000 / 1001)
    cuts = [0, 0.1, 1 / 3, 0.5, 0.7007, "0:00.9", None]
    pieces = [numbers(open_clip(clip, start=start, end=end)) for start, end in pairwise(cuts)]
    assert list(chain.from_iterable(pieces)) == list(range(30))


def test_no_part_is_the_clip_itself():
    clip = numbered(3)
    assert open_clip(clip, start=None, end=None, every=1) is clip


def test_a_part_of_a_part_names_frames_of_the_source():
    clip = open_clip(open_clip(numbered(30), start="5f", every=2), start="2f", end="8f", every=3)
    assert numbers(clip) == [9, 15]
    assert (clip.part.frames, clip.part.source_length) == (range(9, 21, 6), 30)


@given(st.integers(1, 40), st.data())
def test_any_frames_of_a_part_are_those_of_the_source(length, data):
    whole = numbered(length)
    first = data.draw(st.integers(0, length - 1))
    stop = data.draw(st.integers(first + 1, length + 5))
    every = data.draw(st.integers(1, 10))
    clip = open_clip(whole, start=f"{first}f", end=f"{stop}f", every=every)
    expected = list(range(length))[first:stop:every]
    assert numbers(clip) == expected
    chosen = sorted(data.draw(st.sets(st.integers(0, clip.length - 1))))
    assert [int(frame[0, 0, 0]) for frame in clip.frames(chosen)] == [expected[number] for number in chosen]


def test_a_part_is_recorded_in_plain_values():
    clip = open_clip(numbered(30), start=np.float32(0.5), end="0:02", every=np.int64(4))
    expected = {"start": 0.5, "end": "0:02", "every": 4, "first_frame": 5, "last_frame": 17, "source_frames": 30}
    assert json.loads(json.dumps(clip.part.record())) == expected
    assert open_clip(numbered(30), every=2).part.record()["start"] is None


def test_frames_of_a_part_are_checked():
    clip = open_clip(numbered(30), start="10f", end="20f")
    with pytest.raises(ClipError, match=r'clip "numbered" has no frame 10; it has 10, from 0 to 9\.'):
        clip.frames([10])


@pytest.mark.parametrize(
    "moment", ["", " 1", "1:", ":1", "1:75", "1:00:75", "1:75:00", "1:2:3:4", "-1", "1e3", "f", "2.5f", "١", "nan", "9" * 5000]
)
def test_texts_that_are_no_moment(moment):
    expected = (
        f'start "{moment}" is no moment of a clip; wanted seconds from its first frame (12.5), '
        "with minutes and hours before them (1:02.5, 0:01:02.5), or a frame's number (240f)."
    )
    with pytest.raises(ClipError, match=f"^{re.escape(expected)}$"):
        open_clip(numbered(3), start=moment)
    with pytest.raises(ClipError, match=r"^end "):
        check_part(None, moment, 1)


@pytest.mark.parametrize("moment", [-1, -0.5, float("nan"), float("inf"), True, b"1", [1]])
def test_numbers_and_things_that_are_no_moment(moment):
    with pytest.raises(ClipError, match=f"end {re.escape(chr(34) + str(moment) + chr(34))} is no moment of a clip; wanted seconds"):
        open_clip(numbered(3), end=moment)


@pytest.mark.parametrize("every", [0, -2, 1.5, "2", True, None])
def test_every_is_a_count(every):
    with pytest.raises(ClipError, match=f'every is "{every}"; wanted an integer of at least 1: 1 keeps all frames, 2 every second one.'):
        open_clip(numbered(3), every=every)


def test_what_is_asked_is_checked_before_the_source_is_opened(tmp_path):
    with pytest.raises(ClipError, match="no moment of a clip"):
        open_clip(tmp_path / "missing.mp4", start="soon")


def test_parts_without_frames():
    clip = numbered(30)
    for start, shown in ((3, '"3"'), ("30f", '"30f"'), ("1:00:00", '"1:00:00"')):
        expected = f'the part of clip "numbered" starts at {shown}, but it has 30 frames, the last at 2.900 s. Start earlier.'
        with pytest.raises(ClipError, match=f"^{re.escape(expected)}$"):
            open_clip(clip, start=start)
    for start, end, shown in ((2, 1, '"2" to "1"'), (None, "0f", 'its beginning to "0f"'), (1.02, 1.05, '"1.02" to "1.05"')):
        expected = (
            f'the part of clip "numbered" from {shown} has no frames; wanted an end after the start, and a frame between them; '
            "it has 30 frames, the last at 2.900 s."
        )
        with pytest.raises(ClipError, match=f"^{re.escape(expected)}$"):
            open_clip(clip, start=start, end=end)


def test_a_part_of_a_video_follows_its_own_clock(tmp_path, moving_bar):
    stamps = [0, 1, 2, 3, 20, 21, 22, 40, 41, 42]  # tenths of a second
    path = tmp_path / "uneven.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "3"})
        stream.height, stream.width = 48, 64
        stream.codec_context.time_base = Fraction(1, 10)
        for stamp, image in zip(stamps, moving_bar(10), strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    clip = open_clip(path)
    np.testing.assert_allclose(clip.times, np.array(stamps) / 10)
    assert clip.fps == pytest.approx(9 / 4.2)
    part = open_clip(path, start=2, end=4.05)
    assert part.part.frames == range(4, 8)
    np.testing.assert_allclose(frame_times(part), [0, 0.1, 0.2, 2.0])
    everything = list(clip.frames())
    for frame, truth in zip(part.frames(), everything[4:8], strict=True):
        assert np.array_equal(frame, truth)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
@pytest.mark.parametrize("fps", [24, 25, 30, 60, Fraction(30000, 1001)])
def test_moments_meet_frames_whatever_the_container_rounds(name, fps, write_video, moving_bar):
    path = write_video(name, moving_bar(40), fps=fps)
    for number in range(40):
        assert open_clip(path, start=float(number / fps)).part.frames.start == number
        assert open_clip(path, start=round(float(number / fps), 3)).part.frames.start == number


def test_a_part_far_inside_is_reached_by_a_jump(write_video, moving_bar, monkeypatch):
    path = write_video("long.mp4", moving_bar(200), options={"g": "10"})
    clip = open_clip(path, start="150f", end="155f")
    takes = []
    monkeypatch.setattr(video._Reader, "_take", lambda self, take=video._Reader._take: takes.append(1) or take(self))
    assert len(list(clip.frames())) == 5
    assert len(takes) <= 15


def test_parts_of_folders_and_iterators(tmp_path, moving_bar):
    frames = moving_bar(6)
    assert np.array_equal(np.stack(list(open_clip(iter(frames), start="2f", every=2).frames())), frames[[2, 4]])
    assert open_clip(list(frames), end=0.1).length == 3  # 24 frames per second are assumed
