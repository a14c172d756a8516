"""A square that moves over a textured ground."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from gazecut.protocols import SegmenterSession
from gazecut.resize import area_average
from gazecut.values import HeatMaps, Points

SIZE = (96, 128)
GRID = (12, 16)


class CountingClip:
    """A clip in memory that counts what it decodes."""

    def __init__(self, images: np.ndarray) -> None:
        self.name, self.fps, self.length, self.size = "counting", 24.0, len(images), images.shape[1:3]
        self.decoded: list[int] = []
        self._images = images

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        for index in range(self.length) if indices is None else indices:
            self.decoded.append(index)
            yield self._images[index]


@dataclass(frozen=True)
class Example:
    """A clip, its truth (T, H, W) bool, and heat maps of some of its frames."""

    clip: CountingClip
    truth: np.ndarray
    heat: HeatMaps
    heat_frames: np.ndarray

    def points(self, frame: int, threshold: float = 0.8) -> Points:
        """Every cell of a key frame's map from the threshold up, each its own candidate."""
        place = self.heat_frames.tolist().index(frame)
        heat = self.heat.numpy()[place]
        rows, columns = np.nonzero(heat >= threshold)
        x, y = (columns + 0.5) / heat.shape[1], (rows + 0.5) / heat.shape[0]
        return Points.single_clicks(np.stack([np.full(len(rows), float(place)), x, y, heat[rows, columns].astype(float)], axis=1))

    def map_of(self, frame: int) -> np.ndarray:
        """The map of a key frame."""
        return np.asarray(self.heat.numpy()[self.heat_frames.tolist().index(frame)])

    def follow(
        self, session: SegmenterSession, frame: int, masks: np.ndarray, frames: Sequence[int] | None = None
    ) -> dict[int, np.ndarray]:
        """Propagated masks by frame."""
        frames = range(self.clip.length) if frames is None else frames
        return {item.frame: item.masks for item in session.propagate(frame, masks, frames, self.heat, self.heat_frames)}


def square_example(frames: int = 17, key_frames: Sequence[int] = (0, 8, 16), hidden: Iterable[int] = ()) -> Example:
    """A red square that moves 4 px a frame over grey texture; in `hidden` frames there is none."""
    rng = np.random.default_rng(5)
    ground = cv2.GaussianBlur(rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8), (0, 0), 1.5) // 2 + 40
    patch = cv2.GaussianBlur(rng.integers(0, 256, (32, 32, 3)).astype(np.uint8), (0, 0), 1.5) // 2 + np.array([110, 0, 0], np.uint8)
    images, truth = np.repeat(ground[None], frames, axis=0), np.zeros((frames, *SIZE), bool)
    for frame in set(range(frames)) - set(hidden):
        window = (frame, slice(28, 60), slice(10 + 4 * frame, 42 + 4 * frame))
        images[window] = patch[:, : images[window].shape[1]]
        truth[window] = True
    cells = area_average(truth[list(key_frames)].astype(np.float32), GRID)
    heat = np.stack([cv2.GaussianBlur(cell, (0, 0), 0.7) for cell in cells])
    return Example(CountingClip(images), truth, HeatMaps((heat / max(heat.max(), 1e-6)).astype(np.float32)), np.array(key_frames, np.int64))


@pytest.fixture
def square() -> Example:
    return square_example()


@pytest.fixture
def make_square() -> Callable[..., Example]:
    return square_example
