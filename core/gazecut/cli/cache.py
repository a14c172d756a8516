"""`gazecut cache`: what was computed once and is kept."""

from __future__ import annotations

import typer

from gazecut.cli.tables import columns

app = typer.Typer(help="Results that are kept on disk, so that no model is asked the same thing twice.", no_args_is_help=True)


@app.command("show")
def show() -> None:
    """List what is kept, by stage: how much, and how much may be.

    ```
    gazecut cache show
    GAZECUT_CACHE_GIB=50 gazecut cache show
    ```
    """
    from gazecut.cache import Store, default_folder, default_limit, usage
    from gazecut.wording import size_of

    store = Store(default_folder(), default_limit())
    entries = store.entries()
    rows = [(stage, str(files), size_of(size)) for stage, files, size in usage(entries)]
    total = ("all", str(len(entries)), size_of(sum(entry.size for entry in entries)))
    typer.echo("\n".join(columns([("STAGE", "FILES", "SIZE"), *rows, total])))
    typer.echo(f"\nin {store.folder}, at most {size_of(store.limit)}; what was not used for longest goes first")


@app.command("clear")
def clear() -> None:
    """Remove everything that is kept; the next runs compute it again."""
    from gazecut.cache import Store, default_folder, default_limit
    from gazecut.wording import size_of

    store = Store(default_folder(), default_limit())
    typer.echo(f"freed {size_of(store.clear())} in {store.folder}")


@app.command("path")
def path() -> None:
    """Print the folder, as set by GAZECUT_CACHE or the user's own.

    ```
    du -sh "$(gazecut cache path)"
    ```
    """
    from gazecut.cache import default_folder

    typer.echo(str(default_folder()))
