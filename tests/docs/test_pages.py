"""The pages do what they say: files are written, Python and commands run, recipes checked, arguments parsed, links followed.

A comment above a block says what is not plain from its language: `<!-- file: NAME -->` writes it, for the blocks below it to use;
`<!-- not run: REASON -->` leaves it at a look, in which Python is compiled and the arguments of `gazecut` are parsed.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sysconfig
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import typer

from gazecut.cli.app import _shared_first as shared_first
from gazecut.cli.app import app, run
from gazecut.cli.world import render
from gazecut.components import Hooks, hookimpl
from gazecut.plugins import discover
from gazecut.recipe import load_recipe
from gazecut.testing import fake_pipeline, moving_square, samples

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "examples")
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "DEPRECATIONS.md")),
    *sorted(page for folder in FOLDERS for page in (ROOT / folder).glob("*.md")),
]
LANGUAGES = {"bash", "python", "yaml", "toml", "text", "html"}
BLOCK = re.compile(
    r"(?:^ *<!-- (?P<word>file|not run): (?P<rest>.+?) -->\n)?"
    r"^(?P<fence> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=fence)```",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A block of code on a page."""

    place: str
    language: str
    text: str
    file: str
    run: bool


def blocks(page: Path) -> Iterator[Block]:
    content = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(content):
        line = content.count("\n", 0, found.start("text")) + 1
        file = found["rest"] if found["word"] == "file" else ""
        yield Block(f"{page.name}:{line}", found["language"], textwrap.dedent(found["text"]), file, found["word"] != "not run")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a clip in it."""
    render(seed=90014, count=1, frames=12, size=128, output=tmp_path / "scenes", force=False)
    (tmp_path / "scenes" / "90014" / "clip.mp4").rename(tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Reader:
    """Works through a page from top to bottom, in one folder."""

    def __init__(self, desk: Path) -> None:
        self.desk = desk
        self.names: dict[str, Any] = {"__name__": "page"}
        self.plugins: list[Path] = []

    def follow(self, block: Block) -> None:
        if block.file:
            (self.desk / block.file).write_text(block.text, encoding="utf-8")
        if block.language == "python":
            self.python(block)
        elif block.language == "yaml":
            load_recipe(str(self.recipe(block)), {}, discover(modules=self.plugins))
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "bash":
            self.bash(block)
        else:
            assert block.language in LANGUAGES, f"{block.place}: a block of {block.language or 'no language'}"

    def python(self, block: Block) -> None:
        code = compile(block.text, block.place, "exec")
        if block.file and "hookimpl" in block.text:
            self.plugins.append(self.desk / block.file)
        if block.run and not block.file:
            exec(code, self.names)

    def recipe(self, block: Block) -> Path:
        path = self.desk / (block.file or "block.yaml")
        path.write_text(block.text, encoding="utf-8")
        return path

    def bash(self, block: Block) -> None:
        for arguments in commands(block.text):
            parse(arguments, block.place)
        for line in block.text.splitlines() if block.run else ():
            if re.fullmatch(r"gazecut [^>|;&]*(&& gazecut [^>|;&]*)*", line):
                for arguments in commands(line):  # within this process, which has imported everything already
                    assert run(arguments) == 0, f"{block.place}: {line}"
            else:
                self.shell(line, block.place)

    def shell(self, line: str, place: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "GAZECUT"))}
        kept["PATH"] = f"{sysconfig.get_path('scripts')}{os.pathsep}{kept['PATH']}"
        done = subprocess.run(["bash", "-c", line], cwd=self.desk, env=kept, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{place}, exit status {done.returncode}\n{done.stdout}\n{done.stderr}"


def commands(script: str) -> Iterator[list[str]]:
    """Arguments of every `gazecut ...` in a script."""
    for line in script.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        while "gazecut" in words:
            words = words[words.index("gazecut") + 1 :]
            ends = [index for index, word in enumerate(words) if word in ("&&", "||", "|", ";", ">")]
            yield words[: min(ends, default=len(words))]


def parse(arguments: list[str], place: str) -> None:
    """Raise unless the command line takes these arguments; nothing is run."""
    command, context, words = typer.main.get_command(app), None, shared_first(arguments)
    try:
        while True:
            context = command.make_context(command.name, list(words), parent=context)
            if not hasattr(command, "resolve_command"):
                return
            _, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
    except Exception as error:
        error.add_note(f"{place}: gazecut {shlex.join(arguments)}")
        raise


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_works(page: Path, desk: Path) -> None:
    reader = Reader(desk)
    for block in blocks(page):
        reader.follow(block)


LIES = {
    "python": "```python\nimport gazecut\ngazecut.nothing\n```\n",
    "python, not run": "<!-- not run: slow -->\n```python\nimport gazecut as\n```\n",
    "recipe": "```yaml\nversion: 1\nextends: pocket\nscorer: {use: nothing}\n```\n",
    "toml": "```toml\n[project\n```\n",
    "command": "```bash\ngazecut show fusion nothing\n```\n",
    "second command": "```bash\ngazecut recipes && gazecut show fusion nothing\n```\n",
    "shell": "```bash\ncat nothing.txt\n```\n",
    "command, not run": "<!-- not run: slow -->\n```bash\nmake demo && gazecut demo --nothing\n```\n",
    "language": "```\ngazecut\n```\n",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_page_that_lies_is_caught(lie: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(LIES[lie], encoding="utf-8")
    (block,) = blocks(page)
    with pytest.raises(Exception):  # noqa: B017, PT011  of many kinds; that nothing else raises shows on the true pages
        Reader(tmp_path).follow(block)


def page_text(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_the_scorer_has_at_most_25_lines() -> None:
    (scorer,) = [block for block in blocks(ROOT / "docs" / "scorer.md") if block.file == "my_scorer.py"]
    assert len(scorer.text.splitlines()) <= 25


def test_what_a_scorer_gets_is_there() -> None:
    named = re.findall(r"`tracklets\[k\]\.(\w+)`", page_text("scorer.md"))
    assert len(named) == 4
    assert all(hasattr(samples.tracklets(1)[0], name) for name in named)


def test_the_observers_page_tells_of_every_event() -> None:
    rows = re.findall(r"^\| `(on_\w+)\((.*?)\)`", page_text("observers.md"), re.MULTILINE)
    events = {name: signature(hook) for name, hook in vars(Hooks).items() if name.startswith("on_")}
    assert dict(rows) == {name: ", ".join([*event.parameters][1:]) for name, event in events.items()}


def test_the_observers_page_tells_of_every_stage() -> None:
    class Stages:
        def __init__(self) -> None:
            self.seen: list[str] = []

        @hookimpl
        def on_stage_start(self, stage: str) -> None:
            self.seen.append(stage)

    observer = Stages()
    with fake_pipeline(observers=[observer]).open(moving_square().images) as session:
        session.segment_many(["the bright square", "the dark ground"])
    sentence = re.search(r"The stages, in order: (.*?), once for all(.*?), and `write`", page_text("observers.md"), re.DOTALL)
    assert sentence
    once, each = (re.findall(r"`(\w+)`", part) for part in sentence.groups())
    assert observer.seen == [*once, *each, *each]


def test_contributing_fits_two_screens() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 100


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_fence_is_seen(page: Path) -> None:
    fences = re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(list(blocks(page)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_in_the_text_exist(page: Path) -> None:
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    codes = [code.split() for code in re.findall(r"`([^`\n]+)`", prose) if re.match(r"gazecut \w|--\w", code)]
    known = dict(every_command())
    for words in codes:
        options = {word for word in words if word.startswith("--")}
        if words[0] == "gazecut":
            named = max((name for name in known if words[1 : len(name) + 1] == list(name)), key=len, default=None)
            assert named, " ".join(words)
            assert options <= known[named] | known[()], " ".join(words)
        else:
            assert options <= set().union(*known.values()), " ".join(words)


def every_command() -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Words of every command and names of its options."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], set[str]]]:
        yield words, {name for option in command.params for name in option.opts}
        for name, below in getattr(command, "commands", {}).items():
            yield from walk(below, (*words, name))

    return walk(typer.main.get_command(app), ())
