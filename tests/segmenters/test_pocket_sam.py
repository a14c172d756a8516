"""The SAM 2 that comes with the package: how large it is, how it is found, and what it knows of the pocket world."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from gazecut.clip import open_clip
from gazecut.errors import WeightsError
from gazecut.protocols import Runtime
from gazecut.values import HeatMaps, Points
from gazecut.world import HELD_OUT, Scene, render
from gazecut_segmenter.config import Sam2HfOptions
from gazecut_segmenter.sam2_files import identify, on_this_machine
from gazecut_segmenter.sam2_hf import Sam2HfSegmenter
from gazecut_segmenter.sam2_session import Sam2Session

WEIGHTS = "package:gazecut_segmenter/pocket"
FOLDER = Path(str(resources.files("gazecut_segmenter"))) / "pocket"
NO_HEAT = HeatMaps(np.zeros((1, 1, 1), np.float32))
SEEDS = range(HELD_OUT, HELD_OUT + 8)


@pytest.fixture(scope="module")
def segmenter() -> Sam2HfSegmenter:
    return Sam2HfSegmenter(Sam2HfOptions(weights=WEIGHTS), Runtime("cpu", 0))


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [render(seed, frames=8, size=256) for seed in SEEDS]


def clicks(places: list[tuple[float, float]]) -> Points:
    return Points.single_clicks(np.array([(0.0, x, y, 1.0) for x, y in places]))


def inside(mask: np.ndarray) -> tuple[float, float]:
    """A pixel of a mask far from its edge, as fractions."""
    core = mask
    while core.any():
        mask, padded = core, np.pad(core, 1)
        core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:] & core
    row, column = np.argwhere(mask)[0]
    return (column + 0.5) / mask.shape[1], (row + 0.5) / mask.shape[0]


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def test_it_is_small_and_holds_weights_alone() -> None:
    assert {file.name for file in FOLDER.iterdir()} == {"config.json", "model.safetensors"}
    assert (FOLDER / "model.safetensors").stat().st_size <= 12_000_000
    with safe_open(FOLDER / "model.safetensors", "np") as opened:
        assert sum(int(np.prod(opened.get_slice(name).get_shape())) for name in opened.keys()) <= 4_000_000  # noqa: SIM118


def test_it_is_known_by_its_files() -> None:
    checkpoint = on_this_machine(WEIGHTS)
    assert checkpoint is not None
    assert checkpoint.path == FOLDER
    assert identify(Sam2HfOptions(weights=WEIGHTS), verify=True) == identify(Sam2HfOptions(weights=str(FOLDER)), verify=True)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("package:nowhere/x", 'no package "nowhere" is installed; install it'),
        ("package:gazecut_segmenter/x", 'package "gazecut_segmenter" has no folder "x"'),
        ("package:gazecut/recipes", "has no config.json"),
    ],
)
def test_what_is_not_there_is_said(weights: str, said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        on_this_machine(weights)
    assert identify(Sam2HfOptions(weights=weights), verify=False) is None


def test_a_click_gives_the_object(segmenter: Sam2HfSegmenter, scenes: list[Scene]) -> None:
    found, trusted, beside = [], [], []
    for scene in scenes:
        with segmenter.open(open_clip(scene.frames)) as session:
            masks = [each.masks[3] for each in scene.objects if each.masks[3].sum() > 300]
            ground = ~np.any([each.masks[3] for each in scene.objects], axis=0)
            candidates = session.masks_at(3, clicks([*map(inside, masks), inside(ground)]), np.zeros((1, 1), np.float32))
            found += [iou(one, other) for one, other in zip(masks, candidates.masks, strict=False)]
            trusted += candidates.predicted_iou[:-1].tolist()
            beside.append(float(candidates.predicted_iou[-1]))
    assert len(found) >= 12
    assert np.median(found) > 0.93
    assert np.quantile(found, 0.1) > 0.8
    assert min(trusted) > max(beside)


@pytest.mark.parametrize("start", [0, 7, 4])
def test_a_mask_is_followed(segmenter: Sam2HfSegmenter, scenes: list[Scene], start: int) -> None:
    found = []
    for scene in scenes:
        objects = [each for each in scene.objects if each.masks[start].sum() > 300]
        prompts = np.array([each.masks[start] for each in objects])
        with segmenter.open(open_clip(scene.frames)) as session:
            for item in session.propagate(start, prompts, range(8), NO_HEAT, np.array([start])):
                seen = [(each.masks[item.frame], mask) for each, mask in zip(objects, item.masks, strict=True)]
                found += [iou(one, other) for one, other in seen if one.sum() > 60 and item.frame != start]
    assert len(found) > 80
    assert np.mean(found) > 0.88


def test_frames_without_the_object_come_out_empty(segmenter: Sam2HfSegmenter, scenes: list[Scene]) -> None:
    """The object is there on frames 0 to 2, then on none, and back on the last."""
    empty, back = [], []
    for scene, other in zip(scenes[::2], scenes[1::2], strict=True):
        one = scene.objects[0]
        frames = np.concatenate([scene.frames[:3], other.frames[3:6], scene.frames[6:7]])
        with segmenter.open(open_clip(frames)) as session:
            found = {each.frame: each.masks[0] for each in _follow(session, one.masks[:1], len(frames))}
        empty += [bool(found[frame].sum() < 48) for frame in range(3, 6)]
        back.append(iou(found[6], one.masks[6]))
    assert np.mean(empty) >= 0.5
    assert np.mean(back) > 0.5


def _follow(session: Sam2Session, masks: np.ndarray, length: int) -> Iterator[object]:
    return session.propagate(0, masks, range(length), NO_HEAT, np.array([0]))


def test_the_segmenter_says_what_it_is(segmenter: Sam2HfSegmenter) -> None:
    described = segmenter.describe()
    assert (described.device, described.dtype, described.weights, described.revision) == ("cpu", "float32", WEIGHTS, None)
