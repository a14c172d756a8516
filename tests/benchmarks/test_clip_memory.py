"""A handful of frames is alive at a time, and whole runs on real sizes stay below two gigabytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from gazecut.clip import open_clip

MOST = 2000  # MB, of a whole `gazecut segment` with recipe `pocket`
MOST_TO_READ = 250  # MB, Python and its libraries included; the frames together are 829


@pytest.fixture(scope="module")
def clips(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    """The benchmark of clips, which measures processes of their own."""
    return benchmark("clips")


def test_reading_frames_keeps_few_of_them(clips, tmp_path):
    path = clips.write_clip(clips.KINDS["h264"], tmp_path, frames=100)
    one_by_one, stacked = clips.read_cost(path), clips.read_cost(path, "stack")
    assert one_by_one.megabytes < MOST_TO_READ
    assert stacked.megabytes > 276, "the measure sees frames that are held"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["h264", "vp9", "av1", "phone"])
def test_real_sizes_stay_below_two_gigabytes(name, clips, tmp_path, monkeypatch):
    monkeypatch.setenv("SVT_LOG", "0")
    path = clips.write_clip(clips.KINDS[name], tmp_path)
    clip = open_clip(path)
    assert (clip.length, clip.fps) == (300, 30.0)
    assert clip.size == ((1280, 720) if name == "phone" else (720, 1280))
    truth = np.stack([frame for number, frame in enumerate(clips.pictures(300)) if number in (0, 150, 299)])
    upright = np.rot90(truth, -1, axes=(1, 2)) if name == "phone" else truth
    for frame, expected in zip(clip.frames([0, 150, 299]), upright, strict=True):
        assert np.abs(frame.astype(int) - expected).mean() < 6
    assert clips.read_cost(path).megabytes < MOST_TO_READ

    cost = clips.segment_cost(path, tmp_path / "out")
    assert cost.megabytes < MOST
    masks = sorted((tmp_path / "out" / "masks").glob("*.png"))
    assert len(masks) == 300
    with Image.open(masks[-1]) as mask:
        assert mask.size == (clip.size[1], clip.size[0])
    manifest = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (manifest["clip"]["frames"], manifest["clip"]["size"]) == (300, list(clip.size))
