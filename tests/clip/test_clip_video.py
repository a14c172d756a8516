"""Video files: frame-exact whatever the codec, upright, and honest about damage."""

from __future__ import annotations

import io
import itertools
import re
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from gazecut.clip import open_clip, scan, video
from gazecut.clip.video import VideoClip
from gazecut.errors import ClipError
from gazecut.protocols import Clip

KINDS = {
    "h264.mp4": {"options": {"g": "12"}},
    "h264.mkv": {"options": {"g": "12", "bf": "3"}},
    "open-gop.mp4": {"options": {"x264-params": "keyint=12:open-gop=1:bframes=3:b-adapt=0"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "10", "deadline": "realtime", "cpu-used": "8"}},
    "hidden-frames.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good", "cpu-used": "5"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2", "g": "10"}},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2", "g": "10"}},
}


@pytest.mark.parametrize("name", KINDS)
def test_any_choice_of_frames_equals_decoding_everything(name, write_video, moving_bar):
    clip = open_clip(write_video(name, moving_bar(60), **KINDS[name]))
    everything = list(clip.frames())
    assert isinstance(clip, Clip)
    assert (clip.length, clip.fps, clip.size, clip.name) == (60, 25.0, (48, 64), name)
    assert len(everything) == 60
    choices = [[0], [59], [0, 59], [5, 6, 40, 41], [11, 12, 13, 23, 24, 25], list(range(30, 60)), list(range(0, 60, 7))]
    for choice in choices:
        for number, frame in zip(choice, clip.frames(choice), strict=True):
            assert np.array_equal(frame, everything[number]), (choice, number)


def test_frames_are_the_ones_that_were_written(write_video, moving_bar):
    written = moving_bar(30, 47, 63)  # odd sizes too
    clip = open_clip(write_video("lossless.mkv", written, codec="ffv1", pix_fmt="bgr0"))
    assert clip.size == (47, 63)
    assert np.array_equal(np.stack(list(clip.frames())), written)


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_rotated_videos_come_upright(rotation, turns, write_video, moving_bar):
    written = moving_bar(4)
    flat = list(open_clip(write_video("flat.mp4", written)).frames())
    clip = open_clip(write_video("turned.mp4", written, rotation=rotation))
    upright = next(clip.frames())
    assert upright.shape[:2] == clip.size == ((64, 48) if turns % 2 else (48, 64))
    assert np.array_equal(upright, np.rot90(flat[0], turns))


def test_frames_are_decoded_as_they_are_taken(write_video, moving_bar, monkeypatch):
    clip = open_clip(write_video("long.mp4", moving_bar(120), options={"g": "12", "threads": "1"}))
    takes = []
    monkeypatch.setattr(video._Reader, "_take", lambda self, take=video._Reader._take: takes.append(1) or take(self))
    frames = clip.frames()
    assert takes == []
    list(itertools.islice(frames, 3))
    assert len(takes) == 3
    takes.clear()
    list(clip.frames([0, 100, 101]))
    assert len(takes) < 3 + 2 * 12, "far frames are reached by a jump to a key frame"


def test_a_jump_that_misses_starts_again(write_video, moving_bar, monkeypatch):
    clip = open_clip(write_video("gop.mp4", moving_bar(60), options={"g": "12"}))
    everything = list(clip.frames())
    late = tuple((number, stamp + 1) for number, stamp in clip._index.keys)  # stamps that no frame has
    reader = video._Reader(clip._path, replace(clip._index, keys=late))
    assert np.array_equal(reader.read(50).to_ndarray(format="rgb24"), everything[50])
    reader.close()


def test_streams_without_usable_time_stamps_are_never_jumped_in():
    assert scan.ascending([0, None, 2]) == []
    assert scan.ascending([0, 2, 1]) == []
    assert scan.ascending([0, 1, 2]) == [0, 1, 2]


def test_a_cover_picture_is_no_video(tmp_path, moving_bar):
    cover = io.BytesIO()
    Image.fromarray(moving_bar(1)[0]).save(cover, "JPEG")
    with av.open(str(tmp_path / "song.mka"), "w", format="matroska") as container:
        container.add_attachment("cover.jpg", "image/jpeg", cover.getvalue())
        _add_second_of_silence(container)
    with av.open(str(tmp_path / "song.mka")) as container:
        assert len(container.streams.video) == 1
    with pytest.raises(ClipError, match="holds no video, found audio and video"):
        open_clip(tmp_path / "song.mka")


def _add_second_of_silence(container: av.container.OutputContainer) -> None:
    stream = container.add_stream("aac", rate=16000, layout="mono")
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
    frame.rate, frame.pts = 16000, 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode())


def test_audio_only(tmp_path):
    with av.open(str(tmp_path / "voice.m4a"), "w") as container:
        _add_second_of_silence(container)
    with pytest.raises(ClipError, match=r'voice\.m4a" holds no video, found audio; wanted a video file or a folder of images'):
        open_clip(tmp_path / "voice.m4a")


def test_text_is_no_video(tmp_path):
    (tmp_path / "notes.nfo").write_text("plain words\n" * 50)
    with pytest.raises(ClipError, match="holds no video, found text"):
        open_clip(tmp_path / "notes.nfo")


def test_a_video_stream_without_frames(tmp_path):
    with av.open(str(tmp_path / "none.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        container.start_encoding()
    with pytest.raises(ClipError, match="holds a video stream without frames; wanted at least one"):
        open_clip(tmp_path / "none.avi")


def test_a_change_of_size(tmp_path, write_video, moving_bar):
    small, large = (write_video(f"{width}.h264", moving_bar(12, 48, width)).read_bytes() for width in (64, 96))
    path = tmp_path / "both.h264"
    path.write_bytes(small + large)
    with pytest.raises(ClipError, match=r"changes its size at frame \d+, from 64x48 to 96x48; wanted one size"):
        open_clip(path)


def test_a_file_that_changes_after_opening(write_video, moving_bar):
    clip = VideoClip(write_video("clip.mp4", moving_bar(60)))
    write_video("clip.mp4", moving_bar(20))
    with pytest.raises(ClipError, match=r'cannot decode frame \d+ of ".*clip\.mp4" any more; the file changed'):
        list(clip.frames())


def test_indices_are_checked_before_anything_is_decoded(write_video, moving_bar):
    clip = open_clip(write_video("clip.mp4", moving_bar(10)))
    for indices, message in [
        ([3, 10], "has no frame 10; it has 10, from 0 to 9"),
        ([-1], "has no frame -1"),
        ([4, 4], "frame 4 was asked for after frame 4"),
        ([5, 2], "frame 2 was asked for after frame 5"),
    ]:
        with pytest.raises(ClipError, match=re.escape(message)):
            clip.frames(indices)
    assert list(clip.frames([])) == []


def test_real_video_equals_its_frames(shared, write_video):
    folder = open_clip(shared("data/davis_mini/valid/JPEGImages/dogs-jump"))
    frames = np.stack(list(folder.frames(range(12))))
    clip = open_clip(write_video("dogs.mp4", frames, fps=24, options={"crf": "12"}))
    for frame, truth in zip(clip.frames([0, 5, 11]), frames[[0, 5, 11]], strict=True):
        assert np.abs(frame.astype(int) - truth).mean() < 4


@pytest.mark.parametrize("name", ["16:9 %03d clip.mp4", "http:clip.mp4", "-i.mp4", "wide clip \u00e9\u4e2d.mp4"])
def test_names_are_names_and_no_commands(name, write_video, moving_bar, monkeypatch):
    path = write_video("clip.mp4", moving_bar(3))
    path.rename(path.with_name(name))
    monkeypatch.chdir(path.parent)
    assert open_clip(name).length == 3


def test_paths_may_be_text(write_video, moving_bar):
    path = write_video("clip.mp4", moving_bar(3))
    assert open_clip(str(path)).length == open_clip(Path(path)).length == 3
