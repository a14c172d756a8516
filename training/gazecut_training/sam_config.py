"""The curriculum of the pocket SAM 2: stages counted in steps, so that a run is deterministic and can be resumed."""

from dataclasses import dataclass, field
from typing import Final

from gazecut_training.config import stage_of

POLISH: Final = 0.6
"""Rate at which a polish starts, in shares of the full one."""


@dataclass(frozen=True)
class SamStage:
    """Some steps on one mix of single frames and clips.

    Attributes:
        steps: Optimizer steps.
        lengths: Frames of a clip to its share of the steps; 1 stands for single frames.
        images: Single frames per step.
        clips: Length to clips per step.
        hard: Share of scenes by `sam_scenes`; the others are the pocket world's own.
        forced: Share of followed frames whose true mask is remembered instead of the found one, at the first and the last step.
    """

    steps: int
    lengths: dict[int, float]
    images: int = 16
    clips: dict[int, int] = field(default_factory=lambda: {2: 6, 3: 5, 4: 5, 8: 4})
    hard: float = 0.65
    forced: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class SamConfig:
    """A whole run.

    Attributes:
        stages: In order.
        seed: Seed of weights and data.
        side: Pixels of the network's square input.
        labels: Pixels of the square masks that losses are computed on.
        lr: Learning rate, of Muon's matrices and AdamW's rest.
        warmup: Steps of linear warm-up.
        polish: Steps at the end in which the rate starts once more, lower, and falls to nothing.
        decay: Share of the steps before that, at their end, over which the rate falls linearly to nothing.
        absence: Weight of the judgement whether an object is there, against that of masks.
    """

    stages: tuple[SamStage, ...]
    seed: int = 1
    side: int = 192
    labels: int = 128
    lr: float = 1.5e-3
    warmup: int = 60
    polish: int = 0
    decay: float = 0.4
    absence: float = 2.0

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage(self, step: int) -> tuple[SamStage, float]:
        """The stage that a step, counted from 0, belongs to, and how much of it lies behind, 0 to 1."""
        stage, behind = stage_of(self.stages, step)
        return stage, behind / stage.steps

    def rate(self, step: int) -> float:
        """Factor on the learning rates at a step."""
        first = self.steps - self.polish
        if step >= first:
            return POLISH * min(1.0, (step - first + 1) / self.warmup) * (self.steps - step) / self.polish
        rising = min(1.0, (step + 1) / self.warmup)
        return rising * min(1.0, (first - step) / (self.decay * first))


POCKET_SAM: Final = SamConfig(
    stages=(
        SamStage(1300, {1: 1.0}),
        SamStage(350, {1: 0.4, 2: 0.6}, forced=(0.6, 0.3)),
        SamStage(400, {1: 0.4, 2: 0.1, 3: 0.25, 4: 0.25}, forced=(0.3, 0.0)),
        SamStage(1550, {1: 0.4, 4: 0.3, 8: 0.3}),
        SamStage(1100, {1: 0.4, 4: 0.2, 8: 0.4}, hard=0.4),
    ),
    polish=1100,
)
