"""How good a recipe is on the pocket world, whose truth is known for every frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gazecut.metrics import contour_accuracy, region_similarity
from gazecut.pipeline import Pipeline
from gazecut.prompts import parse_attributes
from gazecut.resize import area_average
from gazecut.result import Result
from gazecut.world import HELD_OUT, Expression, Scene, render

COVERED = 0.25
"""Share of a cell that the target must cover for the cell to point at it."""


@dataclass(frozen=True)
class Trial:
    """One expression of one scene, scored.

    Attributes:
        seed: The scene's seed.
        kind: The expression's kind.
        expression: Its text.
        jaccard: Mean J over the clip's frames.
        contour: Mean F over the clip's frames.
        pointing: Share of frames whose fused map peaks on the target.
        any_object: Share of frames whose fused map peaks on any object (finding the foreground, without choosing).
        chance: What a pick among the objects at random would point at.
        correlation: Pearson correlation of fused map and truth on the map's grid; nan where one is constant.
        alignment: The same of each view's map, after whatever fusion did to it (SteerSeg's Table 3 has the mean of both views).
        answers: Share of right object answers by view.
        background: Share of right background answers over all views; nan where none was asked.
        attributes: Share of attribute answers that have the asked form; nan where none was asked.
    """

    seed: int
    kind: str
    expression: str
    jaccard: float
    contour: float
    pointing: float
    any_object: float
    chance: float
    correlation: float
    alignment: dict[str, float]
    answers: dict[str, float]
    background: float
    attributes: float

    @property
    def quality(self) -> float:
        """Mean of J and F."""
        return (self.jaccard + self.contour) / 2


def score_world(pipeline: Pipeline, scenes: int = 50, first_seed: int = HELD_OUT, expressions: int = 2) -> Iterator[Trial]:
    """Segment held-out scenes and score each expression; one run of the pipeline, a clip per scene.

    Args:
        pipeline: The recipe to score.
        scenes: Number of scenes, at seeds `first_seed`, `first_seed` + 1, ...
        first_seed: First seed; from 90,000 on nothing was trained.
        expressions: Most expressions of a scene, of different kinds.

    Yields:
        One trial per expression, scene by scene.
    """
    with pipeline.run(clips=scenes):
        for seed in range(first_seed, first_seed + scenes):
            scene = render(seed, frames=8, size=256)
            asked = scene.expressions[:expressions]
            with pipeline.open(scene.frames) as session:
                results = session.segment_many([expression.text for expression in asked])
            for expression, result in zip(asked, results, strict=True):
                yield score_result(scene, expression, result)


def score_result(scene: Scene, expression: Expression, result: Result) -> Trial:
    """Score one result against its scene."""
    truth, masks = scene.truth(expression), result.masks
    fused, sampled = result.heatmaps.fused, result.frame_indices
    everything = np.any([found.masks for found in scene.objects], axis=0)
    views = {"video": result.heatmaps.video, "frame": result.heatmaps.frame}
    return Trial(
        seed=scene.seed,
        kind=expression.kind,
        expression=expression.text,
        jaccard=float(region_similarity(truth, masks).mean()),
        contour=float(contour_accuracy(truth, masks).mean()),
        pointing=pointing_game(fused, truth[sampled]),
        any_object=pointing_game(fused, everything[sampled]),
        chance=len(expression.object_ids) / len(scene.objects),
        correlation=map_correlation(fused, truth[sampled]),
        alignment={view: map_correlation(maps, truth[sampled]) for view, maps in views.items() if maps is not None},
        answers={record.view: right_answers(record.texts, expression.answer) for record in result.answers if record.role == "object"},
        background=_mean([right_answers(record.texts, scene.background) for record in result.answers if record.role == "background"]),
        attributes=_mean([_parsed(record.texts) for record in result.answers if record.role == "attributes"]),
    )


def pointing_game(maps: np.ndarray, truth: np.ndarray) -> float:
    """Share of frames whose highest cell is covered by the target to a quarter or more.

    Args:
        maps: (T, h, w); a flat map points nowhere.
        truth: (T, H, W) bool.

    Returns:
        In [0, 1], over the frames in which some cell is covered that far; nan where there is none.
    """
    covered = area_average(truth.astype(np.float32), maps.shape[1:]) >= COVERED
    possible = np.flatnonzero(covered.any(axis=(1, 2)))
    hits = [covered[frame].flat[maps[frame].argmax()] and np.ptp(maps[frame]) > 0 for frame in possible]
    return _mean(hits)


def map_correlation(maps: np.ndarray, truth: np.ndarray) -> float:
    """Pearson correlation over all cells of maps (T, h, w) and the truth's share of each cell; nan where one is constant."""
    shares = area_average(truth.astype(np.float32), maps.shape[1:])
    if not np.ptp(shares) or not np.ptp(maps):
        return float("nan")
    return float(np.corrcoef(maps.ravel(), shares.ravel())[0, 1])


def right_answers(texts: Sequence[str], wanted: str) -> float:
    """Share of answers that are the wanted one, case and surrounding space aside."""
    return _mean([text.strip().lower() == wanted for text in texts])


def summarise(trials: Sequence[Trial]) -> dict[str, dict[str, float]]:
    """Means by kind, with "all" and "all but motion"; kinds in the order of their names."""
    groups = {kind: [trial for trial in trials if trial.kind == kind] for kind in sorted({trial.kind for trial in trials})}
    groups["all but motion"] = [trial for trial in trials if trial.kind != "motion"]
    groups["all"] = list(trials)
    return {name: _means(group) for name, group in groups.items() if group}


def _means(trials: Sequence[Trial]) -> dict[str, float]:
    views = dict.fromkeys(view for trial in trials for view in trial.answers)
    mapped = dict.fromkeys(view for trial in trials for view in trial.alignment)
    return {
        "n": len(trials),
        "J": _mean([trial.jaccard for trial in trials]),
        "F": _mean([trial.contour for trial in trials]),
        "J&F": _mean([trial.quality for trial in trials]),
        "pointing": _mean([trial.pointing for trial in trials]),
        "any object": _mean([trial.any_object for trial in trials]),
        "random object": _mean([trial.chance for trial in trials]),
        "correlation": _mean([trial.correlation for trial in trials]),
        **{f"correlation ({view})": _mean([trial.alignment[view] for trial in trials if view in trial.alignment]) for view in mapped},
        **{f"answer ({view})": _mean([trial.answers[view] for trial in trials if view in trial.answers]) for view in views},
        "background": _mean([trial.background for trial in trials]),
        "attributes": _mean([trial.attributes for trial in trials]),
    }


def _parsed(texts: Sequence[str]) -> float:
    return _mean([parse_attributes(text) is not None for text in texts])


def _mean(values: Sequence[float]) -> float:
    finite = [float(value) for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")
