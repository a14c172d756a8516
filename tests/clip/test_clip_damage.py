"""Damaged, truncated and lying video files: refused with what to do, never a shorter clip or other frames without a word."""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from gazecut.clip import open_clip, scan, stream, video
from gazecut.clip.extent import promised_bytes
from gazecut.errors import ClipError

CURE = "Check that it plays; if it does, write it anew: ffmpeg -i IN OUT.mp4"
VP9 = {"codec": "libvpx-vp9", "options": {"g": "12", "deadline": "realtime", "cpu-used": "8"}}


def cut(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:size])
    return path


def packet_ends(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return sorted(packet.pos + packet.size for packet in container.demux(video=0) if packet.size)


@pytest.mark.parametrize("content", [b"", np.random.default_rng(0).bytes(40_000)], ids=["empty", "noise"])
def test_noise_and_empty_files(tmp_path, content):
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(
        ClipError, match=r'cannot read ".*broken\.mp4" as a video: Invalid data.*cut short or no video\. Check that it plays'
    ):
        open_clip(path)


@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.97])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("end.mp4", {}),
        ("front.mp4", {"container": {"movflags": "faststart"}}),
        ("parts.mp4", {"container": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "12"}}),
        ("clip.mov", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
        ("clip.mkv", {}),
        ("clip.webm", VP9),
    ],
)
def test_files_that_say_how_long_they_are(name, settings, part, write_video, moving_bar):
    path = write_video(name, moving_bar(60), **settings)
    whole = path.stat().st_size
    cut(path, int(whole * part))
    with pytest.raises(ClipError, match=rf'^".*{name}" is cut short: its last \d+ bytes are missing\. {re.escape(CURE)}$'):
        open_clip(path)


@pytest.mark.parametrize("name", ["front.mp4", "clip.mkv"])
def test_one_missing_packet_is_enough(name, write_video, moving_bar):
    path = write_video(name, moving_bar(60), container={"movflags": "faststart"} if name == "front.mp4" else {})
    cut(path, packet_ends(path)[40])
    with pytest.raises(ClipError, match=r"is cut short: its last \d+ bytes are missing"):
        open_clip(path)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("clip.flv", {}), ("clip.ivf", VP9), ("clip.h264", {}), ("clip.nut", {"codec": "ffv1", "pix_fmt": "bgr0"})],
)
def test_files_that_end_within_a_packet(name, settings, write_video, moving_bar):
    path = write_video(name, moving_bar(60), **settings)
    cut(path, packet_ends(path)[40] - 30)
    with pytest.raises(
        ClipError, match=r"is cut short or damaged: packet 40 is incomplete|is damaged: frame 40|after frame 40: Invalid data"
    ):
        open_clip(path)


def test_files_that_count_their_frames(write_video, moving_bar):
    path = write_video("clip.avi", moving_bar(60), codec="mpeg4")
    cut(path, packet_ends(path)[40] + 1)
    with pytest.raises(ClipError, match=r'^".*clip\.avi" is cut short: 41 of 60 packets are there\. Check that it plays'):
        open_clip(path)


def test_files_that_tell_their_duration(write_video, moving_bar):
    path = write_video("clip.flv", moving_bar(200))
    with av.open(str(path)) as container:
        starts = sorted(packet.pos for packet in container.demux(video=0) if packet.size)
    cut(path, starts[100])
    with pytest.raises(
        ClipError,
        match=r'^".*clip\.flv" is cut short or damaged: it says that it lasts 8\.\d s, and ends after 4\.\d s\. Check that it plays',
    ):
        open_clip(path)


def test_a_recording_that_was_never_closed_is_what_is_there(tmp_path, moving_bar):
    """Without a place to seek back to, the writer leaves size and duration open, as a recorder does that loses its power."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.content = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:
            self.content += bytes(data)
            return len(data)

    pipe = Pipe()
    with av.open(pipe, "w", format="matroska") as container:
        coded = container.add_stream("libx264", rate=25, options={"g": "12"})
        coded.height, coded.width, coded.pix_fmt = 48, 64, "yuv420p"
        for image in moving_bar(30):
            container.mux(coded.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(coded.encode())
    path = tmp_path / "live.mkv"
    path.write_bytes(pipe.content)
    assert promised_bytes(path) == 0
    assert open_clip(path).length == 30


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", 0),
        (b"\x1a\x45\xdf\xa3", 0),
        (b"\x1a\x45\xdf\xa3\x82ab", 0),
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x40", 0),
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\xff", 0),
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x00", 0),
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x41\x00", 13 + 256),
        (struct.pack(">I4s", 16, b"ftyp") + bytes(8) + struct.pack(">I4sQ", 1, b"mdat", 2**40), 16 + 2**40),
        (struct.pack(">I4s", 8, b"free") + struct.pack(">I4s", 0, b"mdat"), 8),
        (struct.pack(">I4s", 8, b"free") + b"\x00\x00\xff\xffjunk", 8),
        (struct.pack(">I4s", 5, b"moov"), 0),
        (b"plain text, no box", 0),
    ],
)
def test_what_files_say_of_their_size(content, expected, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert promised_bytes(path) == expected


def test_damage_in_the_middle(write_video, moving_bar):
    path = write_video("clip.mp4", moving_bar(60))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = np.random.default_rng(1).bytes(2000)
    path.write_bytes(content)
    with pytest.raises(ClipError, match=r"as a video after frame \d+: Invalid data|frame \d+ cannot be decoded"):
        open_clip(path)


def test_a_broken_index_costs_time_and_no_frames(write_video, moving_bar):
    path = write_video("clip.mkv", moving_bar(60), options={"g": "12"})
    whole = open_clip(path)
    everything = list(whole.frames())
    content = path.read_bytes()
    cues = content.rfind(b"\x1c\x53\xbb\x6b")
    assert cues > 0
    path.write_bytes(content[: cues + 5] + bytes(len(content) - cues - 5))
    for number, frame in zip([0, 13, 37, 59], open_clip(path).frames([0, 13, 37, 59]), strict=True):
        assert np.array_equal(frame, everything[number])


def test_frames_that_are_called_key_frames_and_are_none(tmp_path, write_video, moving_bar):
    """Decoding can begin at any of them without an error, and gives other pictures."""
    source = write_video("honest.avi", moving_bar(40), codec="msmpeg4v2", options={"g": "40"})
    everything = list(open_clip(source).frames())
    path = tmp_path / "lying.avi"
    with av.open(str(source)) as reading, av.open(str(path), "w") as writing:
        copied = writing.add_stream_from_template(reading.streams.video[0])
        for number, packet in enumerate(reading.demux(video=0)):
            if packet.size:
                packet.pts, packet.is_keyframe, packet.stream = number, number % 5 == 0, copied
                writing.mux(packet)
    clip = open_clip(path)
    assert len(clip._index.keys) == 7
    for number, frame in zip([3, 17, 38], clip.frames([3, 17, 38]), strict=True):
        assert np.array_equal(frame, everything[number])


def test_damage_that_decoders_paint_over_looks_the_same_each_time(write_video, moving_bar):
    """Found by the fuzz test: FFV1 takes a damaged slice from the frame before, which after a jump is another one."""
    path = write_video("clip.mkv", moving_bar(24), codec="ffv1", pix_fmt="bgr0", options={"g": "4"})
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    content[packets[12].pos + packets[12].size // 2] ^= 1
    path.write_bytes(content)
    clip = open_clip(path)
    everything = list(clip.frames())
    for number in range(8, 20):
        assert np.array_equal(next(clip.frames([number])), everything[number])


def test_a_jump_that_ends_in_an_error_starts_again(write_video, moving_bar, monkeypatch):
    clip = open_clip(write_video("clip.mp4", moving_bar(60), options={"g": "12"}))
    everything = list(clip.frames())

    def refused(self: video._Reader, stamp: int) -> None:
        return None

    monkeypatch.setattr(video._Reader, "_landed", refused)
    for number, frame in zip([20, 50], clip.frames([20, 50]), strict=True):
        assert np.array_equal(frame, everything[number])


def test_a_file_that_is_replaced_by_one_of_the_same_size(write_video, moving_bar):
    path = write_video("clip.mkv", moving_bar(20), codec="rawvideo")
    clip = open_clip(path)
    path.write_bytes(write_video("other.mkv", moving_bar(20)[::-1], codec="rawvideo").read_bytes())
    with pytest.raises(
        ClipError, match=r'^cannot decode frame 0 of ".*clip\.mkv" any more; the file changed since it was opened\. Run again\.$'
    ):
        list(clip.frames())


def test_a_codec_that_nobody_can_decode(write_video, moving_bar):
    path = write_video("clip.avi", moving_bar(5), codec="mpeg4")
    path.write_bytes(path.read_bytes().replace(b"FMP4", b"QQQQ"))
    with pytest.raises(ClipError, match=r'clip\.avi" is coded in a way that this build of FFmpeg cannot decode\. Check that it plays'):
        open_clip(path)


def test_streams_that_appear_on_the_way_end_nothing():
    """Found by the fuzz test, in a FLV file whose sound is not announced: PyAV raises when it comes to flush it."""

    class Container:
        def demux(self, *streams):
            yield from "abc"
            raise IndexError("list index out of range")

    assert list(stream.packets(Container())) == ["a", "b", "c"]


def test_colours_that_change_on_the_way_are_checked(tmp_path, write_video, moving_bar):
    parts = [
        write_video(f"{matrix}.h264", moving_bar(12), pix_fmt="yuv444p", options={"x264-params": f"colormatrix={matrix}"}).read_bytes()
        for matrix in ("bt709", "YCgCo")
    ]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(parts))
    with pytest.raises(ClipError, match=r"has colours that cannot be converted to RGB \(pixel format yuv444p, matrix 8\)"):
        open_clip(path)


def test_rates_that_lie_give_way_to_time_stamps(write_video, moving_bar, monkeypatch):
    path = write_video("clip.mp4", moving_bar(10), fps=25)
    with av.open(str(path)) as container:
        coded = container.streams.video[0]
        step = coded.time_base.denominator // 25
        assert scan._rate(coded, [0, step, 2 * step]) == 25.0
        assert scan._rate(coded, [0, 2 * step, 4 * step]) == 12.5
        assert scan._rate(coded, []) == 25.0


def test_a_bare_stream_that_was_cut_is_told_every_time(write_video, moving_bar):
    path = write_video("clip.h264", moving_bar(60))
    cut(path, packet_ends(path)[40] - 30)
    for _ in range(40):  # where threads decode a frame each, one in ten passed for whole
        with pytest.raises(ClipError, match="is damaged: frame 40"):
            open_clip(path)
