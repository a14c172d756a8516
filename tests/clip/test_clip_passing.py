"""Clips that pass: what cannot be asked of them is refused, and costs no frame."""

from __future__ import annotations

import errno

import numpy as np
import pytest

from gazecut.clip import open_clip
from gazecut.clip.live import RawVideo
from gazecut.clip.passing import PassingClip
from gazecut.errors import ClipError


@pytest.fixture
def stream() -> PassingClip:
    return PassingClip(iter(np.arange(5 * 12, dtype=np.uint8).reshape(5, 2, 2, 3)), fps=10.0)


def test_frames_pass_once_and_in_order(stream: PassingClip) -> None:
    assert [int(frame[0, 0, 0]) for frame in stream.frames()] == [0, 12, 24, 36, 48]
    assert stream.length == 5
    with pytest.raises(ClipError, match='clip "stream" is a stream: its frames cannot be seen again, they pass once'):
        stream.frames()


@pytest.mark.parametrize("indices", [[0], []])
def test_asking_for_single_frames_takes_none_away(stream: PassingClip, indices: list[int]) -> None:
    with pytest.raises(ClipError, match="its frames cannot be seen one by one"):
        stream.frames(indices)
    assert len(list(stream.frames())) == 5


@pytest.mark.parametrize("part", [{"start": "0.1"}, {"end": 0.3}, {"every": 2}])
def test_it_has_no_parts(stream: PassingClip, part: dict) -> None:
    with pytest.raises(ClipError, match='clip "stream" is a stream, of which no part can be taken; cut it before, or save it to a file'):
        open_clip(stream, **part)
    assert len(list(stream.frames())) == 5


class Pulled:
    """A pipe whose other end goes away after two frames."""

    def __init__(self) -> None:
        self.content = [bytes(range(12)), bytes(12)]

    def read(self, size: int) -> bytes:
        if not self.content:
            raise OSError(errno.EIO, "Input/output error")
        return self.content.pop(0)


def test_a_pipe_of_bare_frames_that_breaks_leaves_what_came() -> None:
    video = RawVideo(Pulled(), "2x2@10")  # type: ignore[arg-type]
    assert len(list(PassingClip(video, video.fps).frames())) == 2
    assert video.broken == "standard input broke off after 2 frames: Input/output error"


def test_a_pipe_of_bare_frames_that_is_broken_from_the_start_is_refused() -> None:
    pipe = Pulled()
    pipe.content = []
    with pytest.raises(ClipError, match=r"standard input: Input/output error\. Pipe a video in"):
        PassingClip(RawVideo(pipe, "2x2@10"))  # type: ignore[arg-type]
