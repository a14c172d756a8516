"""`gazecut demo`: the whole line on a clip of the pocket world, with the truth to compare with."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gazecut.cli.installed import asked_plugins
from gazecut.cli.options import Device, Force, Output
from gazecut.cli.segment import where_computed
from gazecut.cli.tables import columns

if TYPE_CHECKING:
    from gazecut.result import Result
    from gazecut.world import Scene
    from gazecut.world.expressions import Expression

SEED = 90_312  # three orange things; picked to show what only a video tells, among the motion scenes that come out well
FRAMES = 24
SIZE = 256  # px


def demo(
    output: Output = Path("demo"),
    device: Device = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which scene; from 90000 on they are held out from all training.")] = SEED,
    force: Force = False,
) -> None:
    """Write a sample clip, segment it with the pocket model, and print the score.

    ```
    gazecut demo
    gazecut demo --seed 90001 -o another
    ```
    """
    from gazecut.cli.progress import progress_display
    from gazecut.contents import SCENE
    from gazecut.output import check_destination, staged
    from gazecut.pipeline import Pipeline
    from gazecut.world import render
    from gazecut.world.files import write_scene

    start, sample = time.perf_counter(), output / "sample"
    scene = render(seed, frames=FRAMES, size=SIZE)
    expression = scene.expressions[0]
    with progress_display() as display:
        pipeline = Pipeline.from_recipe("pocket", device=device, observers=[display], plugins=asked_plugins(), cache=False)
        check_destination(output, force=force)
        with staged(sample, SCENE, force=force) as fresh:
            write_scene(scene, fresh)
        with pipeline.open(sample / "clip.mp4") as session:
            result = session.segment(expression.text)
            with pipeline.observers.stage("write"):
                result.save(output, force=force)
    _print_score(scene, expression, result)
    typer.echo(f"{time.perf_counter() - start:.1f} s{where_computed([result])}\n\nLook at:")
    typer.echo("\n".join(columns(_places(sample, output))))


def _print_score(scene: Scene, expression: Expression, result: Result) -> None:
    from gazecut.metrics import contour_accuracy, region_similarity

    truth, masks = scene.truth(expression), result.masks
    region, contour = float(region_similarity(truth, masks).mean()), float(contour_accuracy(truth, masks).mean())
    typer.echo(f'"{expression.text}" in a clip of {len(scene.objects)} objects, {FRAMES} frames, {SIZE} x {SIZE}')
    typer.echo(f"J {region:.3f}   F {contour:.3f}   J&F {(region + contour) / 2:.3f}   (1 is the truth)")


def _places(sample: Path, output: Path) -> list[tuple[str, str]]:
    return [
        (str(output / "evidence" / "sheet.png"), "where the model looked, and what came of it"),
        (str(output / "overlay.mp4"), "what was found, over the clip"),
        (str(sample / "clip.mp4"), "the clip; its truth in masks/ beside it"),
        (str(output / "masks"), "one palette image per frame"),
        (str(output / "run.json"), "how to repeat it"),
    ]
