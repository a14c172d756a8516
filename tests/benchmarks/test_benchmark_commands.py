"""Every command line of a benchmark that a page or a docstring names is one that the benchmark takes."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = re.compile(r"python (benchmarks/\w+\.py[^`\n]*)")
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.md"))


class AcceptedError(Exception):
    """The options were parsed, and nothing has begun."""


def named(path: Path) -> Iterator[str]:
    """Commands in a page or in a module's docstring, where a comment stands behind many spaces."""
    for found in COMMAND.findall(path.read_text(encoding="utf-8")):
        yield re.split(r"\s{2,}|\s#", found)[0].strip()


def commands() -> list[str]:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.md"), *RESULTS]
    sources = [path for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text(encoding="utf-8")]
    return sorted({command for path in (*pages, *sources) for command in named(path) if "{" not in command})


@pytest.mark.parametrize("command", commands())
def test_options_exist(command: str, benchmark: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    script, *arguments = shlex.split(command)
    parse = argparse.ArgumentParser.parse_args

    def parsed(parser: argparse.ArgumentParser, *given: Any) -> None:
        parse(parser, *given)
        raise AcceptedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(AcceptedError):
        benchmark(Path(script).stem).main()


@pytest.mark.parametrize("page", RESULTS, ids=lambda page: page.stem)
def test_a_results_page_names_the_command_that_made_it(page: Path) -> None:
    own = {"soft_prompts": "steerseg"}.get(page.stem, page.stem)
    assert any(shlex.split(command)[0] == f"benchmarks/{own}.py" for command in named(page))


def test_a_page_has_the_command_as_it_was_typed(
    benchmark: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pages = benchmark("pages")
    typed = ["/somewhere/memory.py", "--frames", "20", "40", "--output", str(tmp_path / "x.md"), "--ways", "whole clip", "--output=y"]
    monkeypatch.setattr(sys, "argv", typed)
    assert pages.typed() == "python benchmarks/memory.py --frames 20 40 --ways 'whole clip'"


def test_a_page_is_written_and_shown(benchmark: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark("pages").publish("± text\n", tmp_path / "new" / "page.md")
    assert (tmp_path / "new" / "page.md").read_text(encoding="utf-8") == "± text\n"
    assert "± text" in capsys.readouterr().out
