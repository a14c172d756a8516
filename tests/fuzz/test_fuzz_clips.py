"""Damaged video and image files: frames or a ClipError, whatever the bytes.

Each file is read by a worker process, so that a decoder that crashes, hangs or eats memory fails the test instead of ending it.
"""

from __future__ import annotations

import io
import json
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

SECONDS = 30.0  # for one file
BYTES = 2**30 + 2**29  # of memory, imports included

WORKER = """
import json, sys, traceback
import numpy as np
from gazecut.clip import open_clip
from gazecut.errors import ClipError
from gazecut.meter import peak_resident  # ru_maxrss would start from the peak of the tests' own process

def read(path):
    clip = open_clip(path)
    frames = [frame for _, frame in zip(range(64), clip.frames())]
    assert all(frame.dtype == np.uint8 and frame.shape == (*clip.size, 3) for frame in frames), "a frame of another kind"
    if clip.length <= 64:
        assert len(frames) == clip.length, f"{len(frames)} frames of {clip.length}"
        chosen = sorted({clip.length // 2, clip.length - 1})
        for number, frame in zip(chosen, clip.frames(chosen), strict=True):
            assert np.array_equal(frame, frames[number]), f"frame {number} differs when taken alone"
    return "frames"

for line in sys.stdin:
    path = line.rstrip()
    try:
        answer = read(path)
    except ClipError as error:
        answer = "refused" if path in str(error) and str(error).endswith((".", ".mp4")) else f"unclear message: {error}"
    except BaseException:
        answer = traceback.format_exc()
    print(json.dumps([answer, peak_resident()]), flush=True)
"""


class Reader:
    """A worker that reads one file after another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def read(self, suffix: str, content: bytes) -> str:
        """ "frames" or "refused"; anything else is what went wrong."""
        path = self._folder / f"file{suffix}"
        path.write_bytes(content)
        process = self._started()
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            answered = selector.select(SECONDS)
        line = process.stdout.readline() if answered else ""
        if not line:
            code = process.poll() if answered else None
            self.close()
            return f"the decoder crashed ({code})" if answered else f"no answer within {SECONDS:g} s"
        answer, peak = json.loads(line)
        if peak > BYTES:
            self.close()
            return f"{peak / 1e6:.0f} MB of memory; {answer}"
        return answer

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
        return self._process


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    reader = Reader(tmp_path_factory.mktemp("fuzz"))
    yield reader
    reader.close()


def pictures() -> np.ndarray:
    frames = np.random.default_rng(5).integers(0, 60, (12, 64, 96, 3), dtype=np.uint8)
    for number, frame in enumerate(frames):
        frame[:, number * 6 : number * 6 + 12] = 255
    return frames


def video(container: str, codec: str, pix_fmt: str = "yuv420p", muxing: dict[str, str] | None = None, **options: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole"
        with av.open(str(path), "w", format=container, options=muxing or {}) as output:
            stream = output.add_stream(codec, rate=25, options=options)
            stream.height, stream.width = pictures().shape[1:3]
            stream.pix_fmt = pix_fmt
            for image in pictures():
                output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            output.mux(stream.encode())
        return path.read_bytes()


def image(kind: str, frames: int = 1, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    first, *others = (Image.fromarray(frame).convert(mode) for frame in pictures()[:frames])
    if others:
        options |= {"save_all": True, "append_images": others}
    first.save(file, kind, **options)
    return file.getvalue()


VIDEOS = {
    "mp4": (".mp4", video("mp4", "libx264", g="4")),
    "faststart": (".mp4", video("mp4", "libx264", muxing={"movflags": "faststart"}, g="4", bf="2")),
    "hevc": (".mp4", video("mp4", "libx265", **{"x265-params": "log-level=none:keyint=4"})),
    "mov": (".mov", video("mov", "prores_ks", "yuv422p10le")),
    "png": (".mov", video("mov", "png", "rgb24")),
    "mkv": (".mkv", video("matroska", "libx264", g="4")),
    "ffv1": (".mkv", video("matroska", "ffv1", "bgr0")),
    "vp8": (".webm", video("webm", "libvpx", g="4")),
    "vp9": (".webm", video("webm", "libvpx-vp9", g="4", deadline="realtime", **{"cpu-used": "8"})),
    "avi": (".avi", video("avi", "mpeg4", g="4")),
    "mjpeg": (".avi", video("avi", "mjpeg", "yuvj420p")),
    "raw": (".avi", video("avi", "rawvideo", "bgr24")),
    "flv": (".flv", video("flv", "libx264", g="4")),
    "ts": (".ts", video("mpegts", "mpeg2video", g="4")),
}
IMAGES = {
    "gif": (".gif", image("GIF", 5, "P", duration=40)),
    "still gif": (".gif", image("GIF", 1, "P")),
    "png": (".png", image("PNG")),
    "palette": (".png", image("PNG", mode="P")),
    "apng": (".png", image("PNG", 4, "RGBA")),
    "jpeg": (".jpg", image("JPEG")),
    "progressive": (".jpg", image("JPEG", progressive=True)),
    "cmyk": (".jpg", image("JPEG", mode="CMYK")),
    "tiff": (".tif", image("TIFF")),
    "pages": (".tif", image("TIFF", 3, compression="tiff_lzw")),
    "deflate": (".tif", image("TIFF", compression="tiff_adobe_deflate")),
    "webp": (".webp", image("WEBP")),
    "moving webp": (".webp", image("WEBP", 4, duration=40)),
    "bmp": (".bmp", image("BMP")),
    "ppm": (".ppm", image("PPM")),
}
# Where the headers of these formats keep sizes: a name in the file, and how far from it numbers begin
FIELDS = {
    **dict.fromkeys((b"ftyp", b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"mdat", b"IDAT", b"movi"), (-4,)),
    **dict.fromkeys((b"stts", b"stsz", b"stco", b"stsc", b"stss", b"elst", b"ctts"), (-4, 8, 12)),
    **dict.fromkeys((b"mvhd", b"mdhd", b"tkhd"), (8, 24)),
    **dict.fromkeys((b"avc1", b"hvc1", b"hev1", b"apcn", b"png "), (24, 26)),
    **dict.fromkeys((b"RIFF", b"acTL", b"II*\x00", b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x15\x49\xa9\x66"), (4,)),
    **dict.fromkeys((b"\x16\x54\xae\x6b", b"\x1f\x43\xb6\x75", b"\xa3", b"\xb0", b"\xba"), (1, 2, 4)),
    b"avih": (24, 36, 40),
    b"strf": (8, 12),
    b"strh": (36,),
    b"VP8X": (8,),
    b"ANMF": (12,),
    b"GIF8": (6, 8),
    b"\x00\x2c": (6,),
    b"IHDR": (4, 8),
    b"fcTL": (8, 12),
    b"\xff\xc0": (5, 7),
    b"\xff\xc2": (5, 7),
    b"\x00\x01\x04\x00": (6,),
    b"\x01\x01\x04\x00": (6,),
    b"BM": (18, 22),
    b"P6": (3,),
    b"FLV": (5,),
}
TELLING = [0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1]


@dataclass(frozen=True)
class Damage:
    """One thing done to the bytes of a file.

    Attributes:
        kind: What is done.
        place: Where, as a part of the length, or a choice among what is found.
        count: How many bytes.
        value: What is written.
        little: Numbers begin with their lowest byte.
    """

    kind: str
    place: float
    count: int
    value: int
    little: bool

    def done(self, content: bytes, other: bytes) -> bytes:
        at = int(self.place * len(content))
        end = min(at + self.count, len(content))
        number = TELLING[self.value % len(TELLING)].to_bytes(4, "little" if self.little else "big")
        match self.kind:
            case "flip":
                return content[:at] + bytes(byte ^ (1 << self.value % 8) for byte in content[at : at + 1]) + content[at + 1 :]
            case "noise":
                return content[:at] + np.random.default_rng(self.value).bytes(end - at) + content[end:]
            case "zero":
                return content[:at] + bytes(end - at) + content[end:]
            case "cut":
                return content[:at]
            case "drop":
                return content[:at] + content[end:]
            case "double":
                return content[:end] + content[at:end] + content[end:]
            case "splice":
                return content[:at] + other[at:]
            case "field":
                places = [place + by for name, distances in FIELDS.items() for place in _occurrences(content, name) for by in distances]
                at = places[int(self.place * len(places))] if places else at
                width = (1, 2, 4)[self.count % 3]
                return content[:at] + (number[:width] if self.little else number[-width:]) + content[at + width :]
        raise AssertionError(self.kind)


def _occurrences(content: bytes, name: bytes) -> list[int]:
    found, at = [], content.find(name)
    while at >= 0 and len(found) < 8:
        found.append(at)
        at = content.find(name, at + 1)
    return found


KINDS = ["field", "flip", "noise", "zero", "cut", "drop", "double", "splice"]
DAMAGES = st.lists(
    st.builds(
        Damage,
        st.sampled_from(KINDS),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 300),
        st.integers(0, 2**16),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


def damaged(files: dict[str, tuple[str, bytes]], name: str, other: str, damages: list[Damage]) -> tuple[str, bytes]:
    suffix, content = files[name]
    for damage in damages:
        content = damage.done(content, files[other][1])
    return suffix, content


@pytest.mark.parametrize(("suffix", "content"), [*VIDEOS.values(), *IMAGES.values()], ids=[*VIDEOS, *(f"{name} image" for name in IMAGES)])
def test_whole_files_give_frames(suffix: str, content: bytes, reader: Reader) -> None:
    assert reader.read(suffix, content) == "frames"


@given(name=st.sampled_from(sorted(VIDEOS)), other=st.sampled_from(sorted(VIDEOS)), damages=DAMAGES)
def test_damaged_videos_give_frames_or_an_error(name: str, other: str, damages: list[Damage], reader: Reader) -> None:
    assert reader.read(*damaged(VIDEOS, name, other, damages)) in ("frames", "refused")


@given(name=st.sampled_from(sorted(IMAGES)), other=st.sampled_from(sorted(IMAGES)), damages=DAMAGES)
def test_damaged_images_give_frames_or_an_error(name: str, other: str, damages: list[Damage], reader: Reader) -> None:
    assert reader.read(*damaged(IMAGES, name, other, damages)) in ("frames", "refused")
