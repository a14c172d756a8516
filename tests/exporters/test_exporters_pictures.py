"""overlay and sheet: pictures for people, checked where a machine can check them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageFont

from gazecut.clip import open_clip
from gazecut.errors import OutputError
from gazecut.output import export_result
from gazecut.pictures.painting import coverage, heated, spots
from gazecut.pictures.palette import PAPER, object_colour
from gazecut.result import Result, ResultMaps
from gazecut.testing import fake_pipeline, moving_square, samples
from gazecut.values import Points
from gazecut_plugins.exporters import overlay, sheet_tiles
from gazecut_plugins.exporters.config import OverlayOptions, SheetOptions
from gazecut_plugins.exporters.lettering import Lettering
from gazecut_plugins.exporters.overlay import OverlayExporter
from gazecut_plugins.exporters.sheet import SheetExporter
from gazecut_plugins.exporters.sheet_tiles import named_candidates

PLAIN = {"shortest_side": 0, "legend": False}


def exported_video(result: Result, folder: Path, **options: object) -> np.ndarray:
    folder.mkdir(exist_ok=True)
    export_result(result, [OverlayExporter(OverlayOptions(**options))], folder)
    return np.stack(list(open_clip(folder / "overlay.mp4").frames()))


def exported_sheet(result: Result, folder: Path, **options: object) -> np.ndarray:
    folder.mkdir(exist_ok=True)
    export_result(result, [SheetExporter(SheetOptions(**options))], folder)
    with Image.open(folder / "evidence" / "sheet.png") as image:
        assert image.mode == "RGB"
        return np.asarray(image)


@pytest.mark.parametrize("size", [(48, 64), (47, 63), (1, 1), (33, 120)])
def test_the_overlay_plays_anywhere_whatever_the_size(size, make_result, tmp_path):
    result = make_result(size=size)
    video = exported_video(result, tmp_path, **PLAIN)
    assert video.shape == (6, size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec.name, stream.pix_fmt, float(stream.average_rate)) == ("h264", "yuv420p", 12.5)


def test_small_clips_are_enlarged_and_a_strip_tells_the_expression(make_result, tmp_path):
    video = exported_video(make_result(), tmp_path)
    height, width = 48 * 8, 64 * 8
    assert video.shape[2] == width
    assert 20 < video.shape[1] - height < 60
    strip = video[0, height:]
    assert strip.max() > 200, "the text is light"
    assert np.median(strip) < 40, "on a dark ground"


def test_objects_are_tinted_and_the_rest_is_dimmed(make_result, tmp_path):
    result = make_result(size=(96, 128), scores=(0.9,))
    video = exported_video(result, tmp_path, opacity=1.0, dim=0.5, quality=1, **PLAIN).astype(int)
    frames = np.stack(list(result.clip.frames())).astype(int)
    inner = coverage(result.objects[0].track.mask(0), (96, 128)) > 0
    inner[:40] = inner[-40:] = False  # away from the outline
    inner[:, :20] = inner[:, 32:] = False
    assert inner.sum() > 100
    assert np.abs(video[0][inner] - object_colour(1)).mean() < 6
    outside = np.zeros((96, 128), bool)
    outside[:20] = True
    assert np.abs(video[0][outside].mean() - frames[0][outside].mean() / 2) < 4
    assert np.abs(video[-1].mean() - frames[-1].mean() / 2) < 4, "an absent object paints nothing"


def test_without_tint_and_dimming_the_frames_stay_as_they_are(make_result, tmp_path):
    result = make_result(size=(96, 128), scores=())
    smooth = np.repeat(np.linspace(0, 255, 128, dtype=np.uint8)[None, :, None], 96, axis=0).repeat(3, axis=2)
    result = make_result(size=(96, 128), scores=(), clip=type(result.clip)(np.stack([smooth] * 6)))
    video = exported_video(result, tmp_path, opacity=0.0, dim=0.0, quality=8, **PLAIN).astype(int)
    assert np.abs(video - smooth).max() <= 4, "colours survive the way through yuv420p"


def test_overlays_are_equal_when_decoded(make_result, tmp_path):
    first, second = (exported_video(make_result(frames=12), tmp_path / name) for name in ("one", "two"))
    assert np.array_equal(first, second)


def test_many_objects_and_long_expressions_fit_the_strip(make_result, tmp_path):
    crowd = make_result(scores=tuple(0.9 - 0.01 * number for number in range(12)), expression="the " + "very " * 60 + "red disc")
    tall, usual = exported_video(crowd, tmp_path / "crowd"), exported_video(make_result(), tmp_path / "two")
    assert 10 < tall.shape[1] - usual.shape[1] < 40, "a second line, and no third"
    assert (tall[0, 48 * 8 + 4 :, :6] < 60).all(), "nothing runs over the edge"
    assert (tall[0, 48 * 8 + 4 :, -6:] < 60).all()
    nothing = exported_video(make_result(scores=()), tmp_path / "nothing")
    assert not np.array_equal(nothing[0, -30:], exported_video(make_result(), tmp_path / "some")[0, -30:])


def test_frames_are_taken_one_at_a_time(make_result, tmp_path, monkeypatch):
    result = make_result()
    log: list[str] = []
    frames, encode = result.clip.frames, overlay._video_frame
    monkeypatch.setattr(result.clip, "frames", lambda indices=None: (log.append("read") or frame for frame in frames(indices)))
    monkeypatch.setattr(overlay, "_video_frame", lambda picture: log.append("write") or encode(picture))
    exported_video(result, tmp_path)
    assert log == ["read", "write"] * 6


def test_an_encoder_that_stops(make_result, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise av.error.ExternalError(1, "no space")

    monkeypatch.setattr(overlay.av, "open", full)
    with pytest.raises(OutputError, match=r"overlay\.mp4: the encoder stopped: .*no space.*; make room, or leave exporter `overlay` out"):
        export_result(make_result(), [OverlayExporter(OverlayOptions())], tmp_path)


@pytest.mark.parametrize(
    ("size", "sampled", "frames"), [((48, 64), 1, 6), ((480, 854), 3, 3), ((128, 128), 8, 8), ((47, 63), 16, 20), ((120, 40), 5, 6)]
)
def test_the_sheet_shows_every_sampled_frame(size, sampled, frames, make_result, tmp_path):
    result = make_result(size=size, sampled=sampled, frames=frames)
    sheet = exported_sheet(result, tmp_path)
    assert 250 < sheet.shape[0] < 4500
    assert 350 < sheet.shape[1] <= 1800
    assert (sheet[:20] == PAPER).all(), "a white edge"
    other = exported_sheet(make_result(size=size, sampled=sampled, frames=frames, scores=()), tmp_path / "other")
    assert sheet.shape != other.shape or not np.array_equal(sheet, other)


def test_sixteen_frames_stand_in_two_blocks_of_eight(make_result, tmp_path):
    eight = exported_sheet(make_result(size=(48, 96), sampled=8, frames=8), tmp_path / "8")
    sixteen = exported_sheet(make_result(size=(48, 96), sampled=16, frames=16), tmp_path / "16")
    assert sixteen.shape[1] == eight.shape[1]
    assert sixteen.shape[0] > eight.shape[0]


def test_more_frames_than_fit_are_thinned_out(make_result, tmp_path):
    result = make_result(sampled=30, frames=30)
    asked: list[list[int]] = []
    frames = result.clip.frames
    result.clip.frames = lambda indices: asked.append(list(indices)) or frames(indices)
    exported_sheet(result, tmp_path, frames=4)
    assert asked == [[0, 10, 19, 29]]


def test_the_maps_of_views_are_shown_on_request(make_result, tmp_path):
    result = make_result(size=(240, 320))
    short, tall = exported_sheet(result, tmp_path / "a"), exported_sheet(result, tmp_path / "b", views=True)
    assert tall.shape[0] > short.shape[0]
    fused_only = make_result(size=(240, 320), heatmaps=ResultMaps(result.heatmaps.fused))
    assert exported_sheet(fused_only, tmp_path / "c", views=True).shape == short.shape


def test_a_sheet_without_answers_points_or_candidates(make_result, tmp_path):
    nothing = np.zeros(0)
    points = Points(nothing.astype(np.int64), nothing.astype(np.int64), nothing, nothing, nothing.astype(np.int64), nothing)
    flat = ResultMaps(np.zeros((3, 4, 5), np.float32))
    exported_sheet(make_result(scores=(), answers=(), category=None, points=points, heatmaps=flat, expression=""), tmp_path)


def test_sheets_are_the_same_every_time(make_result, tmp_path):
    assert np.array_equal(exported_sheet(make_result(), tmp_path / "a"), exported_sheet(make_result(), tmp_path / "b"))


def test_kept_candidates_are_named_like_their_objects_and_dropped_ones_by_letters(make_result):
    named = named_candidates(make_result(dropped=2))
    assert [one.name for one in named] == ["1", "2", "a", "b"]
    assert [one.tracklet.score for one in named] == [0.9, 0.95, 0.2, pytest.approx(0.15)]
    assert named[1].colour == object_colour(2)
    many = [one.name for one in named_candidates(make_result(dropped=60))[2:]]
    assert len(set(many)) == 60
    assert many[24:28] == ["y", "z", "aa", "ab"]
    assert many[51:54] == ["az", "ba", "bb"]


def test_a_label_wants_to_stand_above_the_largest_piece():
    cover = np.zeros((100, 200), np.float32)
    cover[2:4, 190:192] = 1
    cover[50:90, 40:61] = 1
    assert sheet_tiles._above(cover) == (25.0, 23.0)


def test_heat_is_brighter_where_the_map_is_higher():
    tile = heated(np.full((40, 60, 3), 128, np.uint8), np.array([[0.0, 0.5, 1.0]], np.float32))
    columns = tile.astype(int).sum(2).mean(0)
    assert columns[5] < columns[30] < columns[55]


@pytest.mark.parametrize("label", [0, 1, 2, 3])
def test_a_point_is_painted_where_it_is(label):
    tile = np.full((80, 120, 3), 90, np.uint8)
    spots(tile, [(0.25, 0.75)], [label], radius=4)
    y, x = np.nonzero((tile != 90).any(2))
    assert abs(y - 60).max() < 14
    assert abs(x - 30).max() < 14
    assert (tile[59:61, 29:31] > 200).any()


def test_a_mask_keeps_its_area_at_other_sizes(make_result):
    mask = make_result(size=(60, 60)).objects[0].track.mask(0)
    for size in ((60, 60), (30, 30), (180, 180), (97, 41)):
        assert coverage(mask, size).mean() == pytest.approx(mask.mean(), rel=0.06)


def test_text_is_shortened_and_wrapped_to_its_width():
    lettering = Lettering()
    assert lettering.shortened("the red circle", 20, 1000) == "the red circle"
    short = lettering.shortened("the red circle", 20, 80)
    assert short.endswith("…")
    assert lettering.width(short, 20) <= 80
    assert lettering.shortened("wide", 20, 1) == "…"
    lines = lettering.wrapped("one two three four five six seven eight nine ten", 20, 120, lines=3)
    assert len(lines) == 3
    assert all(lettering.width(line, 20) <= 120 for line in lines)
    assert lettering.wrapped("", 20, 100, lines=2) == []
    assert " ".join(lettering.wrapped("one two three", 20, 60, lines=9)) == "one two three"


def test_a_word_that_no_line_holds_goes_on_in_the_next():
    lettering, word = Lettering(), "Donaudampfschifffahrtsgesellschaft" * 2
    lines = lettering.wrapped(f"a {word} b", 20, 150, lines=9)
    assert all(lettering.width(line, 20) <= 150 for line in lines)
    assert "".join(lines).replace(" ", "") == f"a{word}b"
    assert lettering.wrapped("wide", 20, 1, lines=4) == ["w", "i", "d", "…"]


def test_text_of_pages_is_set_with_few_looks(monkeypatch):
    looks, width = [], Lettering.width
    monkeypatch.setattr(Lettering, "width", lambda self, text, size: looks.append(text) or width(self, text, size))
    for text in ("word " * 500, "w" * 2500):
        looks.clear()
        lines = Lettering().wrapped(text, 17, 280, lines=3)
        assert len(lines) == 3
        assert lines[-1].endswith("…")
        assert len(looks) < 60


def test_letters_that_the_own_font_lacks_come_from_the_system_or_lose_their_accents(monkeypatch):
    from gazecut_plugins.exporters import lettering as module

    line, _ = Lettering()._fitting("the caf\u00e9\nis\tred", 20)
    assert line in ("the caf\u00e9 is red", "the cafe is red")
    monkeypatch.setattr(module, "_SYSTEM_FONTS", ())
    assert Lettering()._fitting("the caf\u00e9", 20)[0] == "the cafe"


def test_a_font_that_cannot_be_read(tmp_path):
    (tmp_path / "font.ttf").write_bytes(b"no font")
    for options in (OverlayOptions(font=str(tmp_path / "font.ttf")), SheetOptions(font=str(tmp_path / "none.ttf"))):
        exporter = OverlayExporter if isinstance(options, OverlayOptions) else SheetExporter
        with pytest.raises(
            OutputError, match=r'cannot read the font ".*ttf": .*; give a TrueType or OpenType file, or leave the option out'
        ):
            exporter(options)


def test_a_font_of_ones_own_is_used(tmp_path):
    try:
        file = ImageFont.truetype("DejaVuSans.ttf", 16).path
    except OSError:
        pytest.skip("no second font on this system")
    assert Lettering(str(file)).width("the red circle", 20) != Lettering().width("the red circle", 20)


def test_a_sheet_from_notes_is_the_same_file(tmp_path):
    """What the cache keeps is enough for the sheet: words, scores and reasons among it."""
    frames = np.stack(list(moving_square(8, (64, 80)).frames()))
    sheets = []
    for name in ("fresh", "noted"):
        pipeline = fake_pipeline({"scorer": "object-score"})
        result = pipeline.segment(frames, "the square")
        (tmp_path / name).mkdir()
        export_result(result, [SheetExporter(SheetOptions())], tmp_path / name)
        sheets.append((tmp_path / name / "evidence" / "sheet.png").read_bytes())
        assert ("mllm" in pipeline.built()) == (name == "fresh")
        assert result.prompt_weights
    assert sheets[0] == sheets[1]


def test_reasons_words_and_suppressed_prompts_are_on_the_sheet(make_result, tmp_path):
    """Each of them changes the picture, and nothing else does."""
    result = make_result()
    sheet = exported_sheet(result, tmp_path / "as it is")
    reasoned = [dataclasses.replace(one, reason="of another mind") for one in result.tracklets]
    nameless = [dataclasses.replace(one, reason=None) for one in result.tracklets]
    changes = {
        "reasons": {"tracklets": tuple(reasoned)},
        "no reasons": {"tracklets": tuple(nameless)},
        "no words": {"prompt_weights": ()},
        "more prompts": {"points": Points.single_clicks(np.array([(0, 0.3, 0.6, 0.9)] * 9 + [(1, 0.3, 0.6, 0.9), (2, 0.3, 0.6, 0.9)]))},
    }
    for name, change in changes.items():
        other = exported_sheet(dataclasses.replace(result, **change), tmp_path / name)
        assert other.shape != sheet.shape or not np.array_equal(other, sheet), name
    assert exported_sheet(dataclasses.replace(result, prompt_weights=()), tmp_path / "lower").shape[0] < sheet.shape[0]


def test_the_legend_of_many_objects_tells_the_best_and_how_many_more(tmp_path, monkeypatch):
    written: list[tuple[float, str]] = []
    write = Lettering.write
    monkeypatch.setattr(
        Lettering, "write", lambda self, draw, at, text, *rest: written.append((at[0], text)) or write(self, draw, at, text, *rest)
    )
    result = samples.result(objects=30)
    worst_first = tuple(dataclasses.replace(found, score=found.id / 30) for found in result.objects)
    export_result(dataclasses.replace(result, objects=worst_first), [OverlayExporter(OverlayOptions())], tmp_path)
    told = [text for _, text in sorted(written) if text != result.expression]
    shown = (len(told) - 1) // 2
    assert told[-1] == f"{30 - shown} more"
    assert told[:-1:2] == [str(number) for number in range(31 - shown, 31)]
    assert told[1:-1:2] == [f"{number / 30:.2f}" for number in range(31 - shown, 31)]


@pytest.mark.parametrize("size", [(900, 2), (2, 900)])
def test_tiles_of_strips_stay_small(size, make_result, tmp_path):
    height, width = exported_sheet(make_result(size=size), tmp_path).shape[:2]
    assert height < 2000
    assert width < 2000


@pytest.mark.parametrize("size", [(20, 400), (400, 20), (100, 768), (768, 100)])
def test_captions_and_names_of_rows_are_told_whatever_the_shape(size, make_result, tmp_path, monkeypatch):
    written: list[str] = []
    write = Lettering.write
    monkeypatch.setattr(Lettering, "write", lambda self, draw, at, text, *rest: written.append(text) or write(self, draw, at, text, *rest))
    exported_sheet(make_result(size=size, sampled=8, frames=40), tmp_path)
    assert {"frame", "attention", "candidates", "result"} <= set(written)
    assert {"frame 0 · 0.0 s", "frame 39 · 3.1 s"} <= set(written)
