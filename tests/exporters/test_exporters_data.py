"""masks, heatmaps and manifest: formats that others read."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open

from gazecut import rle
from gazecut.clip import ArrayClip
from gazecut.errors import OutputError
from gazecut.output import export_result
from gazecut.pictures.palette import object_colour, png_palette
from gazecut.result import FoundObject, ResultMaps
from gazecut.stretch import Stretch
from gazecut.values import MaskTrack
from gazecut_plugins.exporters.config import HeatmapsOptions, ManifestOptions, MasksOptions
from gazecut_plugins.exporters.heatmaps import HeatmapsExporter
from gazecut_plugins.exporters.manifest import ManifestExporter
from gazecut_plugins.exporters.masks import MasksExporter, id_map


def test_a_palette_image_for_every_frame(make_result, tmp_path):
    result = make_result(size=(47, 63))
    export_result(result, [MasksExporter(MasksOptions())], tmp_path)
    files = sorted((tmp_path / "masks").iterdir())
    assert [file.name for file in files] == [f"{frame:05d}.png" for frame in range(6)]
    for frame, file in enumerate(files):
        with Image.open(file) as image:
            assert image.mode == "P"
            assert image.getpalette()[:9] == [0, 0, 0, *object_colour(1), *object_colour(2)]
            ids = np.asarray(image)
        first, second = (found.track.mask(frame) for found in result.objects)
        assert np.array_equal(ids == 2, second), "the better score wins where objects overlap"
        assert np.array_equal(ids == 1, first & ~second)
        assert np.array_equal(ids > 0, result.mask(frame))
    assert (first & second).sum() == 0 < (result.objects[0].track.mask(0) & result.objects[1].track.mask(0)).sum()


@given(st.lists(st.sampled_from([0.1, 0.5, 0.9]), max_size=5), st.integers(0, 2**16))
def test_each_pixel_goes_to_the_best_object_there(scores, seed):
    masks = np.random.default_rng(seed).random((len(scores), 1, 4, 5)) < 0.5
    objects = [
        FoundObject(number, score, MaskTrack.from_masks(mask, (4, 5)))
        for number, (score, mask) in enumerate(zip(scores, masks, strict=True), start=1)
    ]
    ids = id_map(Stretch("", ArrayClip(np.zeros((8, 4, 5, 3), np.uint8)), range(7, 8), tuple(objects)), 7)
    for y, x in np.ndindex(4, 5):
        there = [found for found, mask in zip(objects, masks, strict=True) if mask[0, y, x]]
        assert ids[y, x] == (min(there, key=lambda found: (-found.score, found.id)).id if there else 0)


def test_codes_are_whole_and_complete(make_result, tmp_path):
    result = make_result()
    export_result(result, [MasksExporter(MasksOptions())], tmp_path)
    content = json.loads((tmp_path / "masks.json").read_text(encoding="utf-8"))
    assert list(content) == ["size", "fps", "objects"]
    assert content["size"] == [48, 64]
    assert content["fps"] == 12.5
    assert [list(entry) for entry in content["objects"]] == [["id", "score", "rle"]] * 2
    for entry, found in zip(content["objects"], result.objects, strict=True):
        assert (entry["id"], entry["score"]) == (found.id, found.score)
        assert len(entry["rle"]) == 6
        for frame, code in enumerate(entry["rle"]):
            decoded = np.zeros((48, 64), bool) if code is None else rle.decode(code)
            assert np.array_equal(decoded, found.track.mask(frame))
    assert content["objects"][0]["rle"][5] is None, "an absent object has no code"


def test_nothing_found_is_a_valid_result(make_result, tmp_path):
    export_result(make_result(scores=()), [MasksExporter(MasksOptions())], tmp_path)
    assert json.loads((tmp_path / "masks.json").read_text())["objects"] == []
    assert len(list((tmp_path / "masks").iterdir())) == 6
    with Image.open(tmp_path / "masks" / "00003.png") as image:
        assert not np.asarray(image).any()


def test_ids_beyond_the_palette_are_sixteen_bit(make_result, tmp_path):
    first, second = (rle.encode(np.arange(48 * 64).reshape(48, 64) % 7 == rest) for rest in (0, 1))
    low = FoundObject(255, 0.9, MaskTrack((48, 64), (first, None, first) + (None,) * 3))
    high = FoundObject(300, 0.5, MaskTrack((48, 64), (None, second, second) + (None,) * 3))
    export_result(make_result(objects=(low, high)), [MasksExporter(MasksOptions())], tmp_path)
    for frame, (mode, shown) in enumerate([("P", {0, 255}), ("I;16", {0, 300}), ("I;16", {0, 255, 300}), ("P", {0})]):
        with Image.open(tmp_path / "masks" / f"{frame:05d}.png") as image:
            assert image.mode == mode
            ids = np.asarray(image)
        assert set(np.unique(ids).tolist()) == shown
        for found in (low, high):
            assert np.array_equal(ids == found.id, found.track.mask(frame))


def test_colours_differ():
    colours = [object_colour(number) for number in range(1, 22)]
    assert len(set(colours)) == 21
    assert object_colour(22) == object_colour(1)
    assert len(png_palette()) == 768
    assert all(0 <= value <= 255 for value in png_palette())


def test_heat_maps_read_back(make_result, tmp_path):
    result = make_result()
    HeatmapsExporter(HeatmapsOptions()).export(result, tmp_path)
    with safe_open(tmp_path / "evidence" / "heatmaps.safetensors", "numpy") as file:
        assert sorted(file.keys()) == ["frame", "fused", "video"]
        assert json.loads(file.metadata()["frame_indices"]) == result.frame_indices.tolist()
        for name in ("fused", "video", "frame"):
            values = file.get_tensor(name)
            assert values.dtype == np.float32
            assert np.array_equal(values, getattr(result.heatmaps, name))


def test_views_that_were_not_asked_have_no_key(make_result, tmp_path):
    fused = np.asfortranarray(np.random.default_rng(0).random((3, 4, 5)))
    HeatmapsExporter(HeatmapsOptions()).export(make_result(heatmaps=ResultMaps(fused)), tmp_path)
    with safe_open(tmp_path / "evidence" / "heatmaps.safetensors", "numpy") as file:
        assert list(file.keys()) == ["fused"]
        assert np.array_equal(file.get_tensor("fused"), fused.astype(np.float32))


def test_the_same_result_gives_the_same_bytes(make_result, tmp_path):
    written: list[dict[str, bytes]] = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        exporters = [MasksExporter(MasksOptions()), HeatmapsExporter(HeatmapsOptions()), ManifestExporter(ManifestOptions())]
        export_result(make_result(), exporters, folder)
        written.append({str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()})
    assert written[0] == written[1]
    assert len(written[0]) == 6 + 3


def test_the_manifest_keeps_its_order_with_what_was_measured_last(make_result, tmp_path):
    manifest = {"measured": {"seconds": np.float64(1.5)}, "z": np.arange(2), "a": {"path": Path("x/y"), "none": None}, "text": "Schwäne"}
    ManifestExporter(ManifestOptions()).export(make_result(manifest=manifest), tmp_path)
    text = (tmp_path / "run.json").read_text(encoding="utf-8")
    content = json.loads(text)
    assert list(content) == ["z", "a", "text", "measured"]
    assert content == {"z": [0, 1], "a": {"path": "x/y", "none": None}, "text": "Schwäne", "measured": {"seconds": 1.5}}
    assert "Schwäne" in text


@pytest.mark.parametrize(("value", "found"), [(float("nan"), "Out of range float values"), (Fraction(1, 3), "Fraction is not JSON: 1/3")])
def test_a_manifest_that_json_cannot_say(value, found, make_result, tmp_path):
    with pytest.raises(OutputError, match=re.escape(f"run.json: {found}") + ".*wanted text, finite numbers, lists and mappings"):
        ManifestExporter(ManifestOptions()).export(make_result(manifest={"seed": value}), tmp_path)
    assert not (tmp_path / "run.json").exists()
