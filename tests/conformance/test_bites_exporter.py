"""An exporter that breaks one rule fails that rule alone."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gazecut.errors import ClipError
from gazecut.result import Result
from gazecut.stretch import Stretch
from gazecut.testing import ExporterConformance
from gazecut.testing.fakes import FakeExporter


class Exporter(FakeExporter):
    """Does something beside."""

    def __init__(self, beside: Callable[[Result, Path], object]) -> None:
        super().__init__()
        self.beside = beside

    def export(self, result: Result, folder: Path) -> None:
        super().export(result, folder)
        self.beside(result, folder)


class Careless(FakeExporter):
    def export(self, result: Result, folder: Path) -> None:
        if folder.is_dir():
            super().export(result, folder)


def hides_errors(result: Result, folder: Path) -> None:
    with contextlib.suppress(ClipError):
        list(result.clip.frames())


def counts() -> Exporter:
    numbers = itertools.count()
    return Exporter(lambda result, folder: (folder / "count").write_text(str(next(numbers))))


def refuses_one_pixel(result: Result, folder: Path) -> None:
    if result.clip.size == (1, 1):
        raise ValueError


def scribble(result: Result, folder: Path) -> None:
    result.heatmaps.fused[:] = 0


class Streaming(FakeExporter):
    """Writes a file per stretch, and does something beside."""

    def __init__(self, beside: Callable[[Stretch, Path], object] = lambda stretch, folder: None, at_end: Callable | None = None) -> None:
        super().__init__()
        self.beside, self.at_end = beside, at_end

    def export_stretch(self, stretch: Stretch, folder: Path) -> None:
        self.beside(stretch, folder)
        for frame in stretch.frames:
            (folder / f"{frame}.txt").write_text("there")

    def export(self, result: Result, folder: Path) -> None:
        super().export(result, folder)
        if self.at_end:
            self.at_end(result, folder)


def looks_back(stretch: Stretch, folder: Path) -> None:
    list(stretch.clip.frames([max(0, stretch.frames.start - 1)]))


def counts_files(stretch: Stretch, folder: Path) -> None:
    (folder / "count.txt").write_text(str(len(list(folder.iterdir()))))


def names_itself_by_stretch(stretch: Stretch, folder: Path) -> None:
    (folder / f"from {stretch.frames.start}").write_text("there")


def numbers_across() -> Streaming:
    """Counts objects over all stretches that it ever sees."""
    seen: set[tuple[int, tuple[int, int]]] = set()

    def number(stretch: Stretch, folder: Path) -> None:
        if not stretch.frames.start:
            seen.clear()
        seen.update((found.id, found.track.size) for found in stretch.objects)
        (folder / "seen.txt").write_text(str(len(seen)))

    return Streaming(number)


def appends(result: Result, folder: Path) -> None:
    with (folder / "0.txt").open("a") as file:
        file.write(", and closed")


VIOLATIONS: dict[str, Callable] = {
    "test_something_is_written": lambda: Exporter(lambda result, folder: (folder / "empty").touch()),
    "test_nothing_is_written_elsewhere": lambda: Exporter(lambda result, folder: (folder.parent / "log").write_text("done")),
    "test_files_of_others_stay": lambda: Exporter(lambda result, folder: shutil.rmtree(folder / "evidence", ignore_errors=True)),
    "test_same_result_gives_same_files": counts,
    "test_nothing_found_is_written_too": lambda: Exporter(lambda result, folder: result.objects[0]),
    "test_any_size_is_written": lambda: Exporter(refuses_one_pixel),
    "test_missing_views_are_left_out": lambda: Exporter(lambda result, folder: result.heatmaps.video.shape),
    "test_a_clip_that_breaks_is_not_hidden": lambda: Exporter(hides_errors),
    "test_a_disk_that_refuses_is_not_hidden": Careless,
    "test_stretches_need_nothing_of_each_other": lambda: Streaming(counts_files),
    "test_stretches_of_several_results_may_alternate": numbers_across,
    "test_stretches_give_the_files_of_the_whole": lambda: Streaming(names_itself_by_stretch),
    "test_what_stretches_wrote_is_not_changed_in_place": lambda: Streaming(at_end=appends),
    "test_input_is_unchanged": lambda: Exporter(scribble),
}


def test_every_rule_has_a_violation(own_rules: Callable) -> None:
    assert set(VIOLATIONS) == own_rules(ExporterConformance)


def test_looking_back_is_a_violation_too(broken: Callable, make_case: Callable) -> None:
    assert "test_stretches_need_nothing_of_each_other" in set(broken(make_case(ExporterConformance, lambda: Streaming(looks_back))))


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_a_violation_fails_its_rule_alone(rule: str, broken: Callable, make_case: Callable) -> None:
    assert set(broken(make_case(ExporterConformance, VIOLATIONS[rule]))) == {rule}
