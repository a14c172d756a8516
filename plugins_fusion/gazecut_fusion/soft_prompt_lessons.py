"""One view of clips under training: sessions that stay open for a while, the truth on the grid, and the maps of steered questions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from gazecut.arrays import unit_range
from gazecut.errors import RecipeError
from gazecut.prompts import PromptSet, placeholders, prompt_set, render, sentence
from gazecut.protocols import Attribution
from gazecut.resize import area_average
from gazecut.training import DifferentiableBackend, DifferentiableSession
from gazecut.values import Frames, GridLayout, Question, Steering
from gazecut_fusion.config import Place, SoftPromptTrainerOptions, View
from gazecut_fusion.scales import axes_of, scale_of
from gazecut_fusion.soft_prompt_data import Lesson, Source, Split


@dataclass(frozen=True, eq=False)
class Asked:
    """What came of one expression, steered or not.

    Attributes:
        maps: (T', h, w) in [0, 1].
        truth: (T', h, w) in [0, 1], the share of each cell that the target covers.
        logits: (B, v) of the first answer token of each sequence.
    """

    maps: torch.Tensor
    truth: torch.Tensor
    logits: torch.Tensor


class OpenLesson:
    """A clip in one view, with its prefix in memory."""

    def __init__(self, study: Study, lesson: Lesson, session: DifferentiableSession) -> None:
        self.lesson, self.session = lesson, session
        self._study = study
        self._free: dict[int, torch.Tensor] = {}

    def ask(self, which: Sequence[int], soft: torch.Tensor | None) -> list[Asked]:
        """Ask about some of the clip's expressions, steered by embeddings (P, d) or not at all."""
        with self._study.computing():
            return self._ask(which, soft)

    def free_logits(self, which: Sequence[int]) -> list[torch.Tensor]:
        """Logits (B, v) of the same questions without steering; asked once."""
        missing = [index for index in which if index not in self._free]
        if missing:
            with torch.no_grad():
                self._free.update(zip(missing, (asked.logits for asked in self.ask(missing, None)), strict=True))
        return [self._free[index] for index in which]

    def _ask(self, which: Sequence[int], soft: torch.Tensor | None) -> list[Asked]:
        steering = None if soft is None else Steering(soft, self._study.place)
        texts = [self._study.wording(self.lesson.texts[index]) for index in which]
        tracings = self.session.trace([Question(text, self._study.attribution.spec, steering) for text in texts])
        scores = iter(self._study.attribution.scores_many([trace for tracing in tracings for trace in tracing.traces]))
        asked = []
        for index, tracing in zip(which, tracings, strict=True):
            folded = self.session.layout.fold(torch.cat([torch.as_tensor(next(scores)) for _ in tracing.traces]))
            maps = torch.as_tensor(unit_range(folded, axes_of(scale_of(self._study.view))))
            truth = torch.as_tensor(truth_on_grid(self.lesson.masks[index], self.session.layout)).to(maps)
            asked.append(Asked(maps, truth, torch.as_tensor(tracing.logits)))
        return asked


@dataclass(frozen=True)
class Study:
    """What all clips of a view share.

    Attributes:
        backend: The frozen model.
        attribution: Makes scores of traces.
        prompts: How the question is worded.
        view: The view.
        place: Where the soft tokens stand.
        options: Of the trainer.
    """

    backend: DifferentiableBackend
    attribution: Attribution
    prompts: PromptSet
    view: View
    place: Place
    options: SoftPromptTrainerOptions

    def computing(self) -> AbstractContextManager[object]:
        """The precision of matrix products, the same for every question: answers with and without soft tokens are compared."""
        device = torch.device(self.backend.describe().device)
        return torch.autocast(device.type, torch.bfloat16, enabled=self.options.precision == "bf16")

    def wording(self, expression: str) -> str:
        """The question for an expression."""
        return render(self._template, expression=sentence(expression))

    @cached_property
    def _template(self) -> str:
        return self.prompts.template("object")


class Classroom:
    """Draws the clips of each step and opens them; as many as wanted stay open for the next time.

    What a step draws is a function of the seed and the step's number, whatever was open before it.
    """

    def __init__(self, study: Study, source: Source, seed: int, process: int = 0, processes: int = 1) -> None:
        """Open nothing yet.

        Args:
            study: What all clips share.
            source: Where they come from.
            seed: Of all draws.
            process: Which of the processes that share each step this is, from 0.
            processes: How many they are.
        """
        self._process, self._processes = process, processes
        self._study, self._source, self._seed = study, source, seed
        self._open: dict[Split, OrderedDict[int, OpenLesson]] = {"training": OrderedDict(), "validation": OrderedDict()}

    def step(self, step: int) -> Iterator[tuple[OpenLesson, list[int]]]:
        """The clips of a step, from 0, that are this process's, each with the expressions that are asked."""
        options, count = self._study.options, self._source.count("training")
        for at in range(step * options.batch, (step + 1) * options.batch)[self._process :: self._processes]:
            epoch, place = divmod(at, count)
            index = int(self._rng(epoch).permutation(count)[place])
            with self._opened("training", index, 0 if options.keep_open else epoch) as opened:
                order = self._rng(at, 1).permutation(len(opened.lesson.texts))
                yield opened, sorted(order[: options.expressions].tolist())

    def validation(self) -> Iterator[tuple[OpenLesson, list[int]]]:
        """The clips that are never trained on, each with its first expressions; every sampled frame is looked at."""
        for index in range(self._source.count("validation")):
            with self._opened("validation", index, None) as opened:
                yield opened, list(range(min(len(opened.lesson.texts), self._study.options.validation_expressions)))

    def close(self) -> None:
        """Free every prefix."""
        for pool in self._open.values():
            while pool:
                pool.popitem()[1].session.close()

    @contextmanager
    def _opened(self, split: Split, index: int, draw: int | None) -> Iterator[OpenLesson]:
        """A clip of a split; for the frame view some of its frames, which the draw chooses, or all of them."""
        pool = self._open[split]
        if index not in pool:
            lesson = self._source.load(split, index)
            if self._study.view == "frame" and draw is not None:
                lesson = some_frames(lesson, self._study.options.frames, self._rng(draw, index, 2))
            session = self._study.backend.differentiable(lesson.frames, self._study.view, self._study.attribution.spec)
            pool[index] = OpenLesson(self._study, lesson, session)
        pool.move_to_end(index)
        try:
            yield pool[index]
        finally:
            while len(pool) > self._study.options.keep_open:
                pool.popitem(last=False)[1].session.close()

    def _rng(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, *numbers])


def some_frames(lesson: Lesson, count: int, rng: np.random.Generator) -> Lesson:
    """A clip with some of its frames in which some expression names something, and the expressions that do so there."""
    named = np.flatnonzero(np.any(lesson.masks, axis=(0, 2, 3)))
    chosen = np.sort(rng.permutation(named)[:count])
    frames = Frames(lesson.frames.images[chosen], lesson.frames.indices[chosen], lesson.frames.fps)
    seen = [(text, mask[chosen]) for text, mask in zip(lesson.texts, lesson.masks, strict=True) if mask[chosen].any()]
    texts, masks = zip(*seen, strict=True)
    return Lesson(lesson.name, frames, texts, masks)


def truth_on_grid(masks: np.ndarray, layout: GridLayout) -> np.ndarray:
    """Masks (T, H, W) bool as the share (T', h, w) float32 in [0, 1] of each cell that they cover, the mean over a slot's frames."""
    cells = np.asarray(area_average(masks.astype(np.float32), (layout.rows, layout.columns)))
    starts = range(0, len(cells), layout.frames_per_slot)
    return np.stack([cells[start : start + layout.frames_per_slot].mean(0) for start in starts])


def question_set(prompts: PromptSet, named: str | None) -> PromptSet:
    """The prompt set of the question that is trained.

    Args:
        prompts: The recipe's.
        named: The trainer's own choice; None takes the recipe's, or steerseg-plain where the recipe's question wants attributes first.

    Raises:
        RecipeError: The object question needs more than the expression, which only another turn could tell.
        PromptError: There is no such set.
    """
    chosen = prompts if named is None else prompt_set(named)
    others = placeholders(chosen.template("object")) - {"expression"}
    if named is None and others == {"attributes"}:
        return prompt_set("steerseg-plain")
    if others:
        raise RecipeError(
            f'prompts: the object question of "{chosen.name}" needs {", ".join(sorted(others))}, which another turn '
            "must tell first; soft prompts are trained on the question alone. Set trainer.prompts to steerseg-plain or decaf."
        )
    return chosen
