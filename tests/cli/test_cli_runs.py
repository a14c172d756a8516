"""The commands that do the work, on the pocket model as it ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gazecut.world import render
from gazecut.world.files import write_video

QUICK = ("--device", "cpu", "--set", "sampler.frames=2", "--set", "segmenter=attention")
WRITTEN = {"masks", "masks.json", "overlay.mp4", "evidence", "run.json"}


@pytest.fixture
def clip(workdir: Path) -> Path:
    write_video(workdir / "clip.mp4", render(90_001, frames=6, size=128).frames, fps=12)
    return workdir / "clip.mp4"


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_segment_writes_everything_into_the_folder(gazecut: Any, clip: Path, workdir: Path) -> None:
    ended = gazecut("segment", str(clip), "the red circle", "-o", "out", *QUICK)
    assert ended.status == 0, ended.err
    assert ended.err == ""
    first, _, header, *stages, _, work, last = ended.out.splitlines()
    assert header.split() == ["STAGE", "SECONDS", "PEAK", "MEMORY"]
    assert [line.split()[0] for line in stages][:5] == ["open", "sample", "load", "look", "ask"]
    assert work.startswith("work: ")
    assert "2 rollout passes" in work
    assert first.startswith("the red circle   ")
    assert first.endswith("   out")
    assert last.endswith(" s on cpu")
    assert written(workdir / "out") == WRITTEN
    masks = sorted((workdir / "out" / "masks").iterdir())
    assert [path.name for path in masks] == [f"{number:05d}.png" for number in range(6)]
    assert np.asarray(Image.open(masks[0])).shape == (128, 128)
    run = json.loads((workdir / "out" / "run.json").read_text())
    assert (run["expression"], run["seed"]) == ("the red circle", 0)
    assert run["recipe"]["sampler"] == {"use": "uniform", "frames": 2}


def test_several_expressions_get_a_folder_each(gazecut: Any, clip: Path, workdir: Path) -> None:
    ended = gazecut("segment", str(clip), "the red circle", "the largest object", "-o", "out", *QUICK)
    assert ended.status == 0, ended.err
    assert written(workdir / "out") == {"the-red-circle", "the-largest-object"}
    assert all(written(folder) == WRITTEN for folder in (workdir / "out").iterdir())
    assert [line.split("   ")[-1] for line in ended.out.splitlines()[:2]] == ["out/the-red-circle", "out/the-largest-object"]


def test_the_second_run_takes_what_is_kept_unless_told_not_to(gazecut: Any, clip: Path) -> None:
    arguments = ("segment", str(clip), "the red circle", "-o", "out", *QUICK)
    first, second, third = gazecut(*arguments), gazecut(*arguments), gazecut(*arguments, "--no-cache", "--verify-weights")
    assert (first.status, second.status, third.status) == (0, 0, 0)
    assert "cache hits" not in first.out
    assert "7 cache hits" in second.out
    assert "load " not in second.out
    assert "cache" not in third.out
    assert "load " in third.out


def test_a_part_of_a_clip(gazecut: Any, clip: Path, workdir: Path) -> None:
    ended = gazecut("segment", str(clip), "the red circle", "--start", "0.1", "--end", "5f", "--every", "2", "-o", "out", *QUICK)
    assert ended.status == 0, ended.err
    run = json.loads((workdir / "out" / "run.json").read_text())
    assert run["clip"]["frames"] == len(list((workdir / "out" / "masks").iterdir())) == 2
    part = {"start": "0.1", "end": "5f", "every": 2, "first_frame": 2, "last_frame": 4, "source_frames": 6}
    assert run["clip"]["part"] == part


def test_a_part_that_is_not_there(gazecut: Any, clip: Path, workdir: Path) -> None:
    ended = gazecut("segment", str(clip), "the red circle", "--start", "9", "-o", "out", *QUICK)
    assert ended.status == 2
    assert ended.err.startswith("gazecut: ")
    assert "it has 6 frames, the last at 0.417 s" in ended.err
    assert not (workdir / "out").exists()


def test_world_score_is_a_table_by_kind(gazecut: Any) -> None:
    arguments = ("world", "score", "-n", "1", "--expressions", "1", *QUICK)
    ended = gazecut(*arguments)
    assert ended.status == 0, ended.err
    header, *rows = ended.out.splitlines()
    assert header.split()[:6] == ["kind", "n", "J", "F", "J&F", "pointing"]
    assert rows[-1].startswith("all ")
    means = json.loads(gazecut(*arguments, "--json").out)
    assert means["all"]["n"] == 1
    assert 0 <= means["all"]["J&F"] <= 1
    assert f"{means['all']['J']:.3f}" in rows[-1]


def test_the_demo_shows_score_time_and_where_to_look(gazecut: Any, workdir: Path) -> None:
    ended = gazecut("demo", "-o", "demo", "--device", "cpu")
    assert ended.status == 0, ended.err
    assert written(workdir / "demo") == WRITTEN | {"sample"}
    assert written(workdir / "demo" / "sample") == {"clip.mp4", "frames", "masks", "scene.json"}
    score = next(line for line in ended.out.splitlines() if line.startswith("J "))
    assert 0 <= float(score.split()[1]) <= 1
    places = ended.out.splitlines()[ended.out.splitlines().index("Look at:") + 1 :]
    assert all((workdir / line.split()[0]).exists() for line in places)
