"""What a terminal shows of a run."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from gazecut.cli.progress import ProgressDisplay, progress_display
from gazecut.observers import Observers


@pytest.fixture
def shown() -> tuple[Observers, Progress]:
    bars = Progress(TextColumn("{task.description}"), console=Console(file=io.StringIO()))
    return Observers([ProgressDisplay(bars)]), bars


def lines(bars: Progress) -> dict[str, tuple[float, float | None, str]]:
    return {task.description: (task.completed, task.total, task.fields["summary"]) for task in bars.tasks}


def test_one_line_per_stage_with_its_steps_and_what_came_of_it(shown: tuple[Observers, Progress]) -> None:
    observers, bars = shown
    with observers.stage("look", 2) as stage:
        stage.step()
        assert lines(bars) == {"looking at the frames": (1, 2, "")}
        stage.step()
        stage.summary = "8 frames"
    with observers.stage("a stage of somebody else"):
        assert lines(bars)["a stage of somebody else"] == (0, 1, "")
    assert lines(bars) == {"looking at the frames": (2, 2, "8 frames"), "a stage of somebody else": (1, 1, "")}


def test_a_stage_that_comes_again_goes_on_in_its_line(shown: tuple[Observers, Progress]) -> None:
    observers, bars = shown
    for _ in range(2):
        with observers.stage("find", 8) as stage:
            for _ in range(5):  # fewer steps than promised: the end fills the line all the same
                stage.step()
    assert lines(bars) == {"following candidates": (16, 16, "")}


def test_clips_are_counted_where_a_run_has_several(shown: tuple[Observers, Progress]) -> None:
    observers, bars = shown
    observers.tell("on_run_start", recipe=None, runtime=None, clips=3)
    observers.tell("on_clip_end", clip=None, results=1, seconds=1.0, error=None)
    assert lines(bars) == {"clips": (1, 3, "")}


def test_one_clip_needs_no_counting(shown: tuple[Observers, Progress]) -> None:
    observers, bars = shown
    observers.tell("on_run_start", recipe=None, runtime=None, clips=1)
    observers.tell("on_clip_end", clip=None, results=1, seconds=1.0, error=None)
    assert lines(bars) == {}


def test_nothing_is_shown_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display() as display, Observers([display]).stage("look", 2):
        pass
    assert capsys.readouterr() == ("", "")
