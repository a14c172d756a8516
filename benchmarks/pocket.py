"""What the pocket model knows: answers, pointing and masks on held-out scenes, with controls beside.

    python benchmarks/pocket.py                   200 held-out scenes, table to benchmarks/results/pocket.md
    python benchmarks/pocket.py --scenes 20 --random-scenes 5

Controls: the same model with random weights, a peak on any object, and a pick among the objects at random.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import torch
from pages import publish, typed
from rich.progress import track
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from gazecut import Pipeline
from gazecut.manifest import machine_name
from gazecut.prompts import parse_attributes, prompt_set, render, sentence
from gazecut.values import Question
from gazecut.world import HELD_OUT
from gazecut.world import render as render_scene
from gazecut.world_score import Trial, score_world, summarise

COLUMNS = ("n", "answer (frame)", "answer (video)", "background", "pointing", "any object", "random object", "correlation", "J", "F", "J&F")

EXPRESSIONS = 2  # of each scene
RANDOM_TOKENS = 8


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=200, help="held-out scenes (default 200)")
    parser.add_argument("--random-scenes", type=int, default=40, help="scenes for the control with random weights (default 40)")
    parser.add_argument(
        "--first-seed", type=int, default=HELD_OUT, help=f"seed of the first scene (default {HELD_OUT}, the first held out)"
    )
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "pocket.md", help="where the table goes")
    arguments = parser.parse_args()

    pipeline = Pipeline.from_recipe("pocket", device="cpu", cache=False)
    start = time.perf_counter()
    trials = _scored("trained", pipeline, arguments.scenes, arguments.first_seed)
    seconds = (time.perf_counter() - start) / max(arguments.scenes, 1)
    parsed = _attributes_parse(pipeline, arguments.scenes, arguments.first_seed)
    with tempfile.TemporaryDirectory() as folder:
        random = Pipeline.from_recipe(
            "pocket",
            overrides={"mllm.weights": _random_weights(Path(folder)), "mllm.max_new_tokens": RANDOM_TOKENS},
            device="cpu",
            cache=False,
        )
        control = _scored("random weights", random, arguments.random_scenes, arguments.first_seed)
    text = "\n".join(
        [
            "# The pocket model on held-out scenes",
            "",
            f"`{typed()}` on {machine_name()}, no GPU, torch on {torch.get_num_threads()} of its threads; {arguments.scenes} scenes, "
            f"{EXPRESSIONS} expressions each, {seconds:.2f} s a scene.",
            "",
            *_table(trials),
            "",
            f"Attribute answers that parse: {parsed:.3f}.",
            "",
            f"## Random weights ({arguments.random_scenes} scenes)",
            "",
            f"Answers are cut at {RANDOM_TOKENS} tokens: without training they never end.",
            "",
            *_table(control),
            "",
        ]
    )
    publish(text, arguments.output)


def _scored(title: str, pipeline: Pipeline, scenes: int, first_seed: int) -> list[Trial]:
    return list(track(score_world(pipeline, scenes, first_seed, EXPRESSIONS), title, total=EXPRESSIONS * scenes))


def _attributes_parse(pipeline: Pipeline, scenes: int, first_seed: int) -> float:
    """Share of attribute answers with an "Attributes:" line."""
    template = prompt_set("steerseg").template("attributes")
    parsed = []
    for seed in range(first_seed, first_seed + scenes):
        scene = render_scene(seed, frames=8, size=256)
        with pipeline.open(scene.frames) as clip, pipeline.mllm.open(clip.frames, "video") as session:
            questions = [Question(render(template, expression=sentence(expression.text))) for expression in scene.expressions[:EXPRESSIONS]]
            parsed += [parse_attributes(answer.texts[0]) is not None for answer in session.ask(questions)]
    return sum(parsed) / len(parsed)


def _random_weights(folder: Path) -> str:
    """The pocket checkpoint with weights as they are before training."""
    with resources.as_file(resources.files("gazecut_mllm") / "pocket") as pocket:
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(pocket))
        model.generation_config = GenerationConfig.from_pretrained(pocket)
        model.save_pretrained(folder)
        AutoProcessor.from_pretrained(pocket).save_pretrained(folder)
    return str(folder)


def _table(trials: Sequence[Trial]) -> list[str]:
    rows = [f"| kind | {' | '.join(COLUMNS)} |", "|---|" + "---|" * len(COLUMNS)]
    for kind, means in summarise(trials).items():
        cells = [f"{means[column]:.0f}" if column == "n" else f"{means.get(column, float('nan')):.3f}" for column in COLUMNS]
        rows.append(f"| {kind} | {' | '.join(cells)} |")
    return rows


if __name__ == "__main__":
    main()
