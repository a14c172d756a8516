"""Folders of images as people keep them, image files of every mode, and images that move."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gazecut.clip import open_clip
from gazecut.clip.animation import AnimationClip
from gazecut.clip.images import ImagesClip
from gazecut.errors import ClipError


@pytest.fixture
def picture(smooth) -> np.ndarray:
    return smooth(1, 24, 40)[0]


def only(path: Path) -> np.ndarray:
    clip = open_clip(path)
    frames = list(clip.frames())
    assert (clip.length, len(frames)) == (1, 1)
    assert frames[0].dtype == np.uint8
    assert frames[0].flags.c_contiguous
    assert frames[0].shape == (*clip.size, 3)
    return frames[0].astype(int)


def test_numbers_may_have_gaps_and_names_may_be_anything(tmp_path, smooth):
    frames = smooth(4)
    for name, image in zip(["pas 3.png", "pas 7.PNG", "pas 40é中.Png", "pas 100.jpeg.png"], frames, strict=True):
        Image.fromarray(image).save(tmp_path / name)
    clip = open_clip(tmp_path)
    assert clip.length == 4
    assert np.array_equal(np.stack(list(clip.frames())), frames)


def test_what_lies_beside_the_images_is_passed_over(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "1.png")
    (tmp_path / ".2.png").write_bytes(b"hidden")
    (tmp_path / "Thumbs.db").write_bytes(b"other")
    Image.fromarray(picture[:5]).save(tmp_path / "preview.gif")
    (tmp_path / "3.png").mkdir()
    os.mkfifo(tmp_path / "4.png")
    assert open_clip(tmp_path).length == 1


def test_links_are_followed_and_must_lead_somewhere(tmp_path, smooth):
    frames = smooth(2)
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    for number, image in enumerate(frames):
        Image.fromarray(image).save(tmp_path / "real" / f"{number}.png")
        (tmp_path / "links" / f"{number}.png").symlink_to(tmp_path / "real" / f"{number}.png")
    assert np.array_equal(np.stack(list(open_clip(tmp_path / "links").frames())), frames)
    (tmp_path / "real" / "1.png").unlink()
    expected = f'the link "{tmp_path}/links/1.png" leads nowhere, there is no "{tmp_path}/real/1.png"; mend or remove it.'
    with pytest.raises(ClipError, match=f"^{re.escape(expected)}$"):
        open_clip(tmp_path / "links")


def test_a_folder_of_folders_names_one(tmp_path):
    for name in ("walk", "jump"):
        (tmp_path / name).mkdir()
    with pytest.raises(ClipError, match=r"has no images \(0 other files, 2 folders such as jump\); wanted files that end in"):
        open_clip(tmp_path)


def test_pipes_and_devices_are_no_clips(tmp_path):
    os.mkfifo(tmp_path / "stream.mp4")
    with pytest.raises(
        ClipError, match=r'stream\.mp4" is a device or a pipe; wanted a video file or a folder of images\. Save what comes from it first\.$'
    ):
        open_clip(tmp_path / "stream.mp4")


def test_an_image_that_may_not_be_read(tmp_path, picture, monkeypatch):
    Image.fromarray(picture).save(tmp_path / "1.png")

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Image, "open", refused)
    with pytest.raises(ClipError, match=r'^cannot read the image ".*1\.png": Permission denied; check its permissions\.$'):
        open_clip(tmp_path)


@pytest.mark.parametrize(
    ("name", "mode", "tolerance"),
    [
        ("p.png", "P", 40),
        ("1.png", "1", 255),
        ("l.jpg", "L", 6),
        ("cmyk.jpg", "CMYK", 8),
        ("cmyk.tif", "CMYK", 1),
        ("ycbcr.tif", "YCbCr", 3),
        ("rgb.bmp", "RGB", 0),
        ("rgb.ppm", "RGB", 0),
        ("rgb.webp", "RGB", 12),
        ("rgb.tiff", "RGB", 0),
    ],
)
def test_modes_become_rgb(name, mode, tolerance, tmp_path, picture):
    Image.fromarray(picture).convert(mode).save(tmp_path / name)
    expected = np.asarray(Image.fromarray(picture).convert("L" if mode == "L" else "RGB")).astype(int)
    expected = np.repeat(expected[..., None], 3, axis=2) if expected.ndim == 2 else expected
    assert np.abs(only(tmp_path / name) - expected).mean() <= tolerance / 2
    if mode == "1":
        assert set(np.unique(only(tmp_path / name))) == {0, 255}


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.pgm"])
def test_sixteen_bits_are_scaled(name, tmp_path):
    grey = np.linspace(0, 65535, 960).astype(np.uint16).reshape(24, 40)
    Image.fromarray(grey).save(tmp_path / name)
    assert np.abs(only(tmp_path / name) - (grey / 257)[..., None]).max() <= 1


@pytest.mark.parametrize(("kind", "words"), [(np.float32, "floating-point numbers"), (np.int32, "32-bit integers")])
def test_numbers_without_a_range_are_refused(kind, words, tmp_path):
    Image.fromarray(np.linspace(0, 900, 960).reshape(24, 40).astype(kind)).save(tmp_path / "measured.tif")
    expected = (
        f'the image "{tmp_path}/measured.tif" holds {words}, and nothing says which of them is white; '
        "wanted 8 or 16 bits per channel. Scale and save it anew."
    )
    with pytest.raises(ClipError, match=f"^{re.escape(expected)}$"):
        list(open_clip(tmp_path / "measured.tif").frames())


@pytest.mark.parametrize(("mode", "name"), [("RGBA", "a.png"), ("LA", "a.png"), ("RGBA", "a.webp"), ("RGBA", "a.tif"), ("PA", "a.png")])
def test_transparent_pixels_lie_over_black(mode, name, tmp_path, picture):
    whole = Image.fromarray(picture).convert("LA" if mode == "LA" else "RGBA")
    alpha = np.full(picture.shape[:2], 255, np.uint8)
    alpha[:, :10], alpha[:, 10:20] = 0, 128
    whole.putalpha(Image.fromarray(alpha))
    image = whole.quantize() if mode == "PA" else whole
    image.save(tmp_path / name, **({"lossless": True, "exact": True} if name.endswith("webp") else {}))
    expected = np.asarray(whole.convert("RGB")) * (alpha[..., None] / 255)
    found = only(tmp_path / name)
    assert found[:, :10].max() == 0
    assert np.abs(found - expected).mean() <= (8 if mode == "PA" else 0.6)


def test_a_transparent_colour_lies_over_black_too(tmp_path, picture):
    picture = picture.copy()
    picture[:, :5] = (255, 0, 255)
    Image.fromarray(picture).save(tmp_path / "keyed.png", transparency=(255, 0, 255))
    assert only(tmp_path / "keyed.png")[:, :5].max() == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_cameras_may_be_held_in_any_way(orientation, tmp_path, picture):
    image = Image.fromarray(picture)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "held.webp", exif=exif, lossless=True)
    turned = picture.transpose(1, 0, 2) if orientation > 4 else picture
    turned = turned[::-1] if orientation in (3, 4, 7, 8) else turned
    turned = turned[:, ::-1] if orientation in (2, 3, 6, 7) else turned
    assert np.array_equal(only(tmp_path / "held.webp"), turned)


@pytest.mark.parametrize("name", ["walk.gif", "walk.webp", "walk.png", "walk.apng"])
def test_an_image_that_moves_is_a_clip_of_its_frames(name, tmp_path, smooth):
    written = smooth(6, 24, 40)
    first, *others = (Image.fromarray(frame) for frame in written)
    options = {"lossless": True} if name.endswith("webp") else {}
    durations = [100, 100, 200, 50, 50, 100]
    kind = {"format": "PNG"} if name.endswith("apng") else {}
    first.save(tmp_path / name, save_all=True, append_images=others, duration=durations, **options, **kind)
    clip = open_clip(tmp_path / name)
    assert isinstance(clip, AnimationClip)
    assert (clip.name, clip.length, clip.size) == (name, 6, (24, 40))
    assert clip.fps == pytest.approx(10)
    np.testing.assert_allclose(clip.times, np.cumsum([0, *durations[:-1]]) / 1000)
    frames = list(clip.frames())
    assert np.abs(np.stack(frames).astype(int) - written).mean() < (6 if name.endswith("gif") else 0.1)
    for number, frame in zip([1, 4], clip.frames([1, 4]), strict=True):
        assert np.array_equal(frame, frames[number])
    part = open_clip(tmp_path / name, start=0.2, end=0.45)
    assert part.part.frames == range(2, 4)


def test_the_pages_of_a_tiff_are_frames(tmp_path, smooth):
    first, *others = (Image.fromarray(frame) for frame in smooth(3, 24, 40))
    first.save(tmp_path / "stack.tif", save_all=True, append_images=others)
    clip = open_clip(tmp_path / "stack.tif")
    assert (clip.length, clip.fps) == (3, pytest.approx(24))
    assert np.array_equal(np.stack(list(clip.frames())), smooth(3, 24, 40))
    first.save(tmp_path / "stack.tif", save_all=True, append_images=[others[0].resize((20, 20))])
    expected = f'"{tmp_path}/stack.tif" changes its size at frame 1, from 40x24 to 20x20; wanted one size. Save the frames as images'
    with pytest.raises(ClipError, match=f"^{re.escape(expected)}"):
        open_clip(tmp_path / "stack.tif")


def test_transparent_frames_that_move_lie_over_black(tmp_path):
    frames = [Image.new("RGBA", (8, 8), (250, 0, 0, 255 if number % 2 else 0)) for number in range(4)]
    frames[0].save(tmp_path / "blink.png", save_all=True, append_images=frames[1:], blend=0, duration=100)
    assert [int(frame[4, 4, 0]) for frame in open_clip(tmp_path / "blink.png").frames()] == [0, 250, 0, 250]
    frames[0].save(tmp_path / "once.gif", save_all=True, append_images=frames[1:2], duration=100)
    assert [int(frame[4, 4, 0]) for frame in open_clip(tmp_path / "once.gif").frames()] == [0, 250]


def test_a_picture_for_those_who_cannot_play_is_no_frame(tmp_path, smooth):
    cover, *frames = (Image.fromarray(frame) for frame in smooth(4, 24, 40))
    cover.save(tmp_path / "played.png", save_all=True, append_images=frames, default_image=True)
    assert np.array_equal(np.stack(list(open_clip(tmp_path / "played.png").frames())), smooth(4, 24, 40)[1:])


def test_frames_in_a_hurry_last_as_long_as_browsers_show_them(tmp_path, smooth):
    first, *others = (Image.fromarray(frame) for frame in smooth(3, 24, 40))
    first.save(tmp_path / "fast.gif", save_all=True, append_images=others, duration=0)
    assert open_clip(tmp_path / "fast.gif").fps == pytest.approx(10)


def test_a_still_gif_is_one_frame(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "still.gif")
    assert isinstance(open_clip(tmp_path / "still.gif"), ImagesClip)
    assert only(tmp_path / "still.gif").shape == (24, 40, 3)


def test_an_image_that_moves_among_the_frames_of_a_folder_is_refused(tmp_path, smooth):
    first, *others = (Image.fromarray(frame) for frame in smooth(3, 24, 40))
    first.save(tmp_path / "1.png")
    first.save(tmp_path / "2.webp", save_all=True, append_images=others)
    expected = f'the image "{tmp_path}/2.webp" holds 3 frames; among the images of a clip each must be one. Give it alone, as a clip.'
    with pytest.raises(ClipError, match=f"^{re.escape(expected)}$"):
        open_clip(tmp_path)


def test_an_image_that_moves_and_is_damaged_is_refused_when_opened(tmp_path, smooth):
    first, *others = (Image.fromarray(frame) for frame in smooth(6))
    first.save(tmp_path / "walk.gif", save_all=True, append_images=others)
    content = (tmp_path / "walk.gif").read_bytes()
    (tmp_path / "walk.gif").write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(
        ClipError, match=r'cannot read the image ".*walk\.gif": .*; it is damaged, cut short or no image\. Replace or remove it'
    ):
        open_clip(tmp_path / "walk.gif")


def test_an_image_that_changes_after_opening(tmp_path, smooth):
    Image.fromarray(smooth(1, 24, 40)[0]).save(tmp_path / "1.png")
    clip = open_clip(tmp_path)
    Image.fromarray(smooth(1, 20, 40)[0]).save(tmp_path / "1.png")
    with pytest.raises(ClipError, match=r'the image ".*1\.png" is 40x20 now and was 40x24 when the clip was opened; run again\.$'):
        list(clip.frames())


def test_a_bomb_of_pixels_is_refused_before_it_is_decoded(tmp_path):
    Image.new("1", (20000, 8000)).save(tmp_path / "bomb.png")
    expected = r'bomb\.png" has frames of 20000x8000, 160 million pixels; allowed are 67 million\. Reduce it first: ffmpeg'
    with pytest.raises(ClipError, match=expected):
        open_clip(tmp_path / "bomb.png")
    Image.new("1", (30000, 12000)).save(tmp_path / "bomb.png")
    with pytest.raises(
        ClipError, match=r'^cannot read the image ".*bomb\.png": it has more pixels than a frame may have\. Reduce it first\.$'
    ):
        open_clip(tmp_path / "bomb.png")
