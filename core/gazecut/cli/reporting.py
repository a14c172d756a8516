"""How the command line ends: exit status, and one message on standard error."""

from __future__ import annotations

import codecs
import io
import logging
import os
import select
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import typer

from gazecut.cli.signals import Stopped, signals
from gazecut.errors import GazecutError

DEBUG_FLAG = "--debug"
DEBUG_VARIABLE = "GAZECUT_DEBUG"
DONE = 0
FAILED = 1
WRONG_REQUEST = 2
INTERRUPTED = 130
_AS_IT_CAME = "gazecut.as_it_came"

_logger = logging.getLogger(__name__)


def write_anything() -> None:
    """Have standard output take every text: bytes of names leave as they came, characters that its encoding lacks as escapes."""
    codecs.register_error(_AS_IT_CAME, _as_it_came)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors=_AS_IT_CAME)


def _as_it_came(error: UnicodeError) -> tuple[bytes | str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    byte = ord(character) - 0xDC00  # as the error handler "surrogateescape" keeps bytes that are no text
    return bytes([byte]) if 0x80 <= byte <= 0xFF else ascii(character)[1:-1], error.start + 1


def debug_wanted(arguments: Sequence[str]) -> bool:
    """Whether the arguments, up to a "--", or the environment ask for tracebacks."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return DEBUG_FLAG in arguments[:end] or os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def report(error: BaseException, debug: bool) -> int:
    """Say what ended a command, once and in few words.

    Args:
        error: What it raised.
        debug: Show the traceback as well.

    Returns:
        The exit status: 2 for a wrong request, 1 for a failed run, 128 and its number for a signal.
    """
    if signals.stopped is None and _lost_its_reader(error):
        # Whoever read the output has enough of it, as in `gazecut plugins | head`; Python must not complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    if isinstance(error, typer.Exit):
        return int(error.exit_code)
    if _is_usage(error) and not str(error):
        return WRONG_REQUEST  # no arguments at all: the help was shown in their stead
    # Libraries turn an interruption into errors of their own, an import that was cut short above all.
    message, status = _told(signals.stopped or error, " ".join(getattr(error, "__notes__", ())))
    with suppress(OSError):  # the terminal may be what went away
        if debug:
            traceback.print_exception(error)
        typer.secho("gazecut: ", fg=typer.colors.RED, err=True, nl=False)
        typer.echo(message, err=True)
    return status


def _lost_its_reader(error: BaseException) -> bool:
    """Whether a command ended because nobody reads standard output any more; a pipe of a run's own may break as well."""
    if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
        return True  # what rich makes of it, which writes the help, and has put the null device in the place of standard output
    if not isinstance(error, BrokenPipeError) or sys.stdout is None:
        return False
    if not hasattr(select, "poll"):  # on Windows, which cannot tell
        return True
    output = select.poll()
    output.register(sys.stdout.fileno(), select.POLLOUT)
    return any(state & (select.POLLERR | select.POLLHUP) for _, state in output.poll(0))


def _told(error: BaseException, left: str) -> tuple[str, int]:
    """The message and the exit status of an error, and what it left behind."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        status = error.status if isinstance(error, Stopped) else INTERRUPTED
        return f"{error if isinstance(error, Stopped) else 'interrupted'}; {left or 'nothing half-written was left'}", status
    message, status = _said(error)
    return f"{message}\n{left}" if left else message, status


def _said(error: BaseException) -> tuple[str, int]:
    """The message and the exit status of an error that is no interruption."""
    if isinstance(error, GazecutError):
        return str(error), error.exit_status
    if _is_usage(error):
        return _usage(error), WRONG_REQUEST
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, which is not known here
        where = "" if isinstance(error, MemoryError) else " on the device"
        return f"out of memory{where}. Lower sampler.frames or take a smaller clip; {DEBUG_FLAG} shows where it ended.", FAILED
    if isinstance(error, OSError) and error.strerror:
        where = f' at "{error.filename}"' if error.filename else ""
        return f"the system refused{where}: {error.strerror}. {DEBUG_FLAG} shows what was being done.", FAILED
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"this should not happen: {what}\nRun it again with {DEBUG_FLAG} and report what it shows.", FAILED


def _is_usage(error: Any) -> bool:
    """Whether the argument parser raised it; its base class moved between versions of typer."""
    return hasattr(error, "exit_code") and hasattr(error, "format_message")


def _usage(error: Any) -> str:
    """What is wrong with the arguments, in the form of all other messages."""
    message = " ".join(error.format_message().split())
    if hasattr(error.__cause__, "errors"):  # pydantic's; of typer's own messages this one alone does not say what was found
        message = message.replace("Input should", f'found "{error.__cause__.errors()[0]["input"]}"; should')
    message = message[:1].lower() + message[1:]
    context = getattr(error, "ctx", None)
    if context is None:
        return f"{message}\nAll commands: gazecut --help"
    return f"{message}\n{context.get_usage()}\nMore about it: {context.command_path} --help"


class _Outlet(logging.Handler):
    """Log records on standard error, above a progress bar where there is one; one line each unless tracebacks are wanted."""

    def __init__(self, debug: bool) -> None:
        super().__init__()
        self._debug = debug

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            typer.echo(self._line(record), err=True)

    def _line(self, record: logging.LogRecord) -> str:
        if self._debug:
            return logging.Formatter("%(name)s: %(levelname)s: %(message)s").format(record)
        return f"{record.levelname.lower()}: {' '.join(record.getMessage().split())}"


@contextmanager
def one_line_each(debug: bool) -> Iterator[None]:
    """Log records, warnings and what goes wrong in threads and destructors as lines on standard error, while a command runs.

    Args:
        debug: Show everything, and tracebacks.
    """
    root, outlet = logging.getLogger(), _Outlet(debug)
    before = root.level, warnings.showwarning, threading.excepthook, sys.unraisablehook
    root.addHandler(outlet)
    root.setLevel(logging.DEBUG if debug else logging.WARNING)
    warnings.showwarning, threading.excepthook, sys.unraisablehook = _warned, _thread_failed, _unraised
    try:
        yield
    finally:
        root.removeHandler(outlet)
        level, warnings.showwarning, threading.excepthook, sys.unraisablehook = before
        root.setLevel(level)


def _warned(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
) -> None:
    _logger.warning("%s", message)
    _logger.debug("%s at %s:%d", category.__name__, filename, lineno)


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    _logger.error("a thread ended with %s: %s", failure.exc_type.__name__, failure.exc_value, exc_info=failure.exc_value)


def _unraised(failure: sys.UnraisableHookArgs) -> None:
    if not isinstance(failure.exc_value, KeyboardInterrupt):  # will be raised again
        _logger.warning("%s: %s, in %r", failure.exc_type.__name__, failure.exc_value, failure.object, exc_info=failure.exc_value)
