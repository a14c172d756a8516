"""Data for soft prompts: what is read, and what is said where it is not as it should be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gazecut.errors import DataError
from gazecut.protocols import Sampler
from gazecut.testing.fakes import FakeSampler
from gazecut.testing.options import FakeSamplerOptions
from gazecut.values import GridLayout
from gazecut.world import HELD_OUT, render
from gazecut_fusion import soft_prompt_data
from gazecut_fusion.config import SoftPromptTrainerOptions
from gazecut_fusion.soft_prompt_data import Source, open_source
from gazecut_fusion.soft_prompt_lessons import some_frames, truth_on_grid

ABOUT = Path("meta_expressions", "train", "meta_expressions.json")


def source(data: Path | str, validation: int = 1, sampler: Sampler | None = None, seed: int = 0) -> Source:
    return open_source(str(data), SoftPromptTrainerOptions(validation=validation, scenes=3), seed, sampler or FakeSampler())


@pytest.fixture
def videos(make_videos: Callable[..., Path]) -> Path:
    return make_videos()


def change(folder: Path, act: Callable[[Any], object]) -> None:
    content = json.loads((folder / ABOUT).read_text())
    act(content["videos"])
    (folder / ABOUT).write_text(json.dumps(content))


def test_a_folder_is_read_and_split(videos: Path) -> None:
    found = source(videos)
    assert (found.count("training"), found.count("validation")) == (2, 1)
    names = [found.load("training", 0).name, found.load("training", 1).name, found.load("validation", 0).name]
    assert sorted(names) == ["v0", "v1", "v2"]
    lesson = found.load("training", 0)
    assert lesson.texts == ("the red circle", "the one on the left")
    assert lesson.frames.images.shape == (4, 32, 48, 3)
    assert lesson.masks[0].shape == (4, 32, 48)
    assert lesson.masks[0][1, 6, 14]
    assert not lesson.masks[0][1, 6, 4]
    assert lesson.masks[1][:, 24, 8].all()


def test_the_split_is_the_seeds(videos: Path) -> None:
    kept = {source(videos, seed=seed).load("validation", 0).name for seed in range(8)}
    assert len(kept) > 1
    assert source(videos, seed=5).load("validation", 0).name == source(videos, seed=5).load("validation", 0).name


def test_several_objects_are_one_target(videos: Path) -> None:
    change(videos, lambda content: [video["expressions"]["0"].update(obj_id=["1", 2]) for video in content.values()])
    lesson = source(videos).load("training", 0)
    assert (lesson.masks[0] & lesson.masks[1]).sum() == lesson.masks[1].sum()


def test_the_pocket_world_never_renders_what_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(soft_prompt_data, "render", lambda seed, **size: seeds.append(seed) or render(seed, **size))
    found = source("pocket-world", validation=2)
    for split in ("training", "validation"):
        for index in range(found.count(split)):
            lesson = found.load(split, index)
            assert all(mask.any() for mask in lesson.masks)
    assert seeds == [0, 1, 2, 80_000, 80_001]
    assert max(seeds) < HELD_OUT


def load_all(videos: Path) -> None:
    found = source(videos)
    for index in range(found.count("training")):
        found.load("training", index)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, 'there is no folder ".*" to train on. Wanted pocket-world, or a folder with meta_expressions'),
    "no expressions file": (lambda folder: (folder / ABOUT).unlink(), "has no meta_expressions/train/meta_expressions.json"),
    "broken json": (lambda folder: (folder / ABOUT).write_text("{"), "cannot read .*meta_expressions.json: .* Fetch it again"),
    "empty": (lambda folder: change(folder, dict.clear), "names no videos"),
    "no frames": (lambda folder: change(folder, lambda all_: all_["v1"].update(frames=[])), 'video "v1" has no frames or no expressions'),
    "no object": (
        lambda folder: change(folder, lambda all_: all_["v1"]["expressions"]["0"].pop("obj_id")),
        "expression 0 of video \"v1\" has exp 'the red circle' and obj_id None; wanted its words, and the id of its object",
    ),
    "background for an object": (
        lambda folder: change(folder, lambda all_: all_["v1"]["expressions"]["0"].update(obj_id="0")),
        "and obj_id '0'; wanted",
    ),
    "a power for an object": (
        lambda folder: change(folder, lambda all_: all_["v1"]["expressions"]["0"].update(obj_id="²")),
        "and obj_id '²'; wanted",
    ),
    "no words": (lambda folder: change(folder, lambda all_: all_["v1"]["expressions"]["0"].update(exp=" ")), "has exp ' '"),
    "too few videos": (
        lambda folder: change(folder, lambda all_: [all_.pop("v1"), all_.pop("v2")]),
        "has 1 video with expressions, and trainer.validation keeps 1 of them",
    ),
    "masks missing": (
        lambda folder: [path.unlink() for path in folder.glob("train/Annotations/*/00002.png")],
        r'video "v\d": 1 of 4 masks are missing, the first at .*00002.png',
    ),
    "frames missing": (lambda folder: shutil.rmtree(folder / "train" / "JPEGImages"), r'video "v\d": 4 of 4 frames are missing'),
    "no mask of the object": (
        lambda folder: change(folder, lambda all_: [each.update(obj_id="7") for v in all_.values() for each in v["expressions"].values()]),
        r'none of its 2 expressions names an object of its masks, for example "the red circle" object 7; the masks hold \[1, 2\]',
    ),
    "mask of another size": (
        lambda folder: [Image.new("P", (5, 4)).save(path) for path in folder.glob("train/Annotations/*/*.png")],
        "is 5 x 4 px, its frame 48 x 32; wanted masks of the size of the frames",
    ),
    "mask in colour": (
        lambda folder: [Image.new("RGB", (48, 32)).save(path) for path in folder.glob("train/Annotations/*/*.png")],
        "is an image of mode RGB; wanted a palette image whose values are object ids",
    ),
    "mask that is no image": (
        lambda folder: [path.write_bytes(b"no") for path in folder.glob("train/Annotations/*/*.png")],
        "cannot read .*.png: .* Fetch it again",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said(fault: str, videos: Path) -> None:
    harm, message = FAULTS[fault]
    harm(videos)
    with pytest.raises(DataError, match=message) as raised:
        load_all(videos)
    assert raised.value.exit_status == 2


def test_a_missing_mask_is_said_before_any_video_is_trained_on(videos: Path) -> None:
    for path in videos.glob("train/Annotations/*/00003.png"):
        path.unlink()
    with pytest.raises(DataError, match="1 of 4 masks are missing"):
        source(videos)


def test_a_slip_in_the_name_of_the_pocket_world_is_seen() -> None:
    with pytest.raises(DataError, match=r'there is no folder "pocket_world" to train on; did you mean "pocket-world"\?'):
        source("pocket_world")


def test_more_validation_than_there_is_is_refused() -> None:
    with pytest.raises(DataError, match=r"trainer\.validation is 10001; the pocket world has 10000 scenes for validation"):
        source("pocket-world", validation=10_001)


def test_what_shows_between_the_sampled_frames_alone_is_sampled_there(videos: Path) -> None:
    for path in videos.glob("train/Annotations/*/*.png"):
        if path.stem != "00001":
            Image.new("P", (48, 32)).save(path)
    found = source(videos, sampler=FakeSampler(FakeSamplerOptions(every=2)))
    lesson = found.load("training", 0)
    assert lesson.frames.indices.tolist() == [1]
    assert [mask.sum() > 0 for mask in lesson.masks] == [True, True]
    assert lesson.frames.images.shape == (1, 32, 48, 3)


def test_truth_is_the_share_of_each_cell_and_the_mean_over_a_slot() -> None:
    masks = np.zeros((3, 4, 4), bool)
    masks[0, :2, :2] = True
    masks[1, :2, :1] = True
    masks[2, 2:, 2:] = True
    truth = truth_on_grid(masks, GridLayout(2, 2, 2, frames_per_slot=2))
    assert truth.tolist() == [[[0.75, 0], [0, 0]], [[0, 0], [0, 1.0]]]


def test_frames_are_drawn_where_something_is_named(videos: Path) -> None:
    lesson = source(videos).load("training", 0)
    lesson.masks[0][:] = False
    lesson.masks[0][2, 0, 0] = True
    lesson.masks[1][:] = False
    few = some_frames(lesson, 3, np.random.default_rng(0))
    assert few.frames.indices.tolist() == [2]
    assert few.texts == lesson.texts[:1]
