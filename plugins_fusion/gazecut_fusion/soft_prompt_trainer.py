"""Trainer `soft-prompt`: a few embeddings learn to draw the attention of a frozen model together (SteerSeg, section 3.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from accelerate import PartialState

from gazecut.errors import OutputError, RecipeError
from gazecut.training import DifferentiableBackend, Parts, Trained, Training
from gazecut_fusion.config import Place, SoftPromptOptions, SoftPromptTrainerOptions, View
from gazecut_fusion.scales import scale_of
from gazecut_fusion.soft_prompt_course import Course, Surroundings, checkpoint_path
from gazecut_fusion.soft_prompt_data import Source, open_source
from gazecut_fusion.soft_prompt_files import Backbone, SoftPromptRecord
from gazecut_fusion.soft_prompt_lessons import Classroom, Study, question_set

COSMETIC = frozenset({"view", "seed", "checkpoint_every", "pictures"})
"""Options that a run may go on with changed: they do not touch what is learned, or stand in the purpose by themselves."""

INDIFFERENT = frozenset({"weights", "revision", "device_map", "cache_gib", "host_cache_gib", "kernel", "chunk"})
"""Options of `mllm` and `attribution` that a run may go on with changed: where the model lies, which is known by its signature, and what
is set to other values where memory ran out."""


class SoftPromptTrainer:
    """Trains soft prompts of one view or of both, one after the other; everything else stays frozen."""

    def __init__(self, config: SoftPromptTrainerOptions) -> None:
        """Take the options; nothing is loaded."""
        self._options = config

    def train(self, training: Training) -> Sequence[Trained]:
        """Train, and write a folder of soft prompts for each view, with checkpoints and pictures beside.

        Raises:
            RequestError: Data, recipe, options or output cannot be used; nothing was trained.
            TrainingError: Loss or gradient is not finite; says where, and what is kept.
        """
        parts, options = training.parts, self._options
        seed = parts.runtime.seed if options.seed is None else options.seed
        views: tuple[View, ...] = get_args(View) if options.view == "both" else (options.view,)
        prompts, place = question_set(parts.recipe.prompts, options.prompts), self._place(parts)
        self._check_output(training, views)
        source = open_source(training.data, options, seed, parts.sampler)
        for split in ("training", "validation"):
            source.load(split, 0)  # before minutes of loading a model: what is wrong with the data shows here
        backend = _differentiable(parts)
        studies = [Study(backend, parts.attribution, prompts, view, place, options) for view in views]
        return [self._course(study, source, training, seed).run(training.resume) for study in studies]

    def _course(self, study: Study, source: Source, training: Training, seed: int) -> Course:
        backend = study.backend.describe()
        processes = PartialState(cpu=backend.device == "cpu")
        recipe = training.parts.recipe
        record = SoftPromptRecord(
            view=study.view,
            place=study.place,
            backbone=Backbone(mllm=recipe.mllm.use, weights=backend.weights or "", revision=backend.revision, signature=backend.signature),
            prompts=study.prompts.name,
            attribution=recipe.attribution.filled(),
            normalization=scale_of(study.view),
            initial_text=self._options.text,
            training={"data": training.data, "steps": self._options.steps, "lr": self._options.lr, "batch": self._options.batch},
        )
        purpose = {name: json.dumps(value) for name, value in self._options.model_dump(mode="json").items() if name not in COSMETIC}
        purpose |= {
            "view": study.view,
            "place": study.place,
            "seed": str(seed),
            "data": training.data,
            "sampler": json.dumps(recipe.sampler.filled()),
            "mllm": backend.signature or str(backend.weights),
            "mllm options": _telling(recipe.mllm.filled()),
            "attribution": _telling(recipe.attribution.filled()),
            "prompts": study.prompts.template("object"),
        }
        classroom = Classroom(study, source, seed, processes.process_index, processes.num_processes)
        return Course(study, classroom, Surroundings(training.output, purpose, record, training.watcher, processes, seed))

    def _place(self, parts: Parts) -> Place:
        stages = [stage.options for stage in parts.recipe.fusion if isinstance(stage.options, SoftPromptOptions)]
        return self._options.place or (stages[0].place if stages else "before-text")

    def _check_output(self, training: Training, views: Sequence[View]) -> None:
        found = [path for view in views if (path := checkpoint_path(training.output, view)).is_file()]
        if found and not training.resume:
            raise OutputError(f'"{training.output}" holds a training already ({found[0]}); go on with --resume, or give another --output.')
        if training.output.exists() and not training.output.is_dir():
            raise OutputError(f'"{training.output}" is a file; wanted a folder to write to.')


def _telling(block: Mapping[str, Any]) -> str:
    """A block of the recipe, as far as what is learned depends on it."""
    return json.dumps({name: value for name, value in block.items() if name not in INDIFFERENT})


def _differentiable(parts: Parts) -> DifferentiableBackend:
    backend = parts.mllm
    if not isinstance(backend, DifferentiableBackend):
        raise RecipeError(
            f'mllm: no gradient comes through "{parts.recipe.mllm.use}": it has no session that can be differentiated '
            "(gazecut.training.DifferentiableBackend). The Qwen, InternVL and LLaVA backends of gazecut[mllm] have."
        )
    return backend
