"""Inputs that the rules are checked with: random, the same in every run, small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from gazecut.interview import AnswerRecord, PromptWeights
from gazecut.protocols import Clip
from gazecut.resize import area_average
from gazecut.result import FoundObject, JudgedTracklet, Result, ResultMaps
from gazecut.stretch import Stretch
from gazecut.testing.square import moving_square
from gazecut.values import GridLayout, HeatMaps, MapSet, MaskTrack, Points, Query, QueryMaps, Tracklet, Tracklets

VIDEO_GRID = (4, 5)
FRAME_GRID = (8, 10)


def layout(view: str, frames: int) -> GridLayout:
    """A view's grid over so many sampled frames: pairs of frames on a coarse grid, or each frame on a fine one."""
    return GridLayout(-(-frames // 2), *VIDEO_GRID, frames_per_slot=2) if view == "video" else GridLayout(frames, *FRAME_GRID)


def heat_maps(shape: tuple[int, int, int], seed: int = 0) -> HeatMaps:
    """Maps (T, h, w) float32 whose values are all different, from 0 to 1 in every map."""
    draw = np.random.default_rng(seed)
    cells = shape[1] * shape[2]
    ranks = np.stack([draw.permutation(cells) for _ in range(shape[0])]).reshape(shape)
    return HeatMaps((ranks / max(cells - 1, 1)).astype(np.float32))


def answered(queries: Sequence[Query], frames: int, seed: int = 0) -> MapSet:
    """Maps for planned queries, as a model with `layout` would give them: values of an attention row, float32."""
    entries = []
    for number, query in enumerate(queries):
        grid = layout(query.view, frames)
        maps = heat_maps((grid.slots, grid.rows, grid.columns), seed + number)
        entries.append(QueryMaps(query, HeatMaps(maps.values / 100, grid.frames_per_slot)))
    return MapSet(tuple(entries))


def square_maps(frames: int = 4, size: tuple[int, int] = (64, 80), grid: tuple[int, int] = FRAME_GRID) -> HeatMaps:
    """Maps (T, h, w) float32 in [0, 1] of a model that looks at the moving square."""
    truth = moving_square(frames, size).truth
    return HeatMaps(np.asarray(area_average(truth.astype(np.float32), grid)))


def given(maps: HeatMaps) -> MapSet:
    """Maps as `Pipeline.segment_maps` hands them on: no view was asked."""
    return MapSet((QueryMaps(Query("object", "given", "object"), maps),))


def tracklets(count: int, frames: int = 4, size: tuple[int, int] = (64, 80), logits: tuple[int, int] = FRAME_GRID) -> Tracklets:
    """Candidates of different trust and place: the moving square, moved down by more pixels each time."""
    truth = moving_square(frames, size).truth
    return Tracklets(tuple(_tracklet(np.roll(truth, 5 * number, axis=1), number, logits) for number in range(count)))


def _tracklet(masks: np.ndarray, number: int, logits: tuple[int, int]) -> Tracklet:
    soft = np.asarray(area_average(masks.astype(np.float32), logits), np.float16)
    trust = 0.95 / (number + 1)
    return Tracklet(
        prompt_frame=number % len(masks),
        prompt_xy=np.array([[0.3, 0.5]]),
        attention=trust,
        predicted_iou=0.9 * trust,
        track=MaskTrack.from_masks(masks, masks.shape[1:]),
        logits=20 * soft - 10,
    )


def result(objects: int = 2, frames: int = 4, size: tuple[int, int] = (64, 80)) -> Result:
    """A finished result on the moving square: so many kept objects, and one dropped candidate where there are any.

    Args:
        objects: Kept objects.
        frames: Frames of the clip; every other one is sampled.
        size: (H, W) of the clip.
    """
    square = moving_square(frames, size)
    indices = np.arange(0, frames, 2)
    maps = square_maps(frames, size, (min(8, size[0]), min(10, size[1]))).numpy()[indices]
    judged = _judged(objects + 1 if objects else 0, square.truth[indices])
    rows = np.array([(place, 0.3, 0.5, 0.9) for place in sorted(one.prompt_frame for one in judged)], np.float64).reshape(-1, 4)
    return Result(
        expression="the bright square",
        clip=square,
        frame_indices=indices,
        heatmaps=ResultMaps(maps, video=maps[:, ::2, ::2], frame=maps),
        points=Points.single_clicks(rows),
        tracklets=judged,
        objects=tuple(
            FoundObject(number, one.score, MaskTrack.from_masks(square.truth, size)) for number, one in enumerate(judged[:objects], start=1)
        ),
        answers=(AnswerRecord("object", "video", "What is it?", ("square",)), AnswerRecord("category", "text", "Which?", ("square",))),
        category="square",
        manifest={"expression": "the bright square", "frame_indices": indices.tolist(), "measured": {"seconds": {"look": 0.1}}},
        prompt_weights=(PromptWeights("object", "video", ("What", " is", " it", "?"), np.array([1, 2, 0, 4], np.float32) / 100),),
    )


def stretches(whole: Result, *cuts: int, clip: Clip | None = None) -> list[Stretch]:
    """A result in stretches, as they come while its clip is being looked at; what is absent from one is not among its objects.

    Args:
        whole: The result.
        cuts: First frames of all stretches but the first, ascending.
        clip: What to decode frames from; None for the result's own clip.
    """
    bounds = pairwise((0, *cuts, whole.clip.length))
    return [_stretch(whole, range(start, stop), clip or whole.clip) for start, stop in bounds]


def _stretch(whole: Result, frames: range, clip: Clip) -> Stretch:
    here = slice(frames.start, frames.stop)
    parts = [replace(found, track=MaskTrack(found.track.size, tuple(found.track.codes[here]))) for found in whole.objects]
    sampled = tuple(index for index in whole.frame_indices.tolist() if index in frames)
    return Stretch(whole.expression, clip, frames, tuple(part for part in parts if any(part.track.codes)), sampled)


def _judged(count: int, masks: np.ndarray) -> tuple[JudgedTracklet, ...]:
    """So many candidates of falling scores, the last one dropped."""
    grid = (min(8, masks.shape[1]), min(10, masks.shape[2]))
    scores = [0.9 / (number + 1) for number in range(count)]
    return tuple(
        JudgedTracklet(_tracklet(masks, number, grid), score, kept, score / 2, "good enough" if kept else None)
        for number, score in enumerate(scores)
        for kept in [number < count - 1]
    )
