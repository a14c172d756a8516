"""Our tracker follows as transformers' own session does, and forgets nothing that is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Sam2VideoInferenceSession, Sam2VideoModel

from gazecut_segmenter import sam2_tracker
from gazecut_segmenter.sam2_features import network_input
from gazecut_segmenter.sam2_files import Checkpoint
from gazecut_segmenter.sam2_hf import HfNetwork
from gazecut_segmenter.sam2_shared import Features
from gazecut_segmenter.sam2_tracker import Group, Tracker, time_code
from gazecut_segmenter.sam2_weights import load

SIDE = 128
LENGTH = 20  # more frames than pointers are looked at, 16


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def model(sam2_folder: Path) -> Sam2VideoModel:
    return load(Checkpoint(sam2_folder))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """(LENGTH, 3, S, S): noise that moves, so that no two frames are alike and neighbours are."""
    draw = np.random.default_rng(3)
    wide = draw.integers(0, 256, (SIDE, SIDE + 5 * LENGTH, 3), dtype=np.uint8)
    frames = [np.ascontiguousarray(wide[:, 5 * index : 5 * index + SIDE]) for index in range(LENGTH)]
    return torch.cat([network_input(frame, SIDE) for frame in frames])


@pytest.fixture(scope="module")
def features(model: Sam2VideoModel, images: torch.Tensor) -> list[Features]:
    network = HfNetwork(model)
    with torch.inference_mode():
        return [network.encode(image[None]) for image in images]


def boxes(count: int, seed: int = 0) -> torch.Tensor:
    """(count, 1, S, S) masks, each with a box somewhere."""
    draw = np.random.default_rng(seed)
    masks = torch.zeros(count, 1, SIDE, SIDE)
    for mask in masks:
        top, left = draw.integers(0, SIDE - 48, 2)
        mask[0, top : top + 48, left : left + 40] = 1
    return masks


def both_ways(tracker: Tracker, features: Sequence[Features], starts: Sequence[int], masks: Sequence[torch.Tensor]) -> list[dict]:
    """Logits by frame of each group, all groups in one sweep forwards and one backwards."""
    groups: dict[int, Group] = {}
    found: list[dict[int, torch.Tensor]] = [{} for _ in starts]
    for way, step in ((range(LENGTH), 1), (range(LENGTH - 1, -1, -1), -1)):
        for position in way:
            if step == 1:
                for number in [each for each, start in enumerate(starts) if start == position]:
                    groups[number], found[number][position] = tracker.prompt(features[position], position, masks[number])
            moving = [number for number, start in enumerate(starts) if number in groups and step * (position - start) > 0]
            logits = tracker.follow(features[position], position, [groups[number] for number in moving])
            for number, each in zip(moving, logits, strict=True):
                found[number][position] = each
    return found


def by_transformers(model: Sam2VideoModel, images: torch.Tensor, group: Group, pred_masks: torch.Tensor) -> dict[int, torch.Tensor]:
    """The same way in transformers' session, which is given our prompted frame as its conditioning frame."""
    session = Sam2VideoInferenceSession(video=images, video_height=SIDE, video_width=SIDE, dtype=torch.float32)
    places = HfNetwork(model).places[:, None]
    for number in range(len(group)):
        session.obj_id_to_idx(number)
        output: dict[str, Any] = {
            "maskmem_features": group.prompted[number][:, None],
            "maskmem_pos_enc": places,
            "object_pointer": group.pointer[number : number + 1][None],
            "pred_masks": pred_masks[number][None, None],
            "object_score_logits": torch.full((1, 1, 1), 10.0),
        }
        session.output_dict_per_obj[number]["cond_frame_outputs"][group.start] = output
    found: dict[int, torch.Tensor] = {}
    for reverse in (False, True):
        for output in model.propagate_in_video_iterator(session, start_frame_idx=group.start, reverse=reverse):
            found[output.frame_idx] = output.pred_masks[:, 0].clone()
    return found


@pytest.mark.parametrize(("objects", "start"), [(2, 0), (2, 9), (5, LENGTH - 1)])
def test_masks_are_followed_as_transformers_follows_them(
    model: Sam2VideoModel, images: torch.Tensor, features: list[Features], objects: int, start: int
) -> None:
    network = HfNetwork(model)
    group, logits = Tracker(network, LENGTH, 0).prompt(features[start], start, boxes(objects))
    wanted = by_transformers(model, images, group, logits)
    (found,) = both_ways(Tracker(network, LENGTH, 0), features, [start], [boxes(objects)])
    assert found.keys() == wanted.keys() == set(range(LENGTH))
    for frame, each in wanted.items():
        torch.testing.assert_close(found[frame], each, atol=1e-4, rtol=1e-4)
    assert any((each > 0).any() and (each < 0).any() for frame, each in wanted.items() if frame != start)


def test_groups_side_by_side_are_followed_as_each_alone(model: Sam2VideoModel, features: list[Features]) -> None:
    network, starts, masks = HfNetwork(model), [0, 7, 7, LENGTH - 1], [boxes(2, 1), boxes(1, 2), boxes(3, 3), boxes(1, 4)]
    together = both_ways(Tracker(network, LENGTH, 8), features, starts, masks)
    for number, start in enumerate(starts):
        (alone,) = both_ways(Tracker(network, LENGTH, 8), features, [start], [masks[number]])
        for frame in range(LENGTH):
            torch.testing.assert_close(together[number][frame], alone[frame], atol=1e-4, rtol=1e-4)


def test_many_objects_go_in_parts(model: Sam2VideoModel, features: list[Features], monkeypatch: pytest.MonkeyPatch) -> None:
    network = HfNetwork(model)
    (whole,) = both_ways(Tracker(network, LENGTH, 8), features, [4], [boxes(5)])
    monkeypatch.setattr(sam2_tracker, "OBJECTS_AT_ONCE", 2)
    (parts,) = both_ways(Tracker(network, LENGTH, 8), features, [4], [boxes(5)])
    for frame in range(LENGTH):
        torch.testing.assert_close(parts[frame], whole[frame], atol=1e-4, rtol=1e-4)


def test_what_is_remembered_does_not_grow_with_the_way(model: Sam2VideoModel, features: list[Features]) -> None:
    tracker = Tracker(HfNetwork(model), 90, 0)
    group, _ = tracker.prompt(features[0], 24, boxes(1))
    for position in range(25, 90):
        tracker.follow(features[position % LENGTH], position, [group])
    assert len(group.memories) <= 3 * 7
    assert len(group.pointers) <= 3 * 16
    for position in range(23, -1, -1):  # what lies around the start is kept on either side
        tracker.follow(features[position % LENGTH], position, [group])
    assert len(group.memories) <= 3 * 7


def test_an_empty_mask_points_to_nothing(model: Sam2VideoModel, features: list[Features]) -> None:
    network = HfNetwork(model)
    group, logits = Tracker(network, LENGTH, 0).prompt(features[0], 0, torch.zeros(1, 1, SIDE, SIDE))
    assert torch.equal(group.pointer[0], network.no_object)
    assert bool((logits < -9.99).all())


def test_followed_frames_fill_no_holes_in_what_they_remember(model: Sam2VideoModel, features: list[Features]) -> None:
    network, groups = HfNetwork(model), []
    for holes in (0, 200):
        tracker = Tracker(network, LENGTH, holes)
        group, _ = tracker.prompt(features[0], 0, boxes(1))
        tracker.follow(features[1], 1, [group])
        groups.append(group)
    assert torch.equal(groups[0].memories[1], groups[1].memories[1])


def test_time_codes_are_sines_and_cosines() -> None:
    code = time_code(torch.tensor([0.0, 1.0]), 8)
    assert code[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    rates = [1, 1, 0.01, 0.01]
    np.testing.assert_allclose(code[1].numpy(), [*np.sin(rates), *np.cos(rates)], rtol=1e-6)
