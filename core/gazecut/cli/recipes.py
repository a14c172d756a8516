"""`gazecut recipes` and `gazecut recipe`: what can be run."""

from __future__ import annotations

from typing import Annotated

import typer

from gazecut.cli.options import Overrides
from gazecut.cli.tables import columns

app = typer.Typer(help="Look at a recipe, check it, or write one with an editor's help.", no_args_is_help=True)

RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", help="Built-in name or YAML file.")]


def recipes() -> None:
    """List the built-in recipes.

    Any of them goes behind --recipe, and behind "extends:" in a recipe of your own.
    """
    from gazecut.recipe.sources import about, builtin_recipes

    typer.echo("\n".join(columns([("RECIPE", "ABOUT"), *((name, about(name)) for name in builtin_recipes())])))


@app.command("show")
def show(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    origin: Annotated[bool, typer.Option("--origin", help="Say behind each value where it comes from.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: a list of objects, one per value, with path, value and origin.")
    ] = False,
) -> None:
    """Print a recipe with every default filled in.

    What it prints is a recipe: it runs as it stands, or is the start of your own. An origin is a place in a file (line and
    column), "--set", or the component whose default it is.

    ```
    gazecut recipe show pocket
    gazecut recipe show pocket --set selector.threshold=0.7 > mine.yaml
    gazecut recipe show mine.yaml --origin
    gazecut recipe show mine.yaml --json | jq '.[] | select(.path | startswith("mllm."))'
    ```
    """
    from gazecut.cli.installed import installed
    from gazecut.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or (), installed())
    if as_json:
        import json

        typer.echo(json.dumps(loaded.values(), indent=2))
    else:
        typer.echo(loaded.to_yaml(origins=origin), nl=False)


@app.command("check")
def check(
    recipes: Annotated[list[str], typer.Argument(metavar="RECIPE", help="Built-in names or YAML files.")],
    overrides: Overrides = None,
) -> None:
    """Check recipes without running anything; all problems at once.

    Every problem is told with its line and column, what was found and what is allowed. Options are checked against the components
    that are installed; weights are not looked for. Exit status 2 where any recipe has a problem.

    ```
    gazecut recipe check mine.yaml
    gazecut recipe check recipes/*.yaml
    ```
    """
    from gazecut.cli.installed import installed
    from gazecut.errors import RecipeError
    from gazecut.recipe import load_recipe

    registry, reports = installed(), []
    for recipe in recipes:
        try:
            checked = load_recipe(recipe, overrides or (), registry)
        except RecipeError as error:
            reports.append(str(error))
        else:
            typer.echo(f"{recipe}: no problems, {sum(1 for _ in checked.stages())} components")
    if reports:
        raise RecipeError("\n\n".join(reports))


@app.command("schema")
def schema() -> None:
    """Print the JSON schema of recipes, with which an editor completes and checks them while you type.

    It knows the components that are installed here, their options, defaults and meanings; print it again after installing a plugin.
    Editors with a YAML language server read it where the first line of a recipe names it:

    ```
    gazecut recipe schema > recipe.schema.json
    # yaml-language-server: $schema=recipe.schema.json
    ```
    """
    import json

    from gazecut.cli.installed import installed
    from gazecut.recipe.schema import recipe_schema

    typer.echo(json.dumps(recipe_schema(installed()), indent=2))
