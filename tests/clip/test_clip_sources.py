"""Arrays, folders of images, and everything that is no clip."""

from __future__ import annotations

import errno
import gc
import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gazecut.clip import ArrayClip, open_clip
from gazecut.errors import ClipError
from gazecut.protocols import Clip


def frames_of(count: int, height: int = 5, width: int = 7) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def save(folder: Path, names: list[str], images: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(folder / name)
    return folder


def test_arrays_lists_iterators_and_tensors_give_the_same_frames():
    torch = pytest.importorskip("torch")
    frames = frames_of(6)
    for source in (
        frames,
        list(frames),
        tuple(frames),
        iter(frames),
        (frame for frame in frames),
        torch.from_numpy(frames),
        list(torch.from_numpy(frames)),
    ):
        clip = open_clip(source)
        assert isinstance(clip, Clip)
        assert (clip.length, clip.size) == (6, (5, 7))
        assert clip.fps > 0
        assert np.array_equal(np.stack(list(clip.frames())), frames)
        assert np.array_equal(np.stack(list(clip.frames([1, 4]))), frames[[1, 4]])


def test_frames_of_an_array_are_copies():
    frames = frames_of(2)
    taken = next(open_clip(frames).frames())
    taken[:] = 0
    assert frames[0].any()
    assert taken.flags.c_contiguous


def test_a_clip_passes_through():
    clip = ArrayClip(frames_of(2), fps=12, name="mine")
    assert open_clip(clip) is clip
    assert (clip.fps, clip.name) == (12.0, "mine")


def test_array_indices_are_checked():
    clip = open_clip(frames_of(4))
    for wrong in ([4], [-1], [2, 1], [1, 1]):
        with pytest.raises(ClipError):
            clip.frames(wrong)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((0, 4, 4, 3), np.uint8), 'clip "array" has no frames'),
        ([], 'clip "frames" has no frames'),
        (iter([]), 'clip "frames" has no frames; the iterator ended at once'),
        (
            np.zeros((2, 4, 4, 3), np.float32),
            "frame 0 has dtype float32; wanted frames (H, W, 3) uint8, RGB from 0 to 255. Values in [0, 1] become",
        ),
        (np.zeros((2, 4, 4, 3), np.int64), "frame 0 has dtype int64; wanted frames"),
        (
            np.zeros((4, 4, 3), np.uint8),
            "frame 0 has shape (4, 3); wanted frames (H, W, 3) uint8, RGB from 0 to 255. If it is one image (H, W, 3), give image[None].",
        ),
        (np.zeros((2, 4, 4), np.uint8), "0 to 255. Grey frames (T, H, W) become that by numpy.repeat(frames[..., None], 3, axis=-1)."),
        (np.zeros((2, 4, 4, 4), np.uint8), "0 to 255. Frames with alpha (T, H, W, 4) become that by frames[..., :3]."),
        (np.zeros((2, 3, 4, 4), np.uint8), "0 to 255. Frames with alpha (T, H, W, 4) become that by frames[..., :3]."),
        (np.zeros((2, 3, 8, 9), np.uint8), "0 to 255. Frames (T, 3, H, W) become that by numpy.moveaxis(frames, 1, -1)."),
        (np.zeros((2, 4, 4, 1), np.uint8), "frame 0 has shape (4, 4, 1); wanted"),
        (np.zeros((), np.uint8), "it has shape (); wanted frames (T, H, W, 3) uint8, RGB from 0 to 255."),
        (["one.png", "two.png"], "frame 0 has dtype <U7; wanted frames"),
        ({"a": 1}, "cannot read a clip from dict; wanted the path of a video file"),
        (b"clip.mp4", "cannot read a clip from bytes; wanted the path of a video file"),
        (np.zeros((2, 0, 4, 3), np.uint8), "frame 0 has shape (0, 4, 3); wanted"),
        (
            [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)],
            "frame 1 has shape (4, 5, 3), the frames before it (4, 4, 3); wanted one size",
        ),
        (iter([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)]), "frame 1 has shape (4, 5, 3), the frames before it"),
        (7, "cannot read a clip from int; wanted the path of a video file"),
        (None, "cannot read a clip from NoneType"),
    ],
)
def test_what_is_no_clip(source, message):
    with pytest.raises(ClipError, match=re.escape(message)):
        open_clip(source)


def test_a_clip_has_a_frame_rate():
    for fps in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ClipError, match=f"fps is {fps:g}; wanted more than 0"):
            ArrayClip(frames_of(1), fps=fps)


def test_arrays_need_not_be_contiguous():
    frames = frames_of(6, 10, 14)[::2, ::2, ::-1]
    clip = open_clip(frames)
    assert clip.size == (5, 14)
    assert np.array_equal(np.stack(list(clip.frames())), frames)
    assert next(clip.frames()).flags.c_contiguous
    assert np.array_equal(np.stack(list(open_clip(iter(frames)).frames())), frames)


def test_iterators_may_give_tensors_and_anything_iterable_may_be_given():
    torch = pytest.importorskip("torch")
    frames = frames_of(4)

    class Camera:
        def __iter__(self):
            yield from torch.from_numpy(frames)

    for source in (iter(torch.from_numpy(frames)), Camera(), dict(enumerate(frames)).values()):
        assert np.array_equal(np.stack(list(open_clip(source).frames())), frames)


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """The folder that temporary files go to."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_an_iterator_that_raises_passes_its_error_on_and_leaves_nothing(scratch):
    class UnpluggedError(OSError):
        pass

    def camera():
        yield from frames_of(3)
        raise UnpluggedError(5, "the camera is gone")

    with pytest.raises(UnpluggedError, match="the camera is gone"):
        open_clip(camera())
    assert list(scratch.iterdir()) == []


def test_the_temporary_file_goes_with_the_clip(scratch):
    clip = open_clip(iter(frames_of(3)))
    assert len(list(clip.frames())) == 3
    del clip
    gc.collect()
    assert list(scratch.iterdir()) == []


def test_a_full_temporary_folder(scratch, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: Full())
    expected = (
        f'cannot keep frame 0 of clip "frames" in "{scratch}": No space left on device; make room there, or name a larger folder in TMPDIR.'
    )
    with pytest.raises(ClipError, match=f"^{re.escape(expected)}$"):
        open_clip(iter(frames_of(3)))


def test_frames_that_come_one_by_one_are_not_gathered_in_memory():
    code = """
import numpy as np
from gazecut.clip import open_clip
from gazecut.meter import peak_resident
peak_resident()  # forgets what imports needed
before = peak_resident()
clip = open_clip(np.full((720, 1280, 3), number, np.uint8) for number in range(100))
print(clip.length, round((peak_resident() - before) / 2**20))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    length, grown = map(int, done.stdout.split())
    assert length == 100
    assert grown < 40, "MB; all frames together are 276"


def test_a_folder_is_read_in_natural_order(tmp_path):
    frames = frames_of(4)
    folder = save(tmp_path / "walk", ["f10.png", "f9.bmp", "F2.PNG", "f100.webp"], frames)
    Image.fromarray(frames[3]).save(folder / "f100.webp", lossless=True)
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "00001.png").mkdir()
    clip = open_clip(str(folder))
    assert (clip.name, clip.length, clip.size) == ("walk", 4, (5, 7))
    assert np.array_equal(np.stack(list(clip.frames())), frames[[2, 1, 0, 3]])
    assert np.array_equal(next(clip.frames([2])), frames[0])


def test_numbers_before_words_and_ties_are_settled(tmp_path):
    frames = frames_of(4)
    folder = save(tmp_path / "mixed", ["a.png", "1.png", "01.png", "b2a.png"], frames)
    assert np.array_equal(np.stack(list(open_clip(folder).frames())), frames[[2, 1, 0, 3]])


def test_images_come_upright_and_as_rgb(tmp_path):
    image = Image.fromarray(frames_of(1)[0])
    turned = image.getexif()
    turned[0x0112] = 6  # the camera was held a quarter turn clockwise
    (tmp_path / "phone").mkdir()
    image.save(tmp_path / "phone" / "1.webp", exif=turned, lossless=True)
    clip = open_clip(tmp_path / "phone")
    assert clip.size == (7, 5)
    assert np.array_equal(next(clip.frames()), np.rot90(np.asarray(image), 3))
    grey = np.linspace(0, 65535, 20).astype(np.uint16).reshape(4, 5)
    for name, content in (("deep", grey), ("grey", (grey // 257).astype(np.uint8))):
        (tmp_path / name).mkdir()
        Image.fromarray(content).save(tmp_path / name / "1.png")
        taken = next(open_clip(tmp_path / name).frames())
        assert taken.dtype == np.uint8
        assert np.abs(taken.astype(int) - (grey // 257)[..., None]).max() <= 1


def test_one_image_is_a_clip_of_one_frame(tmp_path):
    frames = frames_of(1)
    save(tmp_path, ["still.png"], frames)
    clip = open_clip(tmp_path / "still.png")
    assert (clip.name, clip.length) == ("still.png", 1)
    assert np.array_equal(next(clip.frames()), frames[0])


def test_nothing_there(tmp_path):
    save(tmp_path, ["walking.png"], frames_of(1))
    with pytest.raises(ClipError, match=r'there is no file or folder ".*walkin\.png"; did you mean ".*walking\.png"\?'):
        open_clip(tmp_path / "walkin.png")
    with pytest.raises(ClipError, match=r'there is no file or folder ".*zzz"; give the path of a video file or of a folder of images'):
        open_clip(tmp_path / "zzz")
    with pytest.raises(ClipError, match=r'nor a folder ".*nowhere"; check the path'):
        open_clip(tmp_path / "nowhere" / "a.mp4")


def test_a_path_that_the_system_refuses(tmp_path, monkeypatch):
    with pytest.raises(ClipError, match=r'cannot open "x+": .*; check the path and its permissions'):
        open_clip("x" * 5000)

    def refused(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(ClipError, match=r'cannot open ".*": Permission denied; check the path'):
        open_clip(tmp_path)


def test_a_link_that_leads_nowhere(tmp_path):
    (tmp_path / "clip.mp4").symlink_to("film.mp4")
    with pytest.raises(ClipError) as caught:
        open_clip(tmp_path / "clip.mp4")
    assert str(caught.value) == (
        f'"{tmp_path}/clip.mp4" is a link that leads nowhere, to "film.mp4"; mend it, or give the path of the file itself.'
    )


@pytest.mark.parametrize("address", ["https://example.org/clip.mp4", "rtsp://camera/1", "s3://bucket/clip.mp4"])
def test_an_address_on_the_net(address):
    with pytest.raises(ClipError, match=r"looks like an address on the net; wanted a file on this machine\. Download it first\."):
        open_clip(address)


def test_a_folder_without_images(tmp_path):
    (tmp_path / "a.mp3").write_bytes(b"")
    with pytest.raises(
        ClipError,
        match=r"has no images \(1 other file\); wanted files that end in \.bmp, \.jpeg, \.jpg, .*Give the folder that holds the frames",
    ):
        open_clip(tmp_path)


def test_images_of_different_sizes(tmp_path):
    save(tmp_path, ["1.png", "2.png"], frames_of(2))
    save(tmp_path, ["3.png"], frames_of(1, 6, 7))
    with pytest.raises(ClipError, match=r"differ in size: 1\.png is 7x5, 3\.png is 7x6; wanted one size"):
        open_clip(tmp_path)


def test_damaged_images(tmp_path):
    save(tmp_path, ["1.png", "2.png"], frames_of(2, 60, 60))
    whole = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(whole[: len(whole) // 2])
    clip = open_clip(tmp_path)
    with pytest.raises(ClipError, match=r'cannot read the image ".*2\.png": .*damaged, cut short or no image\. Replace or remove it'):
        list(clip.frames())
    (tmp_path / "2.png").write_bytes(b"noise")
    with pytest.raises(ClipError, match=r'cannot read the image ".*2\.png": cannot identify'):
        open_clip(tmp_path)


def test_decoders_are_imported_only_when_a_source_needs_them():
    code = "import sys, gazecut.clip; print(sorted({'av', 'cv2', 'PIL', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
