"""The state of a training, on disk and in memory: from a checkpoint it goes on as if it had never stopped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from gazecut.errors import OutputError, WeightsError
from gazecut.wording import one_line
from gazecut_fusion.config import SoftPromptTrainerOptions
from gazecut_fusion.whole_files import written_whole

VERSION = 2
SEEDS = 2**64  # that torch tells apart; a larger one is an error to it


@dataclass
class State:
    """Everything that a step changes. Draws are a function of the step, so no generator is part of it.

    Attributes:
        soft: (P, d) float32 parameter, the soft tokens.
        optimizer: Of these alone.
        step: Steps that are done.
        best: The embeddings of the best validation so far.
        best_step: After how many steps that was.
        figures: What validation said: "none" (without soft prompts), "best" and by step.
    """

    soft: torch.nn.Parameter
    optimizer: torch.optim.AdamW
    step: int = 0
    best: torch.Tensor | None = None
    best_step: int = 0
    figures: dict[str, dict[str, float]] = field(default_factory=dict)

    def save(self, path: Path, purpose: Mapping[str, str]) -> None:
        """Write a checkpoint, whole or not at all.

        Args:
            path: The file.
            purpose: What the training is; another one cannot go on from it.

        Raises:
            OutputError: The disk refuses.
        """
        content = {
            "version": VERSION,
            "purpose": dict(purpose),
            "soft": self.soft.detach().cpu(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "best": self.best,
            "best_step": self.best_step,
            "figures": self.figures,
        }
        try:
            with written_whole(path) as fresh:
                torch.save(content, fresh)
        except (OSError, RuntimeError) as error:
            raise OutputError(f'cannot write the checkpoint "{path}": {one_line(error)}. Make room or give another folder.') from error

    def load(self, path: Path, purpose: Mapping[str, str]) -> None:
        """Go on from a checkpoint.

        Raises:
            WeightsError: It cannot be read, or is of another training; says what differs.
        """
        try:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            found = content["purpose"]
            if content["version"] != VERSION:
                raise WeightsError(f'checkpoint "{path}" is of version {content["version"]}; this gazecut goes on from version {VERSION}.')
        except WeightsError:
            raise
        except Exception as error:  # a broken file raises whatever its reader stumbles over
            raise WeightsError(f'cannot read the checkpoint "{path}": {one_line(error)}. Start anew in another folder.') from error
        differing = [name for name in purpose if purpose[name] != found.get(name)]
        if differing:
            name = differing[0]
            raise WeightsError(
                f'checkpoint "{path}" is of another training: {name} was {found.get(name)}, now it is {purpose[name]}. '
                "Go on with what it was started with, or give another --output."
            )
        with torch.no_grad():
            self.soft.copy_(content["soft"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.step, self.best_step, self.figures = content["step"], content["best_step"], content["figures"]
        self.best = content["best"]

    def offer(self, figures: dict[str, float], least_answers: float) -> bool:
        """Take note of a validation; whether the embeddings as they are now are the best so far.

        Those that keep enough answers are better than those that do not; among them, correlation decides.
        """
        ranks = [(each["answers"] >= least_answers, each["correlation"]) for each in (figures, self.figures.get("best", figures))]
        self.figures[str(self.step)] = figures
        if self.best is not None and ranks[0] <= ranks[1]:
            return False
        self.best, self.best_step, self.figures["best"] = self.soft.detach().cpu().clone(), self.step, figures
        return True


def initial(words: torch.Tensor, options: SoftPromptTrainerOptions, seed: int) -> torch.Tensor:
    """Soft tokens (P, d) float32 from the embeddings (n, d) of a text, repeated and cut, with noise if wanted."""
    words = words.float().cpu()
    soft = words.repeat(-(-options.tokens // len(words)), 1)[: options.tokens].clone()
    drawn = torch.randn(soft.shape, generator=torch.Generator().manual_seed(seed % SEEDS))
    return soft + options.noise * words.std() * drawn


def rate(step: int, options: SoftPromptTrainerOptions) -> float:
    """Learning rate of a step, from 0: rises over the warm-up, then falls to 0 along a cosine."""
    if step < options.warmup:
        return options.lr * (step + 1) / options.warmup
    done = (step - options.warmup) / max(options.steps - options.warmup, 1)
    return options.lr * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
