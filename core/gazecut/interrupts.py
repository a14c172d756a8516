"""Stretches of work that an interruption waits for.

Python turns a signal into an exception between any two steps, those of a clean-up included. Gazecut as a library leaves
signals alone; whoever handles them, as the command line does, asks `postponed` before raising, and the stretches marked here
then run to their end. Under Python's own handler of Ctrl-C the marks do nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _State(threading.local):
    """Handlers run in the main thread alone, so what other threads do makes nothing wait."""

    shielded = False
    waiting: BaseException | None = None


_state = _State()


@contextmanager
def shielded() -> Iterator[None]:
    """Let an interruption of this thread wait until the block ends; it is raised there, instead of what the block raised.

    Keep such blocks short, or open them up with `exposed` where the time is spent.
    """
    before = _state.shielded
    _state.shielded = True
    try:
        yield
    finally:
        _state.shielded = before
        _raise_waiting()


@contextmanager
def exposed() -> Iterator[None]:
    """Let interruptions through again within a shielded block; one that waits is raised at once."""
    before = _state.shielded
    try:
        _state.shielded = False
        _raise_waiting()
        yield
    finally:
        _state.shielded = before


def postponed(error: BaseException) -> bool:
    """Whether an exception has to wait for the end of a shielded block, where it will be raised.

    Args:
        error: What a signal handler is about to raise.
    """
    if _state.shielded:
        _state.waiting = error
    return _state.shielded


def _raise_waiting() -> None:
    if _state.waiting is not None and not _state.shielded:
        waiting, _state.waiting = _state.waiting, None
        raise waiting
