"""Any choice of frames, in any kind of file, gives the same pixels as reading everything."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gazecut.clip import open_clip

FRAMES = 48
KINDS = {
    "plain.mp4": ("libx264", {"g": "12"}),
    "b-frames.mkv": ("libx264", {"g": "16", "bf": "3"}),
    "open-gop.mp4": ("libx264", {"x264-params": "keyint=12:open-gop=1:bframes=3:b-adapt=0"}),
    "refresh.mp4": ("libx264", {"x264-params": "keyint=12:intra-refresh=1"}),
    "transport.ts": ("libx264", {"g": "12", "bf": "2"}),
    "bare.h264": ("libx264", {"g": "12", "bf": "2"}),
    "open-gop.mkv": ("libx265", {"x265-params": "log-level=none:keyint=12:min-keyint=12:open-gop=1:bframes=3"}),
    "hidden.webm": ("libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good", "cpu-used": "5", "g": "12"}),
    "vp9.webm": ("libvpx-vp9", {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good", "cpu-used": "5", "g": "12"}),
    "packed.avi": ("mpeg4", {"bf": "2", "g": "12"}),
    "program.mpg": ("mpeg2video", {"bf": "2", "g": "12"}),
    "lossless.mkv": ("ffv1", {"g": "12"}),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory, moving_bar) -> dict[str, tuple[Path, list[np.ndarray]]]:
    folder, images = tmp_path_factory.mktemp("kinds"), moving_bar(FRAMES, 64, 96)
    found = {}
    for name, (codec, options) in KINDS.items():
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=25, options=options)
            stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
            for image in images:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        found[name] = folder / name, list(open_clip(folder / name).frames())
    return found


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(chosen=st.sets(st.integers(0, FRAMES - 1)))
def test_a_choice_of_frames_equals_those_of_all(name, chosen, files):
    path, everything = files[name]
    clip = open_clip(path)
    assert clip.length == len(everything) == FRAMES
    for number, frame in zip(sorted(chosen), clip.frames(sorted(chosen)), strict=True):
        assert np.array_equal(frame, everything[number])


@pytest.mark.parametrize("name", KINDS)
def test_passes_side_by_side_do_not_disturb_each_other(name, files):
    path, everything = files[name]
    clip = open_clip(path)
    for number, (first, second) in enumerate(itertools.islice(zip(clip.frames(range(20, 40)), clip.frames(), strict=False), 8)):
        assert np.array_equal(first, everything[20 + number])
        assert np.array_equal(second, everything[number])
