"""Codecs, pixel formats, colours, sizes and orientations: the frames that were written come back."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import product

import av
import numpy as np
import pytest
from PIL import Image

from gazecut.clip import open_clip, pixels, stream
from gazecut.clip.pixels import Turn
from gazecut.errors import ClipError

QUIET = "log-level=none:keyint=6"
CODECS = {
    "h264.mp4": {},
    "h264.flv": {},
    "h264.ts": {},
    "h264.h264": {},
    "h264-10.mp4": {"pix_fmt": "yuv420p10le"},
    "h264-444.mkv": {"pix_fmt": "yuv444p"},
    "h264-rgb.mp4": {"codec": "libx264rgb", "pix_fmt": "rgb24"},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": QUIET}},
    "hevc-10.mkv": {"codec": "libx265", "pix_fmt": "yuv420p10le", "options": {"x265-params": QUIET}},
    "vp8.webm": {"codec": "libvpx", "options": {"g": "6", "b": "1M"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "6", "deadline": "realtime", "cpu-used": "8"}},
    "vp9.ivf": {"codec": "libvpx-vp9", "options": {"g": "6", "deadline": "realtime", "cpu-used": "8"}},
    "mpeg1.mpg": {"codec": "mpeg1video", "options": {"b": "1M"}},
    "mpeg2.mxf": {"codec": "mpeg2video", "options": {"b": "1M"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"b": "1M"}},
    "msmpeg4.avi": {"codec": "msmpeg4v2", "options": {"b": "1M"}},
    "wmv2.wmv": {"codec": "wmv2", "options": {"b": "1M"}},
    "sorenson.flv": {"codec": "flv", "options": {"b": "1M"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {"b": "4M"}},
    "mjpeg.mov": {"codec": "mjpeg", "pix_fmt": "yuvj444p", "options": {"b": "4M"}},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "cinepak.avi": {"codec": "cinepak", "pix_fmt": "rgb24"},
    "snow.avi": {"codec": "snow"},
    "ffv1.mkv": {"codec": "ffv1", "pix_fmt": "yuv444p"},
    "ffv1-rgb.mkv": {"codec": "ffv1", "pix_fmt": "bgr0"},
    "v210.mov": {"codec": "v210", "pix_fmt": "yuv422p10le"},
    "raw.avi": {"codec": "rawvideo", "pix_fmt": "yuv420p"},
    "raw.nut": {"codec": "rawvideo", "pix_fmt": "rgb24"},
    "frames.y4m": {"codec": "wrapped_avframe"},
    "png.mov": {"codec": "png", "pix_fmt": "rgb24"},
    "animation.mov": {"codec": "qtrle", "pix_fmt": "rgb24"},
    "jpeg2000.mov": {"codec": "jpeg2000", "pix_fmt": "rgb24"},
    "screen.avi": {"codec": "zmbv", "pix_fmt": "bgr0"},
    "apng.bin": {"codec": "apng", "pix_fmt": "rgb24", "format": "apng"},
}


@pytest.mark.parametrize("name", CODECS)
def test_codecs_and_containers(name, write_video, smooth):
    written = smooth(14)
    clip = open_clip(write_video(name, written, **CODECS[name]))
    frames = list(clip.frames())
    assert (clip.length, clip.fps, clip.size) == (14, 25.0, (64, 96))
    np.testing.assert_allclose(clip.times, np.arange(14) / 25, atol=6e-4)
    assert np.abs(np.stack(frames).astype(int) - written).mean() < 8
    for number, frame in zip([1, 7, 13], clip.frames([1, 7, 13]), strict=True):
        assert np.array_equal(frame, frames[number])


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_av1(pix_fmt, write_video, smooth, monkeypatch):
    monkeypatch.setenv("SVT_LOG", "0")
    written = smooth(14)
    clip = open_clip(write_video("av1.mp4", written, codec="libsvtav1", pix_fmt=pix_fmt, options={"preset": "12", "g": "6"}))
    assert (clip.length, clip.size) == (14, (64, 96))
    assert np.abs(np.stack(list(clip.frames())).astype(int) - written).mean() < 8


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("h264.mp4", "libx264", "gray"),
        ("hevc.mkv", "libx265", "gray"),
        ("8.mkv", "ffv1", "gray"),
        ("10.mkv", "ffv1", "gray10le"),
        ("16.mkv", "ffv1", "gray16le"),
    ],
)
def test_grey_becomes_three_equal_channels(name, codec, pix_fmt, write_video, smooth):
    written = smooth(4)
    options = {"x265-params": QUIET} if codec == "libx265" else {}
    frames = np.stack(list(open_clip(write_video(name, written, codec=codec, pix_fmt=pix_fmt, options=options)).frames())).astype(int)
    assert np.array_equal(frames[..., 0], frames[..., 2])
    luma = written @ np.array([0.299, 0.587, 0.114])
    assert np.abs(frames[..., 0] - luma).mean() < 4


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mov", "qtrle", "argb"),
        ("a.mov", "png", "rgba"),
        ("a.mkv", "ffv1", "bgra"),
        ("a.mov", "prores_ks", "yuva444p10le"),
        ("a.bin", "apng", "rgba"),
        ("a.webm", "libvpx-vp9", "yuva420p"),
        ("a.webm", "libvpx", "yuva420p"),
    ],
)
def test_transparent_pixels_lie_over_black(name, codec, pix_fmt, write_video, smooth):
    alpha = np.full((3, 64, 96, 1), 255, np.uint8)
    alpha[:, :, :32] = 0
    alpha[:, :, 32:64] = 128
    settings = {"apng": {"format": "apng"}, "libvpx": {"options": {"auto-alt-ref": "0", "b": "1M"}}}.get(codec, {})
    path = write_video(name, np.concatenate([smooth(3), alpha], axis=-1), codec=codec, pix_fmt=pix_fmt, **settings)
    expected = smooth(3) * (alpha / 255)
    assert np.abs(np.stack(list(open_clip(path).frames())) - expected).mean() < 6


def test_transparent_video_is_jumped_in_too(write_video, smooth):
    alpha = np.full((24, 64, 96, 1), 255, np.uint8)
    alpha[:12, :, :32] = 0
    settings = {"codec": "libvpx-vp9", "pix_fmt": "yuva420p", "options": {"g": "6", "deadline": "realtime", "cpu-used": "8"}}
    clip = open_clip(write_video("a.webm", np.concatenate([smooth(24), alpha], axis=-1), **settings))
    everything = list(clip.frames())
    assert len(clip._index.keys) == 3
    assert everything[0][:, :24].max() < 12 < 50 < everything[-1][:, :24].mean()
    for number, frame in zip([2, 9, 20, 23], clip.frames([2, 9, 20, 23]), strict=True):
        assert np.array_equal(frame, everything[number])


# Colours as ITU-T H.273 defines them, worked out here from its formulas
MATRICES = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593), 2: (0.299, 0.114), 3: (0.299, 0.114)}


def rgb_of(luma: int, blue: int, red: int, matrix: int, full: bool) -> np.ndarray:
    from_red, from_blue = MATRICES[matrix]
    y, u, v = (luma / 255, (blue - 128) / 255, (red - 128) / 255) if full else ((luma - 16) / 219, (blue - 128) / 224, (red - 128) / 224)
    r, b = y + 2 * (1 - from_red) * v, y + 2 * (1 - from_blue) * u
    g = (y - from_red * r - from_blue * b) / (1 - from_red - from_blue)
    return np.clip(np.array([r, g, b]) * 255, 0, 255)


@pytest.mark.parametrize("form", ["yuv420p", "yuv422p", "yuv444p"])
@pytest.mark.parametrize(("matrix", "full"), list(product(MATRICES, [False, True])))
def test_matrix_and_range_are_honoured(form, matrix, full):
    for colour in ((150, 90, 160), (40, 128, 128), (200, 140, 100)):
        frame = av.VideoFrame(64, 48, form)
        for plane, value in zip(frame.planes, colour, strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.colorspace, frame.color_range = matrix, 2 if full else 1
        image = stream.to_rgb(frame)
        assert np.abs(image - rgb_of(*colour, matrix, full)).max() <= 2.5


@pytest.mark.parametrize(("matrix", "full"), [("bt709", False), ("bt709", True), ("smpte170m", False), ("bt470bg", True)])
def test_colours_of_files_follow_their_tags(matrix, full, tmp_path):
    path, colour = tmp_path / "tagged.mkv", (150, 90, 160)
    with av.open(str(path), "w") as container:
        coded = container.add_stream("libx264", rate=25, options={"qp": "0", "x264-params": f"colormatrix={matrix}"})
        coded.codec_context.color_range = 2 if full else 1
        coded.height, coded.width, coded.pix_fmt = 48, 64, "yuv444p"
        frame = av.VideoFrame(64, 48, "yuv444p")
        for plane, value in zip(frame.planes, colour, strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.pts = 0
        container.mux(coded.encode(frame))
        container.mux(coded.encode())
    image = next(open_clip(path).frames())
    number = {"bt709": 1, "smpte170m": 6, "bt470bg": 5}[matrix]
    assert np.abs(image - rgb_of(*colour, number, full)).max() <= 1.5


def test_colours_that_cannot_be_converted(tmp_path, smooth):
    path = tmp_path / "ycgco.mkv"
    with av.open(str(path), "w") as container:
        coded = container.add_stream("libx264", rate=25, options={"x264-params": "colormatrix=YCgCo"})
        coded.height, coded.width, coded.pix_fmt = 64, 96, "yuv444p"
        container.mux(coded.encode(av.VideoFrame.from_ndarray(smooth(1)[0], format="rgb24")))
        container.mux(coded.encode())
    with pytest.raises(
        ClipError,
        match=r"has colours that cannot be converted to RGB \(pixel format yuv444p, matrix 8\): .*\. Convert it first: ffmpeg -i IN",
    ):
        open_clip(path)


@pytest.mark.parametrize("size", [(1, 1), (1, 33), (33, 1), (2, 3), (47, 63), (17, 16)])
def test_odd_sizes(size, write_video):
    written = np.random.default_rng(1).integers(0, 256, (3, *size, 3), dtype=np.uint8)
    clip = open_clip(write_video("odd.mov", written, codec="png", pix_fmt="rgb24"))
    assert clip.size == size
    assert np.array_equal(np.stack(list(clip.frames())), written)


def test_odd_sizes_with_shared_colours(write_video, smooth):
    written = smooth(3, 47, 63)
    clip = open_clip(write_video("odd.webm", written, codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}))
    assert clip.size == (47, 63)
    assert np.abs(np.stack(list(clip.frames())).astype(int) - written).mean() < 8


@pytest.mark.parametrize(("rotation", "hflip", "vflip"), list(product([0, 90, 180, 270], [False, True], [False, True])))
def test_turned_and_mirrored_videos_come_upright(rotation, hflip, vflip, write_video, moving_bar):
    written = moving_bar(3)
    settings = {"codec": "png", "pix_fmt": "rgb24", "rotation": rotation, "hflip": hflip, "vflip": vflip}
    clip = open_clip(write_video("turned.mov", written, **settings))
    expected = np.rot90(written, rotation // 90, axes=(1, 2))
    expected = expected[:, ::-1] if vflip else expected
    expected = expected[:, :, ::-1] if hflip else expected
    assert clip.size == expected.shape[1:3]
    assert np.array_equal(np.stack(list(clip.frames())), expected)
    assert next(clip.frames([2])).flags.c_contiguous


def test_angles_between_are_taken_to_the_nearest_quarter():
    assert Turn.of_display_matrix([60000, -20000, 0, 20000, 60000, 0]) == Turn()
    assert Turn.of_display_matrix([20000, -60000, 0, 60000, 20000, 0]) == Turn(transpose=True, mirror_y=True)
    assert Turn.of_display_matrix([0] * 6) == Turn()


def test_pixels_that_are_not_square_stay_as_they_are_stored(write_video, smooth):
    clip = open_clip(write_video("wide.mkv", smooth(2), aspect=Fraction(2, 1)))
    assert clip.size == (64, 96)
    assert next(clip.frames()).shape == (64, 96, 3)


def test_the_fields_of_interlaced_video_stay_woven(write_video):
    written = np.zeros((4, 64, 96, 3), np.uint8)
    written[:, ::2] = 200
    options = {"flags": "+ilme+ildct", "x264-params": "interlaced=1:qp=0"}
    frames = np.stack(list(open_clip(write_video("fields.mkv", written, pix_fmt="yuv444p", options=options)).frames()))
    assert len(frames) == 4
    assert np.abs(frames.astype(int) - written).max() < 4


def test_audio_subtitles_and_covers_do_not_matter(tmp_path, smooth):
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000, layout="mono")
        picture = container.add_stream("libx264", rate=25)
        second = container.add_stream("libx264", rate=25)
        for coded, size in ((picture, (64, 96)), (second, (32, 48))):
            coded.height, coded.width, coded.pix_fmt = *size, "yuv420p"
        container.add_attachment("cover.png", "image/png", b"no picture")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 32000), np.float32), format="fltp", layout="mono")
        silence.rate, silence.pts = 16000, 0
        container.mux(sound.encode(silence))
        container.mux(sound.encode())
        for coded, size in ((second, (32, 48)), (picture, (64, 96))):
            for image in smooth(10, *size):
                container.mux(coded.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(coded.encode())
    clip = open_clip(path)
    assert (clip.length, clip.size) == (10, (64, 96)), "the first video stream counts, and sound may last longer"


def test_one_frame(write_video, smooth):
    clip = open_clip(write_video("one.mp4", smooth(1)))
    assert (clip.length, clip.size, clip.fps) == (1, (64, 96), 25.0)
    assert clip.times.tolist() == [0.0]
    assert len(list(clip.frames([0]))) == 1


def test_time_stamps_that_do_not_begin_at_zero(write_video, moving_bar):
    for name, stamps in (("late.mkv", range(50, 80)), ("early.mkv", range(-5, 25)), ("late.ts", range(50, 80))):
        clip = open_clip(write_video(name, moving_bar(30), stamps=stamps, options={"g": "8", "bf": "2"}))
        everything = list(clip.frames())
        assert clip.length == 30
        np.testing.assert_allclose(clip.times, np.arange(30) / 25, atol=6e-4)
        for number, frame in zip([9, 21, 29], clip.frames([9, 21, 29]), strict=True):
            assert np.array_equal(frame, everything[number])


def test_edit_lists_are_followed(write_video, moving_bar, tmp_path):
    """A cut without re-encoding keeps packets from the last key frame on, and an edit list that hides those before the cut."""
    source = write_video("whole.mp4", moving_bar(40), options={"g": "10", "bf": "2"})
    whole = list(open_clip(source).frames())
    path = tmp_path / "cut.mp4"
    with av.open(str(source)) as reading, av.open(str(path), "w") as writing:
        copied = writing.add_stream_from_template(reading.streams.video[0])
        start = 15 * reading.streams.video[0].time_base.denominator // 25
        reading.seek(start, stream=reading.streams.video[0])
        for packet in reading.demux(video=0):
            if packet.dts is not None:
                packet.pts, packet.dts = packet.pts - start, packet.dts - start
                packet.stream = copied
                writing.mux(packet)
    clip = open_clip(path)
    assert clip.length == 25
    for number, frame in enumerate(clip.frames()):
        assert np.array_equal(frame, whole[15 + number])
    for number, frame in zip([3, 12, 24], clip.frames([3, 12, 24]), strict=True):
        assert np.array_equal(frame, whole[15 + number])


def test_frames_beyond_all_measure_are_refused_before_they_are_decoded(tmp_path, write_video, smooth, monkeypatch):
    path = write_video("huge.avi", smooth(2), codec="mjpeg", pix_fmt="yuvj420p")
    content = bytearray(path.read_bytes())
    at = content.find(b"\xff\xc0")
    content[at + 5 : at + 9] = (60000).to_bytes(2, "big") * 2
    path.write_bytes(content)
    with pytest.raises(ClipError, match=r'cannot read ".*huge\.avi" as a video'):
        open_clip(path)
    monkeypatch.setattr(pixels, "LARGEST_FRAME", 6000)
    expected = r'clip\.mp4" has frames of 96x64, 0 million pixels; allowed are 0 million\. Reduce it first: ffmpeg -i IN -vf scale='
    with pytest.raises(ClipError, match=expected):
        open_clip(write_video("clip.mp4", smooth(2)))
    Image.fromarray(smooth(1)[0]).save(tmp_path / "still.png")
    with pytest.raises(ClipError, match=re.escape("has frames of 96x64")):
        open_clip(tmp_path / "still.png")


def test_eight_k(write_video):
    written = np.full((2, 4320, 7680, 3), 90, np.uint8)
    clip = open_clip(write_video("8k.mp4", written, options={"preset": "ultrafast"}))
    assert clip.size == (4320, 7680)
    assert abs(int(next(clip.frames([1])).mean()) - 90) < 4
