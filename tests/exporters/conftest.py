"""Results to export: made by hand, so that every number in the output is known."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from gazecut.clip import ArrayClip
from gazecut.interview import AnswerRecord, PromptWeights
from gazecut.result import FoundObject, JudgedTracklet, Result, ResultMaps
from gazecut.values import MaskTrack, Points, Tracklet

MakeResult = Callable[..., Result]


def _disc(height: int, width: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def _tracks(size: tuple[int, int], frames: int, count: int) -> np.ndarray:
    """(K, T, H, W) bool: overlapping discs that move to the right; object 1 is gone on the last frame."""
    height, width = size
    radius = min(size) / 5
    masks = np.zeros((count, frames, height, width), bool)
    for number in range(count):
        for frame in range(frames):
            centre = (height / 2, width * (0.2 + 0.15 * number) + frame)
            masks[number, frame] = _disc(height, width, centre, radius)
    masks[:1, -1] = False
    return masks


def _judged(masks: np.ndarray, score: float, kept: bool) -> JudgedTracklet:
    track = MaskTrack.from_masks(masks, masks.shape[1:])
    logits = np.zeros((len(masks), 2, 2), np.float16)
    tracklet = Tracklet(prompt_frame=0, prompt_xy=np.array([[0.5, 0.5]]), attention=0.9, predicted_iou=0.8, track=track, logits=logits)
    return JudgedTracklet(tracklet, score, kept, consistency=score - 0.1, reason="above 0.8" if kept else "not above 0.8")


def _points(frames: int, on_first: int) -> Points:
    """So many on the first sampled frame, where all candidates come from, and one on each of the others."""
    places = [0] * on_first + list(range(1, frames))
    return Points.single_clicks(np.array([(place, 0.3, 0.6, 0.9) for place in places], np.float64))


def _weights(question: str) -> tuple[PromptWeights, ...]:
    tokens = tuple(re.findall(r"\s*\S+", question))
    draw = np.random.default_rng(1)
    return tuple(PromptWeights("object", view, tokens, draw.random(len(tokens), np.float32) / 100) for view in ("video", "frame"))


def _answers(frames: int) -> tuple[AnswerRecord, ...]:
    return (
        AnswerRecord("object", "video", "Which object?", ("red disc",)),
        AnswerRecord("object", "frame", "Which object?", tuple(f"disc {number % 5}" for number in range(frames))),
        AnswerRecord("category", "text", "Which of these?", ("disc",)),
    )


@pytest.fixture(scope="session")
def make_result() -> MakeResult:
    """make_result(size=, frames=, sampled=, scores=, dropped=, expression=, manifest=) -> Result."""

    def make(
        size: tuple[int, int] = (48, 64),
        frames: int = 6,
        sampled: int = 3,
        scores: Sequence[float] = (0.9, 0.95),
        dropped: int = 1,
        **changes: object,
    ) -> Result:
        rng = np.random.default_rng(5)
        images = rng.integers(40, 200, (frames, *size, 3), dtype=np.uint8)
        indices = np.unique(np.linspace(0, frames - 1, sampled).round().astype(np.int64))
        masks = _tracks(size, frames, len(scores))
        kept = tuple(_judged(masks[number, indices], score, True) for number, score in enumerate(scores))
        objects = tuple(
            FoundObject(number, score, MaskTrack.from_masks(masks[number - 1], size)) for number, score in enumerate(scores, start=1)
        )
        maps = rng.random((3, len(indices), 4, 5)).astype(np.float32)
        values: dict[str, object] = {
            "expression": "the red disc on the left",
            "clip": ArrayClip(images, fps=12.5, name="discs"),
            "frame_indices": indices,
            "heatmaps": ResultMaps(maps[0], video=maps[1], frame=maps[2]),
            "points": _points(len(indices), len(scores) + dropped if scores else 1),
            "prompt_weights": _weights("Which object?"),
            "tracklets": tuple(_judged(masks[0, indices][:, ::-1], 0.2 - 0.05 * number, False) for number in range(dropped)) + kept
            if len(scores)
            else (),
            "objects": objects,
            "answers": _answers(len(indices)),
            "category": "disc",
            "manifest": {"measured": {"seconds": {"look": 1.5}}, "recipe": {"sampler": {"use": "uniform"}}, "seed": 0},
        }
        return Result(**{**values, **changes})  # type: ignore[arg-type]

    return make
