"""The parts of `classical`: memory, seeds, cuts, and what holds a carried mask."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gazecut_segmenter.cache import ArrayCache
from gazecut_segmenter.grabcut import cut, heat_seeds, learn_colors
from gazecut_segmenter.guide import held_to, outline_seeds

SHARES = st.floats(0.05, 1)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60)), max_size=60), st.integers(0, 100))
def test_cache_never_holds_more_than_its_budget(puts: list[tuple[int, int]], budget: int) -> None:
    cache = ArrayCache(budget)
    for key, size in puts:
        given_back = cache.put(key, np.full(size, key, np.uint8))
        assert given_back.nbytes == size
        assert cache.held <= budget
        held = [array for array in map(cache.get, range(6)) if array is not None]
        assert cache.held == sum(array.nbytes for array in held)
    cache.clear()
    assert cache.held == 0
    assert cache.get(0) is None


def test_what_is_kept_is_read_only_and_stays_its_owners_to_write_to() -> None:
    own = np.zeros(3, np.uint8)
    kept = ArrayCache(10).put("own", own)
    assert own.flags.writeable
    assert not kept.flags.writeable


def test_cache_drops_what_was_used_longest_ago() -> None:
    cache = ArrayCache(2)
    for key in ("a", "b"):
        cache.put(key, np.zeros(1, np.uint8))
    cache.get("a")
    cache.put("c", np.zeros(1, np.uint8))
    assert cache.get("b") is None
    assert cache.get("a") is not None


@given(st.integers(0, 50), SHARES, SHARES)
def test_seeds_rise_with_the_map(seed: int, figure: float, ground: float) -> None:
    heat = np.random.default_rng(seed).random((6, 7)).astype(np.float32)
    seeds = heat_seeds(heat, figure, ground)
    rank = {cv2.GC_BGD: 0, cv2.GC_PR_BGD: 1, cv2.GC_PR_FGD: 2, cv2.GC_FGD: 3}
    ranks = np.array([rank[int(label)] for label in seeds.ravel()[np.argsort(heat, axis=None, kind="stable")]])
    assert (np.diff(ranks) >= 0).all()
    assert ranks[-1] == 3


def test_flat_map_is_ground() -> None:
    assert (heat_seeds(np.full((4, 4), 0.7), 0.5, 0.5) == cv2.GC_BGD).all()


def test_cut_follows_colours_where_seeds_are_open() -> None:
    image = np.full((40, 60, 3), 30, np.uint8)
    image[10:30, 20:40] = (200, 60, 40)
    image += np.random.default_rng(0).integers(0, 20, image.shape).astype(np.uint8)
    seeds = np.full((40, 60), cv2.GC_BGD, np.uint8)
    seeds[4:36, 14:46] = cv2.GC_PR_BGD
    seeds[6:28, 16:38] = cv2.GC_PR_FGD
    colors = learn_colors([image], [seeds], 60, seed=0)
    assert colors is not None
    figure = cut(image, seeds, colors)
    truth = np.zeros((40, 60), bool)
    truth[10:30, 20:40] = True
    assert (figure.astype(bool) != truth).mean() < 0.01


def test_too_little_to_learn_from_takes_seeds_as_they_are() -> None:
    image, seeds = np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), np.uint8)
    seeds[5, 5:8] = cv2.GC_PR_FGD
    assert learn_colors([image], [seeds], 20, seed=0) is None
    assert cut(image, seeds, None).sum() == 3


def test_cut_settles_seeds_that_leave_no_choice() -> None:
    image, colors = np.zeros((20, 20, 3), np.uint8), np.ones((2, 65))
    for label, expected in ((cv2.GC_FGD, 400), (cv2.GC_BGD, 0), (cv2.GC_PR_BGD, 0)):
        assert cut(image, np.full((20, 20), label, np.uint8), colors).sum() == expected


@settings(max_examples=40)
@given(st.integers(0, 100), SHARES)
def test_held_mask_is_whole_regions_of_the_cut(seed: int, overlap: float) -> None:
    rng = np.random.default_rng(seed)
    figure = (cv2.GaussianBlur(rng.random((20, 24)), (0, 0), 2) > 0.5).astype(np.uint8)
    soft = ((cv2.GaussianBlur(rng.random((20, 24)), (0, 0), 2) > 0.53) * 255).astype(np.uint8)
    held = held_to(soft, figure, overlap)
    count, regions = cv2.connectedComponents(figure)
    shares = [np.unique(held[regions == region]).tolist() for region in range(1, count)]
    assert not held[figure == 0].any()
    assert all(share in ([0], [255]) for share in shares)
    assert held.any() == bool(figure.any())


def test_held_mask_goes_to_the_nearest_region_or_the_largest() -> None:
    figure = np.zeros((20, 40), np.uint8)
    figure[5:8, 2:5] = 1
    figure[5:15, 25:35] = 1
    beside = np.zeros((20, 40), np.uint8)
    beside[5:8, 8:10] = 255
    assert held_to(beside, figure, 0.3)[6, 3] == 255
    assert held_to(beside, figure, 0.3)[10, 30] == 0
    assert held_to(np.zeros_like(beside), figure, 0.3)[10, 30] == 255


def test_outline_seeds_open_the_band_alone() -> None:
    soft = np.zeros((30, 30), np.uint8)
    soft[8:22, 8:22] = 255
    seeds = outline_seeds(soft, 3)
    assert seeds[15, 15] == cv2.GC_FGD
    assert seeds[2, 15] == cv2.GC_BGD
    assert [seeds[15, column] for column in (6, 9)] == [cv2.GC_PR_BGD, cv2.GC_PR_FGD]
