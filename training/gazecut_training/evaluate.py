"""Right answers of a checkpoint on validation scenes, by kind of expression and view.

  python -m gazecut_training.evaluate CHECKPOINT [--scenes 100] [--first-seed 80000] [--size 256]

Object questions count as right when the first token is; attribute answers are read word by word, given the words
before (so that one wrong word is one mistake). Nothing here looks at attention.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

from gazecut.prompts import prompt_set, sentence
from gazecut.prompts import render as fill
from gazecut.world import SHAPES, Expression, Plan, expressions, paint, plan
from gazecut_training.config import TRAINING_SEEDS, View
from gazecut_training.data import GRIDS, Batch, resize
from gazecut_training.encoding import MOTION_AT, SHAPE_AT, around_vision, encode, opening
from gazecut_training.model import FRAME_SIZE, FRAMES, FRAMES_PER_SLOT, VIDEO_SIZE
from gazecut_training.packing import patch_windows
from gazecut_training.questions import MOTIONS, Question, attribute_answer, listed, target_attributes
from gazecut_training.train import forward

Tally: TypeAlias = dict[str, list[bool]]

VIEWS: Final[tuple[View, ...]] = ("clip", "frame")
MIDDLE: Final = FRAMES // 2  # the frame of view "frame"
SAY: Final = "say"  # starts the probe of the attribute turn, before the kind of its expression


@torch.no_grad()
def evaluate(model: Qwen2_5_VLForConditionalGeneration, seeds: range, size: int = 256) -> Tally:
    """Answer everything that can be asked about some scenes.

    Args:
        model: The pocket model.
        seeds: Scene seeds.
        size: Pixels of the clips, from which both views are made.

    Returns:
        "view/probe" to one truth value per question that has it.
    """
    tally: Tally = defaultdict(list)
    for seed in seeds:
        scene = plan(seed)
        frames, labels = paint(scene, np.linspace(0, 1, FRAMES), size)
        seen = [(labels[MIDDLE] == i + 1).any() for i in range(len(scene.bodies))]
        asked = [e for e in expressions(scene) if all(seen[i] for i in e.object_ids)]
        for view in VIEWS:
            questions = list(_questions(scene, asked, view))
            blocks = [encode(np.random.default_rng(0), [[question]]) for question in questions]
            batch = Batch(view, patch_windows(_slots(frames, view)), GRIDS[view], *around_vision(opening()), blocks)
            for name, right in _judged(model, batch, questions):
                tally[f"{view}/{name}"].append(right)
    return tally


def _slots(frames: NDArray[np.uint8], view: View) -> Tensor:
    """The whole clip (S, 2, H, W, 3), or its frame in the middle (1, 1, H, W, 3)."""
    if view == "clip":
        return torch.from_numpy(resize(frames, VIDEO_SIZE)).view(-1, FRAMES_PER_SLOT, VIDEO_SIZE, VIDEO_SIZE, 3)
    return torch.from_numpy(resize(frames[MIDDLE : MIDDLE + 1], FRAME_SIZE))[None]


def _judged(model: Qwen2_5_VLForConditionalGeneration, batch: Batch, questions: list[Question]) -> Iterator[tuple[str, bool]]:
    """What each question probes, and whether the answer is right there."""
    for question, block, hidden in zip(questions, batch.blocks, forward(model, batch, half=False), strict=True):
        where = block.weights[0, 0].nonzero()[:, 0]
        right = model.lm_head(hidden[0, 0, where]).argmax(-1) == block.ids[0, 0, where + 1]
        if question.probe == "background":
            yield "background", bool(right.all())
        elif question.probe.startswith(SAY):
            yield "shape in attributes", bool(right[SHAPE_AT])
            if listed(question.answer)[-1].startswith(MOTIONS):
                yield f"motion word ({'told' if question.probe == f'{SAY} motion' else 'seen'})", bool(right[MOTION_AT])
        else:
            yield question.probe, bool(right[0])


def _questions(scene: Plan, asked: list[Expression], view: View) -> Iterator[Question]:
    decaf, steerseg = prompt_set("decaf"), prompt_set("steerseg")
    moment, moving = (0.5, True) if view == "clip" else (MIDDLE / (FRAMES - 1), False)
    for expression in asked:
        text = sentence(expression.text)
        yield Question(fill(decaf.template("object"), expression=text), expression.answer, expression.kind)
        words = target_attributes(scene.bodies, expression, moment, moving)
        prompt = fill(steerseg.template("attributes"), expression=text)
        yield Question(prompt, attribute_answer(expression, words), f"{SAY} {expression.kind}")
    yield Question(fill(decaf.template("background"), category=SHAPES[0]), scene.ground.text, "background")


def main() -> None:
    """Read the command line and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="folder that training wrote")
    parser.add_argument("--scenes", type=int, default=100, help="how many scenes (default: 100)")
    parser.add_argument("--first-seed", type=int, default=TRAINING_SEEDS, help="first seed (default: 80000, validation)")
    parser.add_argument("--size", type=int, default=256, help="pixels of the clips (default: 256)")
    arguments = parser.parse_args()
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(arguments.checkpoint, local_files_only=True)
    tally = evaluate(model, range(arguments.first_seed, arguments.first_seed + arguments.scenes), arguments.size)
    lines = [f"{name:36} {sum(v) / len(v):.3f}  of {len(v)}" for name, v in sorted(tally.items())]
    print("\n".join(lines))  # noqa: T201 - what the command is for


if __name__ == "__main__":
    main()
