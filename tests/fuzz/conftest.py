"""How long the fuzz tests of this folder run, and what ends one that hangs.

By default each draws the same few examples every time. With `GAZECUT_FUZZ_MINUTES=20` they draw new ones for that long, which
all hypothesis tests that were collected from this folder share alike; what fails is kept in `.hypothesis` and tried first next time.
Tests here take these settings from this file and have none of their own.
"""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, is_hypothesis_test, settings

MINUTES = float(os.environ.get("GAZECUT_FUZZ_MINUTES", "0"))
"""How long all of them run together; 0 for the short run."""

settings.register_profile("short", settings.get_profile("same"), max_examples=150, suppress_health_check=list(HealthCheck))
settings.register_profile(
    "fuzz",
    settings.get_profile("search"),
    max_examples=2000,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = Path(__file__).parent
    fuzz = [item for item in items if folder in item.path.parents and isinstance(item, pytest.Function) and is_hypothesis_test(item.obj)]
    profile = settings.get_profile("fuzz" if MINUTES else "short")
    for item in fuzz:
        item.obj = _repeated(profile(item.obj), 60 * MINUTES / len(fuzz))


def _repeated(test: Callable[..., None], seconds: float) -> Callable[..., None]:
    """The test once, and again with new examples until its time is up."""

    @functools.wraps(test)
    def repeated(**arguments: Any) -> None:
        end = time.monotonic() + seconds
        test(**arguments)
        while time.monotonic() < end:
            test(**arguments)

    return repeated


@pytest.fixture(scope="session")
def within() -> Callable[[float], AbstractContextManager[None]]:
    """`with within(seconds):` fails the test where the block takes longer, an endless loop included."""

    def late(signum: int, frame: FrameType | None) -> None:
        pytest.fail("took too long")

    @contextmanager
    def within(seconds: float) -> Iterator[None]:
        before = signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    return within
