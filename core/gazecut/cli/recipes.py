"""`gazecut recipes` and `gazecut recipe`: what can be run."""

from __future__ import annotations

from typing import Annotated

import typer

from gazecut.cli.options import Overrides
from gazecut.cli.tables import columns

app = typer.Typer(help="Look at one recipe, or check it.", no_args_is_help=True)

RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", help="Built-in name or YAML file.")]


def recipes() -> None:
    """List the built-in recipes.

    Any of them goes behind --recipe, and behind "extends:" in a recipe of your own.
    """
    from gazecut.recipe.sources import about, builtin_recipes

    typer.echo("\n".join(columns([("RECIPE", "ABOUT"), *((name, about(name)) for name in builtin_recipes())])))


@app.command("show")
def show(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Print a recipe with every default filled in.

    ```
    gazecut recipe show pocket
    gazecut recipe show pocket --set selector.threshold=0.7 > mine.yaml
    ```
    """
    from gazecut.recipe import load_recipe

    typer.echo(load_recipe(recipe, overrides or ()).to_yaml(), nl=False)


@app.command("check")
def check(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Check a recipe without running anything; all problems at once.

    ```
    gazecut recipe check mine.yaml
    ```
    """
    from gazecut.recipe import load_recipe

    checked = load_recipe(recipe, overrides or ())
    typer.echo(f"{recipe}: no problems, {sum(1 for _ in checked.stages())} components")
