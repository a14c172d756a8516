"""The course of a training: soft prompts of one view, step by step, validated, drawn and kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import reduce

from gazecut.errors import RecipeError, TrainingError
from gazecut.training import Trained, Watcher
from gazecut_fusion import soft_prompt_pictures
from gazecut_fusion.soft_prompt_files import SoftPrompt, SoftPromptRecord, save_soft_prompt
from gazecut_fusion.soft_prompt_lessons import Asked, Classroom, OpenLesson, Study
from gazecut_fusion.soft_prompt_losses import answer_loss, correlation, map_loss
from gazecut_fusion.soft_prompt_pictures import Sight
from gazecut_fusion.soft_prompt_state import State, initial, rate

Figures = dict[str, float]


@dataclass(frozen=True)
class Surroundings:
    """Where a course runs.

    Attributes:
        output: Folder of the whole training.
        purpose: What the training is, by name; a checkpoint of another one is refused.
        record: What is written beside the embeddings; `training` is filled in.
        watcher: Told of every step.
        processes: Those that share the work; this one and the others.
        seed: Of the initial noise.
    """

    output: Path
    purpose: Mapping[str, str]
    record: SoftPromptRecord
    watcher: Watcher
    processes: PartialState
    seed: int


class Course:
    """Trains the soft prompts of one view."""

    def __init__(self, study: Study, classroom: Classroom, surroundings: Surroundings) -> None:
        """Nothing runs yet.

        Args:
            study: Model, attribution, view and options.
            classroom: Clips of each step.
            surroundings: Where it runs.
        """
        self._study, self._classroom, self._around = study, classroom, surroundings
        self._options, self._view = study.options, study.view
        self._before: list[np.ndarray] = []  # maps of the drawn clips without soft prompts
        self._begun: dict[int, list[torch.Tensor]] = {}  # first answer tokens (B,) of validation questions without soft prompts, by clip
        soft = torch.nn.Parameter(initial(torch.as_tensor(study.backend.embed(self._options.text)), self._options, surroundings.seed))
        self._state = State(soft, torch.optim.AdamW([soft], lr=self._options.lr, weight_decay=self._options.weight_decay))

    @property
    def checkpoint(self) -> Path:
        """Where its checkpoint lies."""
        return checkpoint_path(self._around.output, self._view)

    def run(self, resume: bool) -> Trained:
        """Train to the end, from a checkpoint if there is one and it is wanted.

        Raises:
            WeightsError: The checkpoint is of another training, or cannot be read.
            RecipeError: No gradient comes through the attribution.
            TrainingError: Loss or gradient is not finite; the last good state is in the checkpoint.
            OutputError: The disk refuses.
        """
        state, options = self._state, self._options
        if resume and self.checkpoint.is_file():
            state.load(self.checkpoint, self._around.purpose)
        with ExitStack() as ending:
            ending.callback(self._classroom.close)
            ending.callback(self._close_board)
            self._around.watcher.on_start(self._view, state.step, options.steps)
            if not state.figures:
                state.figures["none"] = self._examined(None)
                self._validate()
            while state.step < options.steps:
                self._step()
                if state.step % options.validate_every == 0 or state.step == options.steps:
                    self._validate()
                if state.step % options.checkpoint_every == 0 or state.step == options.steps:
                    self._save()
        return Trained(self._view, self._folder, state.best_step, state.figures["none"], state.figures["best"])

    def _step(self) -> None:
        """One optimizer step, each clip's gradient added before the next is opened."""
        state, options = self._state, self._options
        for group in state.optimizer.param_groups:
            group["lr"] = rate(state.step, options)
        state.optimizer.zero_grad()
        figures: list[Figures] = []
        trouble = None
        for opened, which in self._classroom.step(state.step):
            loss, told = self._loss(opened, which, opened.ask(which, state.soft))
            trouble = self._trouble(loss, opened, which)
            if trouble:
                break
            torch.autograd.backward(loss / options.batch)
            figures.append(told)
        _sum_gradients(self._around.processes, state.soft, spoilt=trouble is not None)
        norm = float(torch.nn.utils.clip_grad_norm_([state.soft], options.clip_norm))
        if trouble or not math.isfinite(norm):
            self._stop(trouble or f"the gradient of step {state.step + 1} is {norm}")
        state.optimizer.step()
        state.step += 1
        mean = _mean(figures) | {"lr": rate(state.step - 1, options), "gradient": norm}
        self._around.watcher.on_step(self._view, state.step, mean)
        self._board_figures("train", mean)

    def _loss(self, opened: OpenLesson, which: Sequence[int], asked: Sequence[Asked]) -> tuple[torch.Tensor, Figures]:
        """The loss of one clip, the mean over its expressions, with its figures."""
        losses = [map_loss(each.maps, each.truth, self._options) for each in asked]
        figures = {
            "loss": float(torch.stack([loss.detach() for loss in losses]).mean()),
            "correlation": float(np.mean([float(correlation(each.maps.detach(), each.truth)) for each in asked])),
        }
        if self._options.answers:
            strayed = [answer_loss(each.logits, free) for each, free in zip(asked, opened.free_logits(which), strict=True)]
            figures["answers lost"] = float(torch.stack([each.detach() for each in strayed]).mean())
            losses = [loss + self._options.answers * each for loss, each in zip(losses, strayed, strict=True)]
        return torch.stack(losses).mean(), figures

    def _trouble(self, loss: torch.Tensor, opened: OpenLesson, which: Sequence[int]) -> str | None:
        """What is wrong with a loss, or None."""
        if not loss.requires_grad:
            raise RecipeError(
                "attribution: no gradient comes back from its scores, so nothing can be learned through it; use rollout, "
                "with kernel auto, chunked or fused."
            )
        if torch.isfinite(loss):
            return None
        texts = ", ".join(f'"{opened.lesson.texts[index]}"' for index in which)
        return f"the loss of step {self._state.step + 1} is {float(loss.detach())}, at {opened.lesson.name}, {texts}"

    def _stop(self, what: str) -> None:
        """Give up, all processes in the same step; what is kept is the state before it."""
        self._save()
        self._around.processes.wait_for_everyone()  # a launcher ends all of them once one is gone
        raise TrainingError(
            f"training of the {self._view} view stopped: {what}. The state after {self._state.step} steps is kept in {self.checkpoint}, "
            f"the best one in {self._folder}. Lower trainer.lr (now {self._options.lr:g}) or look at the clip, and train anew."
        )

    def _validate(self) -> None:
        state = self._state
        figures = self._examined(state.soft)
        best = state.offer(figures, self._options.least_answers)
        if best and self._around.processes.is_main_process:
            self._write_best()
        self._around.watcher.on_validation(self._view, state.step, figures, best)
        self._board_figures("validation", figures)

    @torch.no_grad()
    def _examined(self, soft: torch.Tensor | None) -> Figures:
        """Loss, correlation and kept answers on validation clips; draws the first ones."""
        figures: list[Figures] = []
        sights: list[Sight] = []
        for number, (opened, which) in enumerate(self._classroom.validation()):
            asked = opened.ask(which, soft)
            _, told = self._loss(opened, which, asked)
            if number not in self._begun:
                free = [each.logits for each in asked] if soft is None else opened.free_logits(which)
                self._begun[number] = [logits.argmax(-1) for logits in free]
            same = [float((each.logits.argmax(-1) == was).float().mean()) for each, was in zip(asked, self._begun[number], strict=True)]
            figures.append(told | {"answers": float(np.mean(same))})
            if number < self._options.pictures:
                sights.append(self._sight(opened, which[0], asked[0], number, soft is None))
        if sights and soft is not None and self._around.processes.is_main_process:
            path = self._around.output / "pictures" / self._view / f"step_{self._state.step:05d}.png"
            mean = _mean(figures)["correlation"]
            soft_prompt_pictures.write(path, sights, f"{self._view}, step {self._state.step}, correlation {mean:.3f}")
        return _mean(figures)

    def _sight(self, opened: OpenLesson, which: int, asked: Asked, number: int, free: bool) -> Sight:
        """The middle frame of a clip with the map of its first expression."""
        lesson, maps = opened.lesson, asked.maps.float().cpu().numpy()
        if number == len(self._before):
            without = asked if free else opened.ask([which], None)[0]
            self._before.append(without.maps.float().cpu().numpy())
        frame = int(np.flatnonzero(lesson.masks[which].any((1, 2)))[lesson.masks[which].any((1, 2)).sum() // 2])
        slot = frame // opened.session.layout.frames_per_slot
        shown = {"without": self._before[number][slot], "with soft prompts": maps[slot]}
        return Sight(lesson.texts[which], lesson.frames.images[frame], lesson.masks[which][frame], shown)

    @property
    def _folder(self) -> Path:
        return self._around.output / self._view

    def _write_best(self) -> None:
        state = self._state
        assert state.best is not None
        # What the model computes with in half precision loses nothing in float16, and takes half the room.
        whole = self._study.backend.describe().dtype in ("float32", "float64")
        told = {"step": state.best_step, "seed": self._around.seed, "validation": state.figures["best"], "without": state.figures["none"]}
        record = self._around.record.model_copy(update={"training": self._around.record.training | told})
        save_soft_prompt(SoftPrompt(state.best.numpy().astype(np.float32 if whole else np.float16), record), self._folder)

    def _save(self) -> None:
        if self._around.processes.is_main_process:
            self._state.save(self.checkpoint, self._around.purpose)

    @cached_property
    def _board(self) -> Any:
        """TensorBoard's writer, where it is installed; made for the first figures, which are of the present step."""
        if find_spec("tensorboard") is None or not self._around.processes.is_main_process:
            return None
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self._around.output / "tensorboard" / self._view), purge_step=self._state.step)

    def _board_figures(self, group: str, figures: Figures) -> None:
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(f"{group}/{name}", value, self._state.step)

    def _close_board(self) -> None:
        if self.__dict__.get("_board") is not None:
            self._board.close()


def checkpoint_path(output: Path, view: str) -> Path:
    """Where the checkpoint of a view lies."""
    return output / "checkpoints" / f"{view}.pt"


def _sum_gradients(processes: PartialState, soft: torch.nn.Parameter, spoilt: bool) -> None:
    """Put the gradients of all processes together; one that is spoilt spoils the sum, so that all of them know."""
    if processes.num_processes > 1:
        given = torch.zeros_like(soft) if soft.grad is None else soft.grad
        total: Any = reduce((given * math.nan if spoilt else given).to(processes.device), reduction="sum")
        soft.grad = total.to(soft.device)


def _mean(figures: Sequence[Figures]) -> Figures:
    return {name: float(np.mean([each[name] for each in figures])) for name in figures[0]} if figures else {}
