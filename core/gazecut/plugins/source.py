"""A plugin before it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gazecut.errors import PluginError
from gazecut.inventory import Origin


@dataclass(frozen=True, eq=False)
class Source:
    """Where a plugin is, and how to get at it.

    Attributes:
        origin: Where it comes from.
        load: Imports it; returns the module or object with its hooks, or raises whatever it likes.
        alias: What a file calls itself in its own declarations, `my_scorer` of `my_scorer.py`; empty for all others.
    """

    origin: Origin
    load: Callable[[], object]
    alias: str = ""


def failing(origin: Origin, message: str, cause: Exception | None = None) -> Source:
    """A plugin that can only fail, so that its failure is shown like every other."""

    def load() -> object:
        raise PluginError(message) from cause

    return Source(origin, load)
