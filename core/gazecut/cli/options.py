"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="STAGE.OPTION=VALUE", help="Override one option of the recipe; as often as you like.", show_default=False
    ),
]
Recipe = Annotated[str, typer.Option("--recipe", "-r", metavar="RECIPE", help="Built-in name or YAML file.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to write.")]
Force = Annotated[bool, typer.Option("--force", help="Write among files that Gazecut did not write, too.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of whatever is drawn at random.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Compute everything, and keep nothing for later runs.")]
VerifyWeights = Annotated[bool, typer.Option("--verify-weights", help="Know kept results by every byte of the weights; reads them all.")]
