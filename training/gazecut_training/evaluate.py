"""Right answers of a checkpoint on validation scenes, by kind of expression and view.

  python -m gazecut_training.evaluate CHECKPOINT [--scenes 100] [--first-seed 80000]

Object questions count as right when the first token is; attribute answers are read word by word, given the words
before (so that one wrong word is one mistake). Nothing here looks at attention.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

from gazecut.prompts import prompt_set, sentence
from gazecut.prompts import render as fill
from gazecut.world import Expression, Plan, expressions, paint, plan
from gazecut_training.config import TRAINING_SEEDS, View
from gazecut_training.data import FRAMES, GRIDS, Batch, resize
from gazecut_training.encoding import around_vision, encode, opening
from gazecut_training.packing import patch_windows
from gazecut_training.questions import Question, attribute_answer, target_attributes
from gazecut_training.train import forward

Tally = dict[str, list[bool]]


@torch.no_grad()
def evaluate(model: Qwen2_5_VLForConditionalGeneration, seeds: range, size: int = 256) -> Tally:
    """Answer everything that can be asked about some scenes.

    Args:
        model: The pocket model.
        seeds: Scene seeds.
        size: Pixels of the clips, from which both views are made.

    Returns:
        "view/probe" to one truth value per question.
    """
    tally: Tally = defaultdict(list)
    for seed in seeds:
        scene = plan(seed)
        frames, labels = paint(scene, np.linspace(0, 1, FRAMES), size)
        middle = FRAMES // 2
        seen = [(labels[middle] == i + 1).any() for i in range(len(scene.bodies))]
        asked = [e for e in expressions(scene) if all(seen[i] for i in e.object_ids)]
        clip = torch.from_numpy(resize(frames, 128)).view(4, 2, 128, 128, 3)
        frame = torch.from_numpy(resize(frames[middle : middle + 1], 256))[None]
        for view, slots in (("clip", clip), ("frame", frame)):
            _ask(model, scene, asked, view, slots, tally)  # type: ignore[arg-type]
    return tally


def _ask(model: Qwen2_5_VLForConditionalGeneration, scene: Plan, asked: list[Expression], view: View, slots: Tensor, tally: Tally) -> None:
    moment = 0.5 if view == "clip" else FRAMES // 2 / (FRAMES - 1)
    questions = list(_questions(scene, asked, moment, view == "clip"))
    blocks = [encode(np.random.default_rng(0), [[q]]) for q in questions]
    batch = Batch(view, patch_windows(slots), GRIDS[view], *around_vision(opening()), blocks)
    for question, block, hidden in zip(questions, blocks, forward(model, batch, half=False), strict=True):
        where = block.weights[0, 0].nonzero()[:, 0]
        right = model.lm_head(hidden[0, 0, where]).argmax(-1) == block.ids[0, 0, where + 1]
        if question.probe == "background":
            tally[f"{view}/background"].append(bool(right.all()))
        elif question.probe.startswith("say"):
            tally[f"{view}/shape in attributes"].append(bool(right[1]))
            if view == "clip" and len(right) > 10:
                tally[f"{view}/motion word ({'told' if question.probe == 'say motion' else 'seen'})"].append(bool(right[-2]))
        else:
            tally[f"{view}/{question.probe}"].append(bool(right[0]))


def _questions(scene: Plan, asked: list[Expression], moment: float, moving: bool) -> Iterator[Question]:
    decaf, steerseg = prompt_set("decaf"), prompt_set("steerseg")
    for expression in asked:
        text = sentence(expression.text)
        yield Question(fill(decaf.template("object"), expression=text), expression.answer, expression.kind)
        words = target_attributes(scene.bodies, expression, moment, moving)
        prompt = fill(steerseg.template("attributes"), expression=text)
        yield Question(prompt, attribute_answer(expression, words), f"say {expression.kind}")
    yield Question(fill(decaf.template("background"), category="circle"), scene.ground.text, "background")


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
