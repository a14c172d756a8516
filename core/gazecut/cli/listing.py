"""`gazecut plugins` and `gazecut show`: what is installed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gazecut.cli.installed import installed
from gazecut.cli.tables import columns
from gazecut.errors import RequestError

if TYPE_CHECKING:
    from gazecut.components import Kind
    from gazecut.plugins.rows import Row
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
    strict: Annotated[bool, typer.Option("--strict", help="Check the built-ins, too, and exit with 1 unless all is in order.")] = False,
    why: Annotated[
        str | None, typer.Option("--why", metavar="NAME", help="Show why a plugin, by distribution or file, or a component fails.")
    ] = None,
) -> None:
    """List installed components, and the plugins that failed to load.

    ```
    gazecut plugins
    gazecut plugins --json | jq -r '.[] | select(.kind == "segmenter") | .name'
    gazecut plugins --strict
    gazecut plugins --plugin my_scorer.py --why my_scorer.py
    ```

    The environment chooses: GAZECUT_DISABLE=a,b drops plugins; GAZECUT_PLUGINS=a,b loads no others beside the built-ins.
    """
    from gazecut.plugins.checkup import check_up
    from gazecut.plugins.rows import rows

    if as_json and why is not None:
        raise RequestError("--why tells of one plugin in words, --json lists all of them for programs; leave one of the two out.")
    registry = installed()
    checkup = check_up(registry, own=strict or why is not None)
    if why is not None:
        from gazecut.cli.why import explain

        typer.echo(explain(registry, checkup, why))
    elif as_json:
        import json

        typer.echo(json.dumps([asdict(row) for row in rows(registry, checkup)], indent=2))
    else:
        typer.echo("\n".join(_table(list(rows(registry, checkup)))))
    if strict and not checkup.well:
        raise typer.Exit(1)


def show(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="For example: fusion.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="For example: contrastive.")],
) -> None:
    """Show what a component does and the options that a recipe can give it.

    ```
    gazecut show fusion contrastive
    ```
    """
    import textwrap

    from gazecut.cli.describe import locate_class, options_of

    registry, known = installed(), _kind(kind)
    with _next_step(registry, known, name):
        component = registry.component(known, name)
        options = options_of(component, registry.config_class(known, name))
    typer.echo(f"{kind} {name}: {component.spec.summary}")
    typer.echo(f"from {component.origin}, api {component.spec.api}, {locate_class(component.spec.target)}")
    heads = columns([(option.path, option.type, f"default {option.default}".replace("default required", "required")) for option in options])
    for head, option in zip(heads, options, strict=True):
        typer.echo(f"\n{head}")
        if option.meaning:
            typer.echo(textwrap.fill(option.meaning, width=100, initial_indent="    ", subsequent_indent="    "))
    if not options:
        typer.echo("\nIt has no options.")


@contextmanager
def _next_step(registry: Registry, kind: Kind, name: str) -> Iterator[None]:
    """Say behind a message what shows more."""
    from gazecut.errors import PluginError

    try:
        yield
    except PluginError as error:
        suspects = [failure.origin.distribution for failure in registry.failures if failure.may_provide(kind, name)]
        culprit = name if name in registry.names(kind) else next(iter(suspects), None)
        raise PluginError(f"{error}\n{f'Why: gazecut plugins --why {culprit}' if culprit else 'Installed: gazecut plugins'}") from error


def _table(rows: list[Row]) -> Iterable[str]:
    entry_points: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        entry_points[row.distribution].add(row.entry_point)
    return columns([HEADER, *((row.kind, row.name, row.api, _source(row, len(entry_points[row.distribution])), row.state) for row in rows)])


def _source(row: Row, entry_points: int) -> str:
    """Where a row came from; with the entry point where nothing else tells one plugin of a distribution from another."""
    from gazecut.plugins.rows import NONE, UNKNOWN

    plugin = f"{row.distribution}:{row.entry_point}" if entry_points > 1 and row.name in (UNKNOWN, NONE) else row.distribution
    return plugin if row.version == NONE else f"{plugin} {row.version}"


def _kind(text: str) -> Kind:
    from gazecut.components import KINDS
    from gazecut.errors import PluginError
    from gazecut.suggest import did_you_mean
    from gazecut.wording import shown

    for kind in KINDS:
        if kind == text:
            return kind
    raise PluginError(f'no kind is called "{shown(text)}"; there are: {", ".join(KINDS)}{did_you_mean(text, KINDS)}')
