"""`gazecut world`: the procedural world that the pocket model knows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gazecut.cli.options import Output

app = typer.Typer(help="Render scenes of the pocket world, with the truth beside them.", no_args_is_help=True)


@app.command("render")
def render(
    seed: Annotated[int, typer.Option("--seed", min=0, help="First scene; from 90000 on they are held out from all training.")] = 90_000,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many scenes, seed by seed.")] = 1,
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames of each clip.")] = 24,
    size: Annotated[int, typer.Option("--size", min=32, help="Width and height in pixels.")] = 256,
    output: Output = Path("world"),
) -> None:
    """Write clips with true masks and the sentences that name their objects.

    Each scene gets a folder: clip.mp4, frames/, masks/ (0 is background, i + 1 is object i) and scene.json.

    ```
    gazecut world render --seed 90007 -n 3 -o world
    ```
    """
    from gazecut.output import staged
    from gazecut.world import render as render_scene
    from gazecut.world.files import write_scene

    for number in range(seed, seed + count):
        scene = render_scene(number, frames=frames, size=size)
        folder = output / f"{number:05d}"
        with staged(folder) as fresh:
            write_scene(scene, fresh)
        typer.echo(f"{folder}: {len(scene.objects)} objects, {len(scene.expressions)} expressions")
