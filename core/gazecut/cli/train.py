"""`gazecut train`: have a trainer learn what a recipe's components use."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gazecut.cli.installed import asked_plugins
from gazecut.cli.options import Device, Output, Overrides, Recipe, Seed
from gazecut.cli.tables import columns
from gazecut.errors import RequestError

if TYPE_CHECKING:
    from gazecut.training import Trained, Watcher

STAGE = "trainer"
FIGURES = ("correlation", "answers", "loss")


def train(
    trainer: Annotated[str, typer.Argument(metavar="TRAINER", help="What to train with; `gazecut plugins` lists trainers.")],
    data: Annotated[
        str, typer.Option("--data", "-d", metavar="FOLDER|pocket-world", help="Clips with expressions and masks.", show_default=False)
    ],
    recipe: Recipe = "pocket-steerseg",
    overrides: Overrides = None,
    output: Output = Path("trained"),
    device: Device = "auto",
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in DIR, exactly as if nothing had stopped.")] = False,
) -> None:
    """Train what a recipe uses on clips whose truth is known; the models themselves stay as they are.

    `soft-prompt` learns a few embeddings per view that draw the attention of a frozen multimodal LLM together (SteerSeg). Its data is
    `pocket-world`, rendered as it goes, or a folder in the layout of Ref-YouTube-VOS: meta_expressions/train/meta_expressions.json,
    train/JPEGImages and train/Annotations.

    Its options are set as `trainer.OPTION`; `gazecut show trainer soft-prompt` tells all of them.

    ```
    gazecut train soft-prompt --data pocket-world -o prompts --set trainer.steps=300 --set trainer.tokens=8
    gazecut train soft-prompt --data pocket-world -o prompts --resume --set trainer.steps=300 --set trainer.tokens=8
    gazecut train soft-prompt -r steerseg-qwen2.5-vl-7b -d ref-youtube-vos -o prompts --device cuda
    torchrun --no-python --nproc-per-node 2 gazecut train soft-prompt -d ref-youtube-vos -o prompts --device cuda
    ```

    DIR gets a folder per view, to be named in a recipe under fusion.soft-prompt.weights; checkpoints/ beside, and pictures/ with the maps
    of validation clips before and after.
    """
    from gazecut.pipeline import Pipeline
    from gazecut.recipe import load_component
    from gazecut.training import Trainer, Training, Watcher

    own = [text for text in overrides or () if re.split("[.=]", text)[0].strip() == STAGE]
    rest = [text for text in overrides or () if text not in own]
    pipeline = Pipeline.from_recipe(recipe, overrides=rest, device=process_device(device), seed=seed, plugins=asked_plugins(), cache=False)
    stage = load_component("trainer", trainer, own, pipeline.registry)
    built: Trainer = pipeline.registry.build("trainer", stage.use, stage.options, pipeline.runtime)
    with training_display() if speaks() else nullcontext(Watcher()) as display:
        trained = built.train(Training(pipeline, data, output, resume, display))
    if speaks():
        typer.echo("\n".join(columns(_rows(trained))))


def process_device(device: str) -> str:
    """The device of this process: where a launcher started several, "cuda" is the one that is this process's own.

    Raises:
        RequestError: It is "auto", which would be the same GPU for all of them.
    """
    rank = os.environ.get("LOCAL_RANK")
    if rank is None:
        return device
    if device == "auto":
        raise RequestError('a launcher started several processes, and with --device auto they would share one GPU; say "cuda" or "cpu".')
    return f"cuda:{rank}" if device == "cuda" else device


def speaks() -> bool:
    """Whether this process is the one of a launcher's that shows what goes on; one that was started alone is."""
    return os.environ.get("RANK", "0") == "0"


def _rows(trained: Sequence[Trained]) -> Iterator[tuple[str, ...]]:
    names = [name for name in FIGURES if trained and name in trained[0].after]
    yield ("part", "best step", *(f"{name} before -> after" for name in names), "folder")
    for each in trained:
        told = (f"{each.before.get(name, float('nan')):.3f} -> {each.after[name]:.3f}" for name in names)
        yield (each.part, str(each.step), *told, str(each.folder))


@contextmanager
def training_display() -> Iterator[Watcher]:
    """Bars in a terminal, one line per validation elsewhere; both on standard error."""
    from rich.progress import TimeRemainingColumn

    from gazecut.cli.progress import progress_bars
    from gazecut.training import Watcher

    with progress_bars(TimeRemainingColumn()) as bars:

        class Display(Watcher):
            def on_start(self, part: str, done: int, steps: int) -> None:
                self.task = bars.add_task(part, total=steps, completed=done, summary="")
                if done:
                    bars.console.print(f"{part}: going on after step {done} of {steps}", highlight=False)

            def on_step(self, part: str, step: int, figures: Mapping[str, float]) -> None:
                bars.update(self.task, completed=step, summary=_told(figures, ("loss", "correlation")))

            def on_validation(self, part: str, step: int, figures: Mapping[str, float], best: bool) -> None:
                bars.console.print(f"{part} step {step}: {_told(figures, FIGURES)}{', the best so far' if best else ''}", highlight=False)

        yield Display()


def _told(figures: Mapping[str, float], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {figures[name]:.3f}" for name in names if name in figures)
