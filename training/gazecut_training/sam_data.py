"""Batches of single frames with prompts, and of clips with objects to follow; each a pure function of (config, step)."""

from dataclasses import dataclass
from typing import Final, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from gazecut.world import Plan, paint, plan
from gazecut_segmenter.sam2_features import network_input
from gazecut_training.config import training_seed
from gazecut_training.sam_config import SamConfig, SamStage
from gazecut_training.sam_scenes import hard_plan

Labels: TypeAlias = NDArray[np.uint8]
_Prompts: TypeAlias = tuple[NDArray[np.float32], NDArray[np.int32], Labels]

SINGLE: Final = 4  # prompts of one click, for each image
SEVERAL: Final = 1  # prompts of two clicks, for each image
OBJECTS: Final = 2  # followed in each clip
SOURCES: Final = {256: 0.6, 128: 0.25, 192: 0.15}  # sizes in px that scenes are painted at, with their shares
FINER: Final = 3  # the painter makes masks half a pixel too wide: at labels' own size, that would be a whole one at 256 px
PACES: Final = (1 / 24, 1 / 7)  # of a clip between two frames: from slow to that of the pocket world at 8 frames
FASTEST: Final = 0.5  # share of clips at the fastest pace
BACKGROUND: Final = 0.18  # share of clicks beside all objects
NEAR: Final = 0.4  # share of those that are close to an object
NEAR_PIXELS: Final = 8  # of the labels
SMALLEST: Final = 6  # pixels of the labels that must be seen of an object that is clicked at
SMALLEST_FOLLOWED: Final = 30  # of an object that is followed
FIRST: Final = 0.6  # share of clips prompted on their first frame for sure; short ones always are
SHORT: Final = 4  # frames from which on a clip may be prompted anywhere
BY_CLICK: Final = 0.5  # share of objects prompted by what a click found
GONE_WEIGHT: Final = 4.0  # how much likelier an object is followed that is absent later on
EDGE: Final = 0.3  # share of clicks close to an edge
CENTRE: Final = 0.1  # share of clicks in the middle


@dataclass(frozen=True)
class ImageBatch:
    """N single frames, each with P prompts of n points.

    Attributes:
        images: (N, 3, S, S) float32, normalised.
        labels: (N, L, L) uint8: 0 is background, i + 1 object i.
        points: For one point and for several: (N, P, n, 2) float32, x and y in [0, 1].
        signs: (N, P, n) int32: 1 on the object, 0 beside it.
        targets: (N, P) uint8, the label that is meant; 0 for a click on the background.
    """

    images: Tensor
    labels: Tensor
    points: tuple[Tensor, Tensor]
    signs: tuple[Tensor, Tensor]
    targets: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class ClipBatch:
    """C clips of T frames, with O objects to follow from one frame.

    Attributes:
        images: (C, T, 3, S, S) float32, normalised.
        labels: (C, T, L, L) uint8.
        targets: (C, O) uint8, the labels to follow.
        start: Which frame prompts.
        points: (C, O, 1, 2) float32, a click on each object in that frame.
        clicked: (C, O) bool: the mask found by that click prompts, not the true one.
        forced: (T, C, O) bool: the true mask is remembered, not the found one.
    """

    images: Tensor
    labels: Tensor
    targets: Tensor
    start: int
    points: Tensor
    clicked: Tensor
    forced: Tensor


class SamData(Dataset[ImageBatch | ClipBatch]):
    """Step -> the batch of that step."""

    def __init__(self, config: SamConfig) -> None:
        self._config = config

    def __len__(self) -> int:
        return self._config.steps

    def __getitem__(self, step: int) -> ImageBatch | ClipBatch:
        stage, done = self._config.stage(step)
        rng = np.random.default_rng([self._config.seed, step])
        length = int(rng.choice(list(stage.lengths), p=list(stage.lengths.values())))
        if length == 1:
            return image_batch(rng, self._config, stage)
        return clip_batch(rng, self._config, stage, length, stage.forced[0] + (stage.forced[1] - stage.forced[0]) * done)


def image_batch(rng: np.random.Generator, config: SamConfig, stage: SamStage) -> ImageBatch:
    """Single frames with prompts."""
    images: list[Tensor] = []
    labels: list[Labels] = []
    prompts: tuple[list[_Prompts], list[_Prompts]] = ([], [])
    while len(images) < stage.images:
        picture, label = show(draw_scene(rng, stage.hard), rng.random(1), config, _source(rng))
        if not len(_seen(label[0], SMALLEST)):
            continue
        images.append(picture[0])
        labels.append(label[0])
        for found, count, clicks in zip(prompts, (SINGLE, SEVERAL), (1, 2), strict=True):
            found.append(_prompts(rng, label[0], count, clicks))
    columns = [list(zip(*found, strict=True)) for found in prompts]
    points, signs, targets = (tuple(torch.from_numpy(np.stack(each[i])) for each in columns) for i in range(3))
    return ImageBatch(torch.stack(images), torch.from_numpy(np.stack(labels)), _two(points), _two(signs), _two(targets))


def clip_batch(rng: np.random.Generator, config: SamConfig, stage: SamStage, length: int, forced: float) -> ClipBatch:
    """Clips with objects to follow; all are prompted on one frame, the first as a rule."""
    start = 0 if length < SHORT or rng.random() < FIRST else int(rng.integers(length))
    images: list[Tensor] = []
    labels, targets, points = [], [], []
    while len(images) < stage.clips[length]:
        scene, source = draw_scene(rng, stage.hard), _source(rng)
        picture, label = show(scene, _moments(rng, length), config, source)
        followed = _followed(rng, label, start)
        if followed is not None:
            images.append(picture)
            labels.append(label)
            targets.append(followed)
            points.append(np.stack([click(rng, label[start] == each)[None] for each in followed]))
    shape = (len(images), OBJECTS)
    return ClipBatch(
        torch.stack(images),
        torch.from_numpy(np.stack(labels)),
        torch.from_numpy(np.stack(targets)),
        start,
        torch.from_numpy(np.stack(points)),
        torch.from_numpy(rng.random(shape) < BY_CLICK),
        torch.from_numpy(rng.random((length, *shape)) < forced),
    )


def draw_scene(rng: np.random.Generator, hard: float) -> Plan:
    """A training scene, hard with that probability."""
    seed = training_seed(rng)
    return hard_plan(seed) if rng.random() < hard else plan(seed)


def show(scene: Plan, moments: NDArray[np.float64], config: SamConfig, source: int) -> tuple[Tensor, Labels]:
    """What the network is given of a scene, and the truth.

    Args:
        scene: The scene.
        moments: T moments u, 0 to 1.
        config: Sizes.
        source: Pixels that the scene is painted at.

    Returns:
        Images (T, 3, S, S) float32, and labels (T, L, L).
    """
    frames, _ = paint(scene, moments, source)
    _, labels = paint(scene, moments, FINER * config.labels)
    labels = labels[:, FINER // 2 :: FINER, FINER // 2 :: FINER].copy()
    return torch.cat([network_input(frame, config.side) for frame in frames]), labels


def click(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A point (2,) on a mask (L, L) that is not empty: x and y in [0, 1], anywhere within the pixel."""
    kind = rng.random()
    chosen = mask
    if kind < EDGE + CENTRE:
        inside = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
        chosen = mask & (inside <= 2.0) if kind < EDGE else mask & (inside >= 0.8 * inside.max())
    places = np.flatnonzero(chosen)
    row, column = divmod(int(places[rng.integers(len(places))]), mask.shape[1])
    place = (np.array([column, row]) + rng.random(2)) / mask.shape[0]
    return np.asarray(place, np.float32)


def _prompts(rng: np.random.Generator, label: Labels, count: int, points: int) -> _Prompts:
    """P prompts of n points: places, signs, targets. Of several points, some are negative."""
    seen = _seen(label, SMALLEST)
    near = (cv2.dilate((label > 0).astype(np.uint8), np.ones((2 * NEAR_PIXELS + 1,) * 2, np.uint8)) > 0) & (label == 0)
    places, signs, targets = [], [], []
    for _ in range(count):
        target = 0 if points == 1 and rng.random() < BACKGROUND and (label == 0).any() else int(rng.choice(seen))
        mask = near if target == 0 and near.any() and rng.random() < NEAR else label == target
        more = [mask if rng.random() < 0.5 or not (label != target).any() else label != target for _ in range(points - 1)]
        places.append([click(rng, each) for each in (mask, *more)])
        signs.append([int(each is mask) for each in (mask, *more)])
        targets.append(target)
    return np.asarray(places, np.float32), np.asarray(signs, np.int32), np.asarray(targets, np.uint8)


def _followed(rng: np.random.Generator, labels: Labels, start: int) -> Labels | None:
    """Labels (O,) of objects to follow, those rather that vanish; one of them twice where there are too few. None for no object."""
    seen = _seen(labels[start], SMALLEST_FOLLOWED)
    if not len(seen):
        return None
    gone = np.array([min(int((frame == each).sum()) for frame in labels) == 0 for each in seen])
    weights = np.where(gone, GONE_WEIGHT, 1.0)
    chosen = rng.choice(seen, min(OBJECTS, len(seen)), replace=False, p=weights / weights.sum())
    return np.resize(chosen, OBJECTS)


def _seen(label: Labels, pixels: int) -> Labels:
    """Labels of objects that have so many pixels."""
    return (1 + np.flatnonzero(np.bincount(label.ravel())[1:] >= pixels)).astype(np.uint8)


def _moments(rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    """T moments at one pace, forwards or backwards."""
    pace = PACES[1] if rng.random() < FASTEST else float(rng.uniform(*PACES))
    first = rng.random() * (1.0 - pace * (length - 1))
    moments = np.clip(first + pace * np.arange(length), 0.0, 1.0)
    return np.asarray(moments if rng.random() < 0.5 else moments[::-1].copy())


def _source(rng: np.random.Generator) -> int:
    return int(rng.choice(list(SOURCES), p=list(SOURCES.values())))


def _two(pair: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    first, second = pair
    return first, second
