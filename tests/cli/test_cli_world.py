"""`gazecut world render`: scenes as files that say the same as the scene."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gazecut.clip import open_clip
from gazecut.world import render


def test_scenes_are_written_with_their_truth(gazecut: Any, workdir: Path) -> None:
    ended = gazecut("world", "render", "--seed", "90004", "--count", "2", "--frames", "5", "--size", "64", "-o", "scenes")
    assert ended.status == 0
    assert sorted(path.name for path in (workdir / "scenes").iterdir()) == ["90004", "90005"]
    for seed in (90004, 90005):
        _check(workdir / "scenes" / str(seed), seed)


def _check(folder: Path, seed: int) -> None:
    scene = render(seed, frames=5, size=64)
    frames = np.stack([np.asarray(Image.open(path)) for path in sorted((folder / "frames").iterdir())])
    assert np.array_equal(frames, scene.frames)
    labels = np.stack([np.asarray(Image.open(path)) for path in sorted((folder / "masks").iterdir())])
    for item in scene.objects:
        assert np.array_equal(labels == item.id + 1, item.masks)
    video = np.stack(list(open_clip(folder / "clip.mp4").frames()))
    assert video.shape == scene.frames.shape
    assert np.abs(video.astype(int) - scene.frames).mean() < 6
    described = json.loads((folder / "scene.json").read_text())
    assert described["seed"] == seed
    assert [each["text"] for each in described["expressions"]] == [each.text for each in scene.expressions]


def test_odd_sizes_are_written_too(gazecut: Any, workdir: Path) -> None:
    assert gazecut("world", "render", "--frames", "2", "--size", "65", "-o", "odd").status == 0
    assert open_clip(workdir / "odd" / "90000" / "clip.mp4").size == (65, 65)


def test_an_output_that_is_a_file_is_refused(gazecut: Any, workdir: Path) -> None:
    (workdir / "taken").write_text("mine")
    ended = gazecut("world", "render", "-o", "taken")
    assert ended.status == 2
    assert "which is a file" in ended.err
    assert (workdir / "taken").read_text() == "mine"
