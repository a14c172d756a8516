"""GrabCut and optical flow: a square is found and followed, whatever the order of questions and the memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from gazecut.metrics import region_similarity
from gazecut.protocols import Runtime
from gazecut.values import Candidates, Points
from gazecut_segmenter.classical import ClassicalSegmenter, ClassicalSession
from gazecut_segmenter.config import ClassicalOptions

FAR_FROM_MAPS = ClassicalOptions(reach=0)


def opened(example: Any, options: ClassicalOptions | None = None, seed: int = 0) -> ClassicalSession:
    return ClassicalSegmenter(options or ClassicalOptions(), Runtime(seed=seed)).open(example.clip)


def labelled(rows: list[tuple[float, float, int]]) -> Points:
    """Points (x, y, label) of one candidate."""
    x, y, label = np.array(rows).T
    zeros = np.zeros(len(rows), np.int64)
    return Points(zeros, zeros, x, y, label.astype(np.int64), np.ones(len(rows)))


def test_one_cut_serves_all_points_of_a_region(square: Any) -> None:
    with opened(square) as session:
        candidates = session.masks_at(8, square.points(8), square.map_of(8))
    assert len(candidates.masks) > 5
    assert (candidates.masks == candidates.masks[0]).all()
    assert region_similarity(square.truth[8:9], candidates.masks[:1])[0] > 0.9
    assert candidates.predicted_iou.min() > 0.8


@pytest.mark.parametrize("options", [ClassicalOptions(), FAR_FROM_MAPS, ClassicalOptions(neighbors=0.0, reach=3)])
@pytest.mark.parametrize("start", [0, 8, 16])
def test_square_is_followed_both_ways(square: Any, options: ClassicalOptions, start: int) -> None:
    with opened(square, options) as session:
        followed = square.follow(session, start, square.truth[start : start + 1])
    masks = np.stack([followed[frame][0] for frame in range(17)])
    assert region_similarity(square.truth, masks).min() > 0.9


def test_flow_carries_and_cuts_sharpen(make_square: Callable[..., Any]) -> None:
    example = make_square(frames=9, key_frames=(4,))
    quality = []
    for refine_every in (0, 1):
        with opened(example, ClassicalOptions(reach=0, refine_every=refine_every)) as session:
            followed = example.follow(session, 4, example.truth[4:5])
        quality.append(region_similarity(example.truth, np.stack([followed[frame][0] for frame in range(9)])).min())
    assert quality[1] > 0.9 > quality[0] > 0.5


def test_object_that_vanishes_and_comes_back(make_square: Callable[..., Any]) -> None:
    """Key frames say where it is gone; the first one that shows it again brings it back."""
    example = make_square(key_frames=(0, 4, 7, 8, 9, 14, 16), hidden=range(7, 10))
    with opened(example) as session:
        followed = example.follow(session, 0, example.truth[:1])
    found = np.array([followed[frame][0].any() for frame in range(17)])
    assert not found[7:10].any()
    assert region_similarity(example.truth[14:], np.stack([followed[frame][0] for frame in (14, 15, 16)])).min() > 0.85


def test_mask_beside_everything_finds_the_object(square: Any) -> None:
    lost = np.zeros((1, *square.clip.size), bool)
    lost[0, 80:90, 100:110] = True
    with opened(square) as session:
        followed = square.follow(session, 0, lost)
    assert (followed[0] == lost).all()
    assert region_similarity(square.truth[16:], followed[16])[0] > 0.9


def test_any_order_of_questions_gives_the_same(square: Any) -> None:
    def ask(session: ClassicalSession, order: tuple[int, ...]) -> dict[int, tuple[Candidates, dict[int, np.ndarray]]]:
        return {
            frame: (
                session.masks_at(frame, square.points(frame), square.map_of(frame)),
                square.follow(session, frame, square.truth[frame : frame + 1]),
            )
            for frame in order
        }

    with opened(square) as first, opened(square) as second:
        answers, others = ask(first, (0, 8, 16)), ask(second, (16, 0, 8))
    for frame in (0, 8, 16):
        assert (answers[frame][0].masks == others[frame][0].masks).all()
        assert (answers[frame][0].predicted_iou == others[frame][0].predicted_iou).all()
        assert all((answers[frame][1][index] == others[frame][1][index]).all() for index in range(17))


def test_no_memory_changes_time_alone(square: Any) -> None:
    nothing_kept = ClassicalOptions.model_construct(memory=0)
    with opened(square) as roomy, opened(square, nothing_kept) as tight:
        expected, found = (square.follow(session, 8, square.truth[8:9]) for session in (roomy, tight))
    assert all((expected[frame] == found[frame]).all() for frame in range(17))


def test_each_frame_is_decoded_once_while_it_fits(square: Any) -> None:
    with opened(square) as session:
        for frame in (0, 8, 16):
            session.masks_at(frame, square.points(frame), square.map_of(frame))
            square.follow(session, frame, square.truth[frame : frame + 1])
    assert sorted(square.clip.decoded) == list(range(17))


def test_click_outside_of_the_cut_gets_its_own(square: Any) -> None:
    with opened(square) as session:
        own = session.masks_at(8, labelled([(0.9, 0.9, 1)]), square.map_of(8)).masks[0]
    assert own[86, 115]
    assert not (own & square.truth[8]).any()


def test_click_beside_takes_pixels_away(square: Any) -> None:
    rows, columns = np.nonzero(square.truth[8])
    x, y = columns.mean() / 128, rows.mean() / 96
    with opened(square) as session:
        mask = session.masks_at(8, labelled([(x, y, 1), (x + 0.08, y, 0)]), square.map_of(8)).masks[0]
    assert mask[int(y * 96), int(x * 128)]
    assert not mask[int(y * 96), int((x + 0.08) * 128)]


def test_box_bounds_the_mask(square: Any) -> None:
    rows, columns = np.nonzero(square.truth[8])
    middle = (columns.min() + columns.max()) / 2
    box = [(columns.min() / 128, rows.min() / 96, 2), (middle / 128, rows.max() / 96, 3)]
    with opened(square) as session:
        mask = session.masks_at(8, labelled(box), square.map_of(8)).masks[0]
    assert region_similarity((square.truth[8] & (np.arange(128) <= middle))[None], mask[None])[0] > 0.85
    assert not mask[:, int(middle) + 2 :].any()


@pytest.mark.parametrize(
    ("option", "value"), [("figure", 0.0), ("ground", 1.5), ("longest_side", 10), ("memory", "256"), ("band", 0), ("rounds", 1)]
)
def test_options_are_checked(option: str, value: object) -> None:
    with pytest.raises(ValidationError, match=option):
        ClassicalOptions.model_validate({option: value})


def test_any_seed_that_the_command_line_takes_will_do(square: Any) -> None:
    with opened(square, seed=2**40 + 7) as large, opened(square, seed=7) as small:
        found = [each.masks_at(8, square.points(8), square.map_of(8)).masks for each in (large, small)]
    assert (found[0] == found[1]).all()
