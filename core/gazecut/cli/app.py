"""The application: every command, and what all of them share.

Command modules import what they need within their functions, so that help and listings answer at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from gazecut.cli import cache, demo, listing, recipes, segment, train, weights, world
from gazecut.cli.installed import PLUGIN_OPTION, asking_for
from gazecut.cli.reporting import DEBUG_FLAG, DONE, debug_wanted, one_line_each, report

HELP = """Turn a sentence and a video into masks by reading where a multimodal LLM looks.

```
gazecut demo
gazecut segment clip.mp4 "the red circle" -o out
gazecut recipes
```
"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def _shared(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and stop.", callback=listing.show_version, is_eager=True)
    ] = False,
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            PLUGIN_OPTION,
            metavar="MODULE|FILE",
            help="Load a plugin that is not installed; as often as you like, and behind the command, too.",
            show_default=False,
        ),
    ] = None,
    debug: Annotated[bool, typer.Option(DEBUG_FLAG, help="Show the traceback of an error; allowed behind the command, too.")] = False,
) -> None:
    context.with_resource(asking_for(plugin or ()))


app.command("segment")(segment.segment)
app.command("demo")(demo.demo)
app.command("plugins")(listing.plugins)
app.command("show")(listing.show)
app.command("recipes")(recipes.recipes)
app.add_typer(recipes.app, name="recipe")
app.add_typer(cache.app, name="cache")
app.add_typer(world.app, name="world")
app.command("train")(train.train)
app.add_typer(weights.app, name="weights")


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: As typed, without the program's name.

    Returns:
        The exit status: 0 done, 1 failed, 2 wrong request, 128 and its number for a signal.
    """
    debug = debug_wanted(arguments)
    with one_line_each(debug):
        try:
            command = typer.main.get_command(app)
            with command.make_context("gazecut", _shared_first(arguments)) as context:
                command.invoke(context)
        except BaseException as error:  # noqa: BLE001  this is the end of the line, of interruptions too
            return report(error, debug)
    return DONE


def _shared_first(arguments: Sequence[str]) -> list[str]:
    """What all commands share, where the parser wants it: before the command."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    shared, rest = [], []
    options = iter(arguments[:end])
    for option in options:
        if option == PLUGIN_OPTION:
            value = next(options, None)
            if value is None:
                return [PLUGIN_OPTION]  # the parser says what is missing
            shared += [option, value]
        elif option == DEBUG_FLAG or option.startswith(f"{PLUGIN_OPTION}="):
            shared.append(option)
        else:
            rest.append(option)
    return [*shared, *rest, *arguments[end:]]
