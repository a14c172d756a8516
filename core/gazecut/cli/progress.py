"""Shows how far a run is, on standard error and only in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from gazecut.components import hookimpl

WORDS = {
    "open": "reading the clip",
    "cut": "laying windows",
    "windows": "looking window by window",
    "sample": "choosing frames",
    "load": "loading the model",
    "look": "looking at the frames",
    "ask": "asking what to look for",
    "attribute": "tracing the attention",
    "fuse": "cleaning the maps",
    "select": "choosing points",
    "find": "following candidates",
    "segment": "segmenting the clip",
    "write": "writing results",
}


class ProgressDisplay:
    """An observer that shows one line per stage, and one for the clips where a run has several."""

    def __init__(self, bars: Progress) -> None:
        """Show nothing yet."""
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    @hookimpl
    def on_run_start(self, clips: int | None) -> None:
        """Count clips, where there are several."""
        if clips is not None and clips > 1:
            self._tasks["clips"] = self._bars.add_task("clips", total=clips, summary="")

    @hookimpl
    def on_stage_start(self, stage: str, steps: int) -> None:
        """A stage that comes again, for the next expression or clip, goes on in its line."""
        more = max(steps, 1)
        if stage in self._tasks:
            self._bars.update(self._tasks[stage], total=self._total(stage) + more, summary="")
        else:
            self._tasks[stage] = self._bars.add_task(WORDS.get(stage, stage), total=more, summary="")

    @hookimpl
    def on_stage_step(self, stage: str) -> None:
        """One step on."""
        self._bars.advance(self._tasks[stage])

    @hookimpl
    def on_stage_end(self, stage: str, summary: str) -> None:
        """Full, with what came of it."""
        self._bars.update(self._tasks[stage], completed=self._total(stage), summary=summary)

    @hookimpl
    def on_clip_end(self) -> None:
        """One clip on."""
        if "clips" in self._tasks:
            self._bars.advance(self._tasks["clips"])

    def _total(self, stage: str) -> float:
        return next(task.total or 0.0 for task in self._bars.tasks if task.id == self._tasks[stage])


@contextmanager
def progress_display() -> Iterator[ProgressDisplay]:
    """Bars that go away when all is done.

    Yields:
        The observer to hand to a pipeline.
    """
    with progress_bars(transient=True) as bars:
        yield ProgressDisplay(bars)


def progress_bars(*more: ProgressColumn, transient: bool = False) -> Progress:
    """Bars on standard error, where that is a terminal; what is printed to their console stands above them and comes anywhere.

    Args:
        more: Columns behind the time that has gone by.
        transient: Whether they go away at the end.

    Returns:
        To be entered; each task has a field `summary`, what is told behind its bar.
    """
    console = Console(stderr=True)
    look = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *more,
        TextColumn("[dim]{task.fields[summary]}"),
    )
    return Progress(*look, console=console, transient=transient, disable=not console.is_terminal)
