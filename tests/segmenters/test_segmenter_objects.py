"""`classical` with several objects: told apart where they touch, cross and hide each other; motion that is the same both ways."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gazecut.clip import ArrayClip
from gazecut.metrics import region_similarity
from gazecut.protocols import Runtime
from gazecut.resize import area_average
from gazecut.values import HeatMaps
from gazecut_segmenter import objects
from gazecut_segmenter.cache import ArrayCache
from gazecut_segmenter.classical import ClassicalSegmenter
from gazecut_segmenter.config import ClassicalOptions
from gazecut_segmenter.frames import WorkingFrames
from gazecut_segmenter.objects import Objects, Parting, color_bins

SIZE, SIDE, FRAMES, KEYS = (96, 160), 24, 25, np.array([0, 6, 12, 18, 24])
RED, BLUE = (200, 40, 40), (40, 60, 200)


def crossing(colors: tuple[tuple[int, int, int], ...]) -> tuple[np.ndarray, np.ndarray]:
    """Squares that meet in the middle, the first from the left, the second from above and on top; frames, and masks (2, T, H, W)."""
    rng = np.random.default_rng(3)
    ground = cv2.GaussianBlur(rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8), (0, 0), 1.5) // 3 + 70
    patches = [
        cv2.GaussianBlur(rng.integers(0, 60, (SIDE, SIDE, 3)).astype(np.uint8), (0, 0), 1) + np.array(color, np.uint8) for color in colors
    ]
    frames, masks = np.repeat(ground[None], FRAMES, axis=0), np.zeros((2, FRAMES, *SIZE), bool)
    for frame in range(FRAMES):
        for number, (x, y) in enumerate([(8 + 5 * frame, 36), (68, 3 * frame)][: len(colors)]):
            window = slice(y, y + SIDE), slice(x, x + SIDE)
            frames[frame][window] = patches[number][: frames[frame][window].shape[0], : frames[frame][window].shape[1]]
            masks[0, frame][window] = False
            masks[number, frame][window] = True
    return frames, masks


def followed(frames: np.ndarray, masks: np.ndarray, objects: list[int]) -> np.ndarray:
    """Mean J of some of the objects, followed from the first frame by the maps of all of them."""
    cells = area_average(masks.any(axis=0)[KEYS].astype(np.float64), (12, 20))
    heat = HeatMaps(np.stack([cv2.GaussianBlur(cell, (0, 0), 0.7) for cell in cells]).astype(np.float32))
    found = np.zeros((len(objects), *masks.shape[1:]), bool)
    with ClassicalSegmenter(ClassicalOptions(), Runtime()).open(ArrayClip(frames)) as session:
        for item in session.propagate(0, masks[objects, 0], range(FRAMES), heat, KEYS):
            found[:, item.frame] = item.masks
    return np.array([region_similarity(masks[number], mask).mean() for number, mask in zip(objects, found, strict=True)])


@pytest.mark.parametrize("colors", [(RED, BLUE), (RED, RED)], ids=["other colours", "same colours"])
@pytest.mark.parametrize("objects", [[0, 1], [0], [1]], ids=["together", "first alone", "second alone"])
def test_objects_that_cross_keep_themselves(colors: tuple[tuple[int, int, int], ...], objects: list[int]) -> None:
    frames, masks = crossing(colors)
    assert followed(frames, masks, objects).min() > 0.8


def test_figure_without_another_object_changes_nothing() -> None:
    frames, masks = crossing((RED,))
    assert followed(frames, masks, [0])[0] > 0.9


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_divided_masks_share_no_pixel_and_none_gets_what_it_had_not(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (20, 24, 3)).astype(np.uint8)
    held = [np.where(cv2.blur(rng.random((20, 24)), (5, 5)) > 0.5, 255, 0).astype(np.uint8) for _ in range(count)]
    carried = [rng.integers(0, 256, (20, 24)).astype(np.uint8) for _ in range(count)]
    parting = Parting(Objects(image, [mask > 0 for mask in held], frame=0))
    for frame in (1, 2):
        divided = np.stack(parting.divided(held, carried, image, frame)) > 127
        assert (divided.sum(axis=0) <= 1).all()
        assert not (divided & (np.stack(held) == 0)).any()
        assert (divided.any(axis=0) == (np.stack(held) > 127).any(axis=0)).all()  # someone has each pixel


def test_lost_object_comes_back_in_its_own_colours_only() -> None:
    image = np.full((40, 60, 3), 90, np.uint8)
    image[10:30, 5:25], image[10:30, 35:55] = RED, BLUE
    red, blue, nothing = (np.zeros((40, 60), np.uint8) for _ in range(3))
    red[10:30, 5:25], blue[10:30, 35:55] = 255, 255
    objects = Objects(image, [red > 0], frame=0)
    assert not Parting(objects).divided([blue], [nothing], image, 1)[0].any()
    assert (Parting(objects).divided([red], [nothing], image, 1)[0] == red).all()


def test_an_empty_mask_stays_empty_whatever_is_met() -> None:
    image = np.random.default_rng(2).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    nothing, all_of_it = np.zeros((40, 60), np.uint8), np.full((40, 60), 255, np.uint8)
    parting = Parting(Objects(image, [nothing > 0], frame=0))
    for color in (RED, BLUE):
        assert not parting.divided([all_of_it], [nothing], np.full_like(image, color), 1)[0].any()


def test_colours_are_asked_for_where_something_is_lost_or_contested_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    left, right, nothing = (np.zeros((40, 60), np.uint8) for _ in range(3))
    left[:, :20], right[:, 40:] = 255, 255
    parting = Parting(Objects(image, [left > 0, right > 0], frame=0))
    asked: list[int] = []
    monkeypatch.setattr(objects, "color_bins", lambda image: asked.append(1) or color_bins(image))
    parting.divided([left, right], [left, right], image, 1)
    parting.divided([left, nothing], [left, nothing], image, 2)
    assert not asked
    parting.divided([left, left], [left, nothing], image, 3)  # lost and, since it looks alike, contested, too
    assert len(asked) == 1


def test_soft_rims_stay() -> None:
    image = np.zeros((10, 10, 3), np.uint8)
    soft = np.full((10, 10), 60, np.uint8)
    soft[3:7, 3:7] = 255
    parting = Parting(Objects(image, [soft > 127], frame=0))
    assert (parting.divided([soft], [soft], image, 1)[0] == soft).all()


def test_motion_is_the_same_both_ways_but_where_something_is_hidden() -> None:
    rng = np.random.default_rng(1)
    ground, patch = (cv2.GaussianBlur(rng.integers(0, 256, (*size, 3)).astype(np.uint8), (0, 0), 2) for size in ((192, 256), (90, 90)))
    frames = np.repeat(ground[None], 2, axis=0)
    frames[0, 50:140, 60:150] = frames[1, 50:140, 72:162] = patch
    working = WorkingFrames(ArrayClip(frames), 480, ArrayCache(2**26))
    agrees = working.agreement(0, 1)
    assert agrees[60:130, 85:150].mean() > 0.95  # the patch, on the later frame
    assert agrees[60:130, 62:70].mean() < 0.5  # ground that it hid before
    assert agrees[:, 190:].mean() > 0.95
    assert working.agreement(0, 0).all()


def test_colours_that_are_near_are_near_in_bins() -> None:
    grey = np.full((1, 2, 3), 120, np.uint8)
    assert len(np.unique(color_bins(grey))) == 1
    assert color_bins(np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)).max() < 8 * 16 * 16
