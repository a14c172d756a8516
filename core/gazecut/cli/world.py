"""`gazecut world`: the procedural world that the pocket model knows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gazecut.cli.installed import asked_plugins
from gazecut.cli.options import Device, Force, Output, Overrides, Recipe
from gazecut.cli.tables import columns

app = typer.Typer(help="Scenes of the pocket world, with the truth beside them; and how well a recipe does on them.", no_args_is_help=True)

FIRST_SEED = 90_000
MOST_SCENES = 100_000
MOST_FRAMES = 10_000  # of a clip; scenes are made in memory
LARGEST_SIZE = 4096  # px
HELD_OUT = "from 90000 on they are held out from all training."


@app.command("render")
def render(
    seed: Annotated[int, typer.Option("--seed", min=0, help=f"First scene; {HELD_OUT}")] = FIRST_SEED,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=MOST_SCENES, help="How many scenes, seed by seed.")] = 1,
    frames: Annotated[int, typer.Option("--frames", min=1, max=MOST_FRAMES, help="Frames of each clip.")] = 24,
    size: Annotated[int, typer.Option("--size", min=32, max=LARGEST_SIZE, help="Width and height in pixels.")] = 256,
    output: Output = Path("world"),
    force: Force = False,
) -> None:
    """Write clips with true masks and the sentences that name their objects.

    Each scene gets a folder: clip.mp4, frames/, masks/ (0 is background, i + 1 is object i) and scene.json.

    ```
    gazecut world render --seed 90007 -n 3 -o world
    ```
    """
    from gazecut.contents import SCENE
    from gazecut.output import check_destination, staged
    from gazecut.world import render as render_scene
    from gazecut.world.files import write_scene

    for number in range(seed, seed + count):
        check_destination(output / f"{number:05d}", force=force)
    for number in range(seed, seed + count):
        scene = render_scene(number, frames=frames, size=size)
        folder = output / f"{number:05d}"
        with staged(folder, SCENE, force=force) as fresh:
            write_scene(scene, fresh)
        typer.echo(f"{folder}: {len(scene.objects)} objects, {len(scene.expressions)} expressions")


@app.command("score")
def score(
    recipe: Recipe = "pocket",
    overrides: Overrides = None,
    scenes: Annotated[int, typer.Option("--scenes", "-n", min=1, help="How many scenes.")] = 50,
    seed: Annotated[int, typer.Option("--seed", min=0, help=f"First scene; {HELD_OUT}")] = FIRST_SEED,
    expressions: Annotated[int, typer.Option("--expressions", min=1, help="Most expressions of a scene.")] = 2,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="For programs: means by kind of expression.")] = False,
) -> None:
    """Score a recipe on scenes whose truth is known: masks, maps and answers, by kind of expression.

    Pointing is the share of frames whose map peaks on the target; any object, on any object; random object, what a guess would reach.
    Correlation is that of map and truth, for the fused map and for each view's; attributes, the share of attribute answers in the asked
    form.

    ```
    gazecut world score
    gazecut world score -n 20 --set fusion.contrastive.sigma=2
    gazecut world score --set segmenter=attention --json
    ```
    """
    from gazecut.cli.progress import progress_display
    from gazecut.pipeline import Pipeline
    from gazecut.world_score import score_world, summarise

    with progress_display() as display:
        pipeline = Pipeline.from_recipe(recipe, overrides=overrides or (), device=device, observers=[display], plugins=asked_plugins())
        trials = list(score_world(pipeline, scenes, seed, expressions))
    means = summarise(trials)
    if as_json:
        typer.echo(_json(means))
    else:
        names = list(next(iter(means.values())))
        rows = [(kind, *(_cell(row.get(name, float("nan"))) for name in names)) for kind, row in means.items()]
        typer.echo("\n".join(columns([("kind", *names), *rows])))


def _json(means: dict[str, dict[str, float]]) -> str:
    """Means with null for what no scene could tell; JSON has no word for nan."""
    import json

    return json.dumps(
        {kind: {name: None if value != value else value for name, value in row.items()} for kind, row in means.items()}, indent=2
    )


def _cell(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "-" if value != value else f"{value:.3f}"
