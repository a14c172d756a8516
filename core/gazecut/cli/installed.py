"""The plugins that a command works with: what is installed, and what `--plugin` names."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gazecut.registry import Registry

PLUGIN_OPTION = "--plugin"

_asked: ContextVar[tuple[str, ...]] = ContextVar("asked", default=())


@contextmanager
def asking_for(plugins: Sequence[str]) -> Iterator[None]:
    """Within the block, commands work with these plugins, too."""
    token = _asked.set(tuple(plugins))
    try:
        yield
    finally:
        _asked.reset(token)


def asked_plugins() -> tuple[str, ...]:
    """Modules and files that `--plugin` named, as typed."""
    return _asked.get()


def installed() -> Registry:
    """Everything that this command can use. What plugins print while they load goes to standard error."""
    from gazecut.plugins import discover

    with redirect_stdout(sys.stderr):
        return discover(modules=asked_plugins())
