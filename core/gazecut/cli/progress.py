"""Shows how far a run is, on standard error and only in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gazecut.interview import Progress

WORDS = {
    "look": "looking at the frames",
    "ask": "asking what to look for",
    "attribute": "tracing the attention",
    "find": "following candidates",
    "expressions": "segmenting",
}


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Bars, one per stage, that go away when all is done.

    Yields:
        What a pipeline calls with a stage's name, steps done and steps in all.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    look = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*look, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(WORDS.get(stage, stage), total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show
