"""What every segmenter without weights keeps to: shapes, order, ends and refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gazecut import Pipeline
from gazecut.errors import SegmenterError, ShapeError
from gazecut.protocols import Segmenter
from gazecut.values import Points

SEGMENTERS = ("attention", "classical")


@pytest.fixture(params=SEGMENTERS)
def segmenter(request: pytest.FixtureRequest) -> Segmenter:
    pipeline = Pipeline.from_recipe("pocket", overrides={"segmenter.use": request.param}, device="cpu")
    return pipeline.segmenter


def test_describes_itself(segmenter: Segmenter) -> None:
    provenance = segmenter.describe()
    assert (provenance.device, provenance.weights) == ("cpu", None)
    assert segmenter.peak_memory() == 0


def test_masks_have_the_clips_size(segmenter: Segmenter, square: Any) -> None:
    points = square.points(8)
    with segmenter.open(square.clip) as session:
        candidates = session.masks_at(8, points, square.map_of(8))
    assert candidates.masks.shape == (len(points), *square.clip.size)
    assert candidates.predicted_iou.dtype == np.float32
    assert 0 <= candidates.predicted_iou.min() <= candidates.predicted_iou.max() <= 1


def test_no_points_give_no_candidates(segmenter: Segmenter, square: Any) -> None:
    with segmenter.open(square.clip) as session:
        candidates = session.masks_at(8, Points.single_clicks(np.zeros((0, 4))), square.map_of(8))
    assert candidates.masks.shape == (0, *square.clip.size)


def test_forwards_then_backwards(segmenter: Segmenter, square: Any) -> None:
    with segmenter.open(square.clip) as session:
        order = [item.frame for item in session.propagate(8, square.truth[8:9], [0, 3, 8, 12, 16], square.heat, square.heat_frames)]
    assert order == [8, 12, 16, 3, 0]


def test_no_objects_still_give_every_frame(segmenter: Segmenter, square: Any) -> None:
    with segmenter.open(square.clip) as session:
        followed = square.follow(session, 8, square.truth[:0], [0, 8, 9])
    assert {frame: masks.shape for frame, masks in followed.items()} == dict.fromkeys([8, 9, 0], (0, *square.clip.size))


def test_clip_of_one_frame(segmenter: Segmenter, make_square: Callable[..., Any]) -> None:
    example = make_square(frames=1, key_frames=(0,))
    with segmenter.open(example.clip) as session:
        candidates = session.masks_at(0, example.points(0), example.map_of(0))
        followed = example.follow(session, 0, candidates.masks[:1])
    assert (followed[0][0] == candidates.masks[0]).all()
    assert candidates.masks[0].any()


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (97, 131)])
def test_odd_sizes(segmenter: Segmenter, make_square: Callable[..., Any], size: tuple[int, int]) -> None:
    example = make_square(frames=3, key_frames=(0, 2))
    clip = type(example.clip)(np.random.default_rng(0).integers(0, 256, (3, *size, 3)).astype(np.uint8))
    with segmenter.open(clip) as session:
        candidates = session.masks_at(0, example.points(0), example.map_of(0))
        assert candidates.masks.shape[1:] == size
        for item in session.propagate(0, candidates.masks[:2], [0, 1, 2], example.heat, example.heat_frames):
            assert item.masks.shape == (2, *size)


def test_flat_map_gives_valid_masks(segmenter: Segmenter, square: Any) -> None:
    flat = np.full((4, 4), 0.9, np.float32)
    with segmenter.open(square.clip) as session:
        candidates = session.masks_at(8, square.points(8), flat)
        assert candidates.masks.mean() < 0.1
        maps = type(square.heat)(np.repeat(flat[None], 3, axis=0))
        assert len(list(session.propagate(8, candidates.masks[:1], range(17), maps, square.heat_frames))) == 17


def test_close_twice_then_refuse(segmenter: Segmenter, square: Any) -> None:
    session = segmenter.open(square.clip)
    session.close()
    session.close()
    with pytest.raises(SegmenterError, match="the segmenter's session on counting is closed; open another one"):
        session.masks_at(8, square.points(8), square.map_of(8))


def test_error_inside_closes(segmenter: Segmenter, square: Any) -> None:
    session = segmenter.open(square.clip)
    streamed = session.propagate(0, square.truth[:1], range(17), square.heat, square.heat_frames)
    next(streamed)
    with pytest.raises(StopIteration), session:
        next(iter(()))
    with pytest.raises(SegmenterError, match="is closed"):
        next(streamed)


def test_refusals_say_what_is_wanted(segmenter: Segmenter, square: Any) -> None:
    with segmenter.open(square.clip) as session:
        with pytest.raises(SegmenterError, match="counting has no frame 17; wanted 0 to 16"):
            session.masks_at(17, square.points(8), square.map_of(8))
        with pytest.raises(SegmenterError, match="cannot propagate from frame 1 over frames 0, 2; wanted ascending ones, it among them"):
            square.follow(session, 1, square.truth[:1], [0, 2])
        with pytest.raises(SegmenterError, match=r"over frames 0, 2, 1, 3, 4, \.\.\.; wanted ascending"):
            square.follow(session, 1, square.truth[:1], [0, 2, 1, 3, 4, 5])
        with pytest.raises(ShapeError, match=r"masks has shape \(1, 5, 5\); wanted \(K, 96, 128\)"):
            square.follow(session, 0, np.zeros((1, 5, 5), bool))
        with pytest.raises(ShapeError, match="masks has dtype uint8; wanted bool"):
            square.follow(session, 0, square.truth[:1].astype(np.uint8))
