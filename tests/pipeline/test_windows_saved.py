"""A clip that was looked at in windows is written the same, be it stretch by stretch as it comes or at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gazecut import Pipeline
from gazecut.partial import growing
from gazecut.result import Result
from gazecut.testing import fake_pipeline
from gazecut.testing.fakes import FakeSegmenterSession
from gazecut.values import Candidates, FrameMasks, HeatMaps, Judgement, MapSet, Points, Tracklets

WINDOWS = {"sampler": "windows", "sampler.length": 8, "sampler.overlap": 4, "sampler.frames": 3}
EXPORTERS = [{"use": name} for name in ("masks", "overlay", "heatmaps", "sheet", "manifest", "fake")]
SIZE, LENGTH = (24, 40), 20
LEFT, RIGHT, BOTH = slice(2, 22), slice(14, 38), slice(14, 22)


class TwoThings(FakeSegmenterSession):
    """A thing on the left and one on the right, one over the other in the middle; neither moves."""

    def masks_at(self, frame: int, points: Points, heat: np.ndarray) -> Candidates:
        masks = np.zeros((len(points), *SIZE), bool)
        for mask, x in zip(masks, points.x, strict=True):
            mask[4:20, LEFT if x < 0.5 else RIGHT] = True
        return Candidates(masks, np.full(len(masks), 0.9, np.float32))

    def propagate(self, frame: int, masks: np.ndarray, frames: Sequence[int], *_: object) -> Iterator[FrameMasks]:
        return (FrameMasks(index, masks) for index in sorted(frames))


class Fickle:
    """Prefers the left thing in the first window, and the right one in the next; the left one has the best score of all."""

    def __init__(self) -> None:
        self.windows = 0

    def judge(self, tracklets: Tracklets, maps: MapSet, fused: HeatMaps) -> Judgement:
        self.windows += 1
        scores = (0.9, 0.6) if self.windows % 2 else (0.7, 0.8)
        return Judgement(np.array([scores[int(one.prompt_xy[0, 0] > 0.5)] for one in tracklets]), np.ones(len(tracklets), bool))


@pytest.fixture(scope="module")
def pipeline() -> Iterator[Pipeline]:
    pipeline = fake_pipeline({**WINDOWS, "exporters": EXPORTERS}, cache=False)
    points = np.array([[frame, x, 0.5, 0.9] for frame in range(3) for x in (0.2, 0.8)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.selector, "select", lambda maps: Points.single_clicks(points[points[:, 0] < len(maps.values)]))
        patch.setattr(pipeline.segmenter, "open", lambda clip: TwoThings(np.zeros((clip.length, *SIZE), bool)))
        pipeline.scorer = Fickle()
        yield pipeline


@pytest.fixture(scope="module")
def written(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path, Path]:
    """The result, its folder as it grew, and its folder as `save` writes it."""
    folder = tmp_path_factory.mktemp("written")
    images = np.random.default_rng(7).integers(0, 255, (LENGTH, *SIZE, 3)).astype(np.uint8)
    with (
        pipeline.open(images) as session,
        growing(folder / "grown", pipeline.exporters, {"expression": "both", "recipe": {}}) as output,
    ):
        (result,) = session.segment_each(["both"], output.add)
        output.finish(result)
    return result, folder / "grown", result.save(folder / "saved")


def owner(folder: Path, frame: int) -> set[int]:
    """Who has the pixels in the middle."""
    with Image.open(folder / "masks" / f"{frame:05d}.png") as image:
        return set(np.asarray(image)[4:20, BOTH].ravel().tolist())


def test_every_file_is_the_same_byte_for_byte(written: tuple[Result, Path, Path]) -> None:
    _, grown, saved = written
    files = [sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file()) for folder in (grown, saved)]
    assert files[0] == files[1]
    assert [file.name for file in files[0]].count("sheet.png") == 1
    assert [str(file) for file in files[0] if (grown / file).read_bytes() != (saved / file).read_bytes()] == []


def test_where_objects_overlap_the_better_one_of_the_window_wins(written: tuple[Result, Path, Path]) -> None:
    result, grown, saved = written
    assert [(found.id, found.score) for found in result.objects] == [(1, 0.9), (2, 0.8)]
    assert len(result.windows) == 4
    for number, window in enumerate(result.windows):
        for frame in window.own:
            assert owner(grown, frame) == owner(saved, frame) == {1 + number % 2}


def test_the_scores_of_windows_are_told(written: tuple[Result, Path, Path]) -> None:
    result, grown, _ = written
    assert [window.scores for window in result.windows] == [(0.9, 0.6), (0.7, 0.8)] * 2
    assert [found["score"] for found in json.loads((grown / "masks.json").read_text())["objects"]] == [0.9, 0.8]
