"""Frames are encoded once while they fit, at most twice on a way there and back, and decoded in blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gazecut_segmenter.sam2_features import BLOCK, FeatureStore, network_input
from gazecut_segmenter.sam2_shared import Features


class NumberedClip:
    """Frame i is full of i; counts what it decodes."""

    def __init__(self, length: int) -> None:
        self.name, self.length, self.fps, self.size = "numbered", length, 24.0, (2, 2)
        self.decoded: Counter[int] = Counter()
        self.calls = 0

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        self.calls += 1
        for index in range(self.length) if indices is None else indices:
            self.decoded[index] += 1
            yield np.full((2, 2, 3), index, np.uint8)


class Store(FeatureStore):
    """One that counts what it encodes."""

    def __init__(self, length: int, room: int) -> None:
        self.clip, self.encoded = NumberedClip(length), Counter[int]()
        super().__init__(self.clip, self.count, room)

    def count(self, image: np.ndarray) -> Features:
        number = int(image[0, 0, 0])
        self.encoded[number] += 1
        return Features(*[torch.tensor(number)] * 3)

    def visit(self, order: Iterable[int]) -> None:
        for frame in order:
            assert int(self[frame].top) == frame
            assert len(self._kept) <= self._room


def there_and_back(length: int, first: int, last: int) -> list[int]:
    return [*range(first, length), *range(last - 1, -1, -1)]


def test_what_fits_is_encoded_once() -> None:
    store = Store(20, room=20)
    for start in (3, 0, 19):
        order = there_and_back(20, start, start)
        store.plan(order)
        store.visit(order)
    assert set(store.encoded.values()) == {1}
    assert len(store.encoded) == 20


@settings(max_examples=60)
@given(st.integers(1, 120), st.integers(1, 40), st.data())
def test_beyond_the_room_a_way_there_and_back_encodes_each_frame_at_most_twice(length: int, room: int, data: st.DataObject) -> None:
    key = sorted(data.draw(st.sets(st.integers(0, length - 1), min_size=1, max_size=min(room, length))))
    store = Store(length, room)
    store.visit(key)  # the loop over key frames, which the room holds
    first, last = (data.draw(st.sampled_from(key)) for _ in range(2))
    order = there_and_back(length, min(first, last), max(first, last))
    store.plan(order)
    store.visit(order)
    assert max(store.encoded.values()) <= 2
    assert store.clip.decoded == store.encoded, "nothing is decoded in vain"


def test_a_frame_that_must_come_again_does_not_push_out_what_was_decoded_ahead() -> None:
    store = Store(88, room=6)
    store.visit([0, 1, 2, 3, 4, 87])
    order = there_and_back(88, 0, 87)
    store.plan(order)
    store.visit(order)
    assert store.clip.decoded == store.encoded
    assert not store._images


def test_frames_are_decoded_in_blocks_backwards_too() -> None:
    store = Store(64, room=1)
    order = list(range(63, -1, -1))
    store.plan(order)
    store.visit(order)
    assert store.clip.calls == 64 // BLOCK


def test_without_a_plan_the_frame_used_longest_ago_goes_first() -> None:
    store = Store(5, room=2)
    store.visit([0, 1, 0, 2, 0, 1])
    assert store.encoded == {0: 1, 1: 2, 2: 1}


def test_an_order_other_than_planned_is_served_all_the_same() -> None:
    store = Store(9, room=3)
    store.plan([0, 1, 2, 3])
    store.visit([5, 0, 7, 2, 1, 3, 8])


def test_clearing_lets_go() -> None:
    store = Store(4, room=4)
    store.plan([0, 1, 2])
    store.visit([0, 1])
    store.clear()
    store.visit([0])
    assert store.encoded[0] == 2


def test_input_is_what_the_official_predictor_makes_of_a_frame() -> None:
    image = np.random.default_rng(0).integers(0, 256, (37, 91, 3), dtype=np.uint8)
    values = np.asarray(Image.fromarray(image).resize((64, 64))) / 255
    wanted = (values - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    found = network_input(image, 64)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found[0].permute(1, 2, 0).numpy(), wanted, atol=1e-6)
