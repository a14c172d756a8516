"""How the command line ends: exit status, and one message on standard error."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from gazecut.errors import GazecutError

DEBUG_FLAG = "--debug"
DEBUG_VARIABLE = "GAZECUT_DEBUG"
INTERRUPTED = 130
FAILED = 1


@contextmanager
def reported(debug: bool) -> Iterator[None]:
    """Turn what a command raises into one message and an exit status.

    Args:
        debug: Show the traceback as well.

    Raises:
        typer.Exit: With 2 for a wrong request, 1 for a failed run, 130 for an interruption.
    """
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(name)s: %(message)s")
    try:
        yield
    except GazecutError as error:
        raise _ended(str(error), error.exit_status, debug) from error
    except KeyboardInterrupt as error:
        raise _ended("interrupted; nothing half-written was left", INTERRUPTED, debug) from error
    except BrokenPipeError:
        # Whoever read the output has enough of it, as in `gazecut plugins | head`; Python must not complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except (OSError, MemoryError) as error:
        raise _ended(f"{type(error).__name__}: {error}", FAILED, debug) from error
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if _is_usage(error):
            raise
        message = f"this should not happen: {type(error).__name__}: {error}\nRun it again with {DEBUG_FLAG} and report what it shows."
        raise _ended(message, FAILED, debug) from error


def debug_wanted() -> bool:
    """Whether the environment asks for tracebacks."""
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def _ended(message: str, status: int, debug: bool) -> typer.Exit:
    if debug:
        traceback.print_exc()
    typer.secho("gazecut: ", fg=typer.colors.RED, err=True, nl=False)
    typer.echo(message, err=True)
    return typer.Exit(status)


def _is_usage(error: Exception) -> bool:
    """Wrong arguments, which the argument parser words better itself; its base class moved between versions of typer."""
    return hasattr(error, "exit_code") and hasattr(error, "format_message")
