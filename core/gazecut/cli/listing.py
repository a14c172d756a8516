"""`gazecut plugins` and `gazecut show`: what is installed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gazecut.cli.tables import columns

if TYPE_CHECKING:
    from gazecut.components import Kind
    from gazecut.registry import Registry

HEADER = ("KIND", "NAME", "API", "FROM", "STATE")


def show_version(wanted: bool) -> None:
    """Print the version and stop, where that was asked for."""
    if wanted:
        import gazecut

        typer.echo(f"gazecut {gazecut.__version__}")
        raise typer.Exit


def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a list of objects.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a plugin failed to load.")] = False,
    why: Annotated[str | None, typer.Option("--why", metavar="NAME", help="Show why the plugins of a distribution failed.")] = None,
) -> None:
    """List installed components, and the plugins that failed to load.

    ```
    gazecut plugins
    gazecut plugins --json | jq -r '.[] | select(.kind == "segmenter") | .name'
    gazecut plugins --strict
    ```
    """
    from gazecut.plugins import discover

    registry = discover()
    if why is not None:
        _explain(registry, why)
    elif as_json:
        import json

        typer.echo(json.dumps([asdict(row) for row in registry.rows()], indent=2))
    else:
        rows = [(row.kind, row.name, row.api, f"{row.distribution} {row.version}", row.state) for row in registry.rows()]
        typer.echo("\n".join(columns([HEADER, *rows])))
    if strict and registry.failures:
        raise typer.Exit(1)


def show(
    kind: Annotated[str, typer.Argument(help="For example: fusion.")],
    name: Annotated[str, typer.Argument(help="For example: contrastive.")],
) -> None:
    """Show what a component does and the options that a recipe can give it.

    ```
    gazecut show fusion contrastive
    ```
    """
    import textwrap

    from gazecut.cli.describe import describe_options, locate_class
    from gazecut.plugins import discover

    registry = discover()
    known = _kind(kind)
    component = registry.component(known, name)
    options = list(describe_options(registry.config_class(known, name)))
    typer.echo(f"{kind} {name}: {component.spec.summary}")
    typer.echo(f"from {component.origin}, api {component.spec.api}, {locate_class(component.spec.target)}")
    heads = columns([(option.path, option.type, f"default {option.default}".replace("default required", "required")) for option in options])
    for head, option in zip(heads, options, strict=True):
        typer.echo(f"\n{head}")
        if option.meaning:
            typer.echo(textwrap.fill(option.meaning, width=100, initial_indent="    ", subsequent_indent="    "))
    if not options:
        typer.echo("\nIt has no options.")


def _explain(registry: Registry, name: str) -> None:
    """The traceback of every plugin of a distribution that failed."""
    import traceback

    from gazecut.errors import PluginError
    from gazecut.suggest import did_you_mean

    failed = [failure for failure in registry.failures if failure.origin.distribution == name]
    if not failed:
        names = sorted({failure.origin.distribution for failure in registry.failures})
        known = f"failed: {', '.join(names)}" if names else "none failed"
        raise PluginError(f'no plugin of a distribution "{name}" failed to load; {known}{did_you_mean(name, names)}')
    for failure in failed:
        typer.echo(f"{failure.origin}, entry point {failure.entry_point}, was not loaded: {failure.reason}\n")
        typer.echo("".join(traceback.format_exception(failure.error)))


def _kind(text: str) -> Kind:
    from gazecut.components import KINDS
    from gazecut.errors import PluginError
    from gazecut.suggest import did_you_mean

    for kind in KINDS:
        if kind == text:
            return kind
    raise PluginError(f'no kind is called "{text}"; there are: {", ".join(KINDS)}{did_you_mean(text, KINDS)}')
