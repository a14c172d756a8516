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
    "test_input_is_unchanged": lambda: Exporter(scribble),
}


def test_every_rule_has_a_violation(own_rules: Callable) -> None:
    assert set(VIOLATIONS) == own_rules(ExporterConformance)


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_a_violation_fails_its_rule_alone(rule: str, broken: Callable, make_case: Callable) -> None:
    assert set(broken(make_case(ExporterConformance, VIOLATIONS[rule]))) == {rule}
