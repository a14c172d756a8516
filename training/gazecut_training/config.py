"""The curriculum: stages counted in steps, so that a run is deterministic and can be resumed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeAlias, TypeVar

import numpy as np

from gazecut.world import Kind, Theme

View: TypeAlias = Literal["crop", "image", "pair", "frame", "clip"]

TRAINING_SEEDS: Final = 80_000
"""Scene seeds below this are for training, from here to 90,000 for validation; from 90,000 on they are held out."""

KIND_WEIGHTS: Final[dict[Kind, float]] = {
    "colour": 1.0,
    "name": 0.6,
    "size": 1.0,
    "place": 1.0,
    "combination": 1.0,
    "motion": 1.0,
    "several": 0.3,
}


@dataclass(frozen=True)
class Stage:
    """Some steps on one mix of scenes.

    Attributes:
        steps: Optimizer steps.
        views: View to share of the steps. "crop": 128 px image of objects twice as large; "image": 128 px image;
            "pair": two neighbouring frames of a clip at 128 px; "frame": 256 px image; "clip": 8 frames at 128 px.
        batch: View to scenes per step.
        objects: View to numbers of objects, drawn evenly; None is the world's own mix.
        themes: Theme to weight; empty is the world's own mix.
        kinds: Kind of expression to weight, for views that show motion.
        short: Questions with a short answer (object, background) per scene.
        long: Questions of the attribute turn per scene.
        background: Share of background questions among the short ones.
        text: Category questions per step (text alone).
        plain: Share of scenes whose background is made plain.
    """

    steps: int
    views: dict[View, float]
    batch: dict[View, int]
    objects: dict[View, tuple[int, ...]] = field(default_factory=dict)
    themes: dict[Theme, float] = field(default_factory=dict)
    kinds: dict[Kind, float] = field(default_factory=lambda: dict(KIND_WEIGHTS))
    short: int = 3
    long: int = 2
    background: float = 0.12
    text: int = 0
    plain: float = 0.0


@dataclass(frozen=True)
class Config:
    """A whole run.

    Attributes:
        stages: In order.
        seed: Seed of weights and data.
        lr: Learning rate of the Muon matrices; embeddings and vectors get `lr_small`.
        lr_small: AdamW learning rate.
        warmup: Steps of linear warm-up.
        decay: Share of all steps, at the end, over which both rates fall linearly to 3 %.
        layers: Layers of the language model.
        depth: Blocks of the vision tower.
    """

    stages: tuple[Stage, ...]
    seed: int = 1
    lr: float = 2.5e-3
    lr_small: float = 1e-3
    warmup: int = 60
    decay: float = 0.42
    layers: int = 6
    depth: int = 3

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage(self, step: int) -> Stage:
        """The stage that a step, counted from 0, belongs to."""
        return stage_of(self.stages, step)[0]

    def rate(self, step: int) -> float:
        """Factor on the learning rates at a step."""
        rising = min(1.0, (step + 1) / self.warmup)
        left = (self.steps - step) / (self.decay * self.steps)
        return rising * max(0.03, min(1.0, left))


class Steps(Protocol):
    """What stages have in common."""

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        ...


AnyStage = TypeVar("AnyStage", bound=Steps)


def stage_of(stages: Sequence[AnyStage], step: int) -> tuple[AnyStage, int]:
    """The stage that a step, counted from 0, belongs to, and the steps of it that lie behind; the end of the last one for later steps."""
    for stage in stages:
        if step < stage.steps:
            return stage, step
        step -= stage.steps
    return stages[-1], stages[-1].steps


def training_seed(rng: np.random.Generator) -> int:
    """Draw the seed of a scene to train on."""
    return int(rng.integers(TRAINING_SEEDS))


POCKET: Final = Config(
    stages=(
        Stage(
            550,
            {"crop": 0.4, "image": 0.25, "pair": 0.35},
            {"crop": 64, "image": 64, "pair": 64},
            objects={"crop": (1,), "image": (1,), "pair": (1,)},
            kinds={"colour": 1.0, "motion": 0.3},
            short=1,
            long=1,
        ),
        Stage(
            900,
            {"image": 0.45, "pair": 0.25, "clip": 0.3},
            {"image": 36, "pair": 36, "clip": 16},
            objects={"image": (1, 2, 2), "pair": (1, 2), "clip": (1, 2)},
            themes={"free": 0.8, "motion": 0.2},
            kinds={"colour": 3.0, "name": 1.2, "size": 0.4, "place": 1.0, "combination": 0.4, "motion": 1.0},
            text=16,
        ),
        Stage(
            320,
            {"image": 0.5, "pair": 0.3, "clip": 0.2},
            {"image": 44, "pair": 44, "clip": 16},
            objects={"image": (2,), "pair": (2,), "clip": (2,)},
            themes={"free": 0.85, "motion": 0.15},
            kinds={"colour": 3.0, "name": 1.2, "size": 0.4, "place": 0.3, "combination": 0.3, "motion": 1.0},
            long=1,
            text=8,
        ),
        Stage(
            310,
            {"image": 0.7, "pair": 0.3},
            {"image": 56, "pair": 56},
            objects={"image": (2,), "pair": (2,)},
            themes={"free": 1.0},
            kinds={"colour": 8.0, "name": 0.5, "place": 0.2, "motion": 0.3},
            long=0,
            background=0.02,
            plain=0.75,
        ),
        Stage(
            700,
            {"image": 0.1, "pair": 0.1, "frame": 0.35, "clip": 0.45},
            {"image": 36, "pair": 36, "frame": 14, "clip": 14},
            objects={"image": (2, 3), "pair": (2, 3), "frame": (2, 3), "clip": (2, 2, 3)},
            themes={"free": 0.5, "motion": 0.25, "twins": 0.12, "sizes": 0.1, "several": 0.03},
            kinds={"colour": 1.5, "name": 1.0, "size": 1.2, "place": 0.5, "combination": 0.7, "motion": 1.6, "several": 0.1},
            text=12,
            plain=0.3,
        ),
        Stage(
            2670,
            {"frame": 0.47, "clip": 0.53},
            {"frame": 14, "clip": 14},
            kinds={"colour": 1.2, "name": 1.0, "size": 1.2, "place": 0.6, "combination": 1.0, "motion": 1.6, "several": 0.2},
            short=5,
            text=12,
        ),
    ),
)
