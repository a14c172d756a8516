"""What is wrong with a recipe: all of it, each with its place, in one message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gazecut.errors import RecipeError
from gazecut.wording import MOST_SHOWN, shown

MOST_HINTS = 2
"""Commands at the end of a report; more than a line of them nobody reads."""

MOST_LINES = 40
"""Lines of problems in one report; the rest is counted."""

MOST_WIDTH = 2000
"""Characters of one line; names of what is installed may fill some hundred."""


def dotted(path: Sequence[str | int]) -> str:
    """A path as a recipe's reader writes it, for example "mllm.views.video"."""
    return ".".join(shown(str(step)) for step in path)


@dataclass(frozen=True)
class Place:
    """Where something was written.

    Attributes:
        source: A file, a built-in recipe, "--set", "overrides", or "default of ..." for what nobody wrote.
        line: From 1; 0 where the source has no lines.
        column: From 1; 0 where the source has no lines.
    """

    source: str
    line: int = 0
    column: int = 0

    def seen_from(self, title: str) -> str:
        """The place as a table under `title` shows it: the source stays away where it is the title's."""
        if not self.line:
            return self.source if self.source != title else ""
        where = f"{self.line}:{self.column}"
        return where if self.source == title else f"{self.source}:{where}"

    def __str__(self) -> str:
        """The place on its own, for example "pocket.yaml:4:12" or "--set"."""
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        place: Where it was written.
        path: The path as typed, for example "fusion.contrastive.sigma"; empty for the recipe as a whole.
        message: What was found and what is allowed; may have several lines.
        hint: A command that tells more, or empty.
    """

    place: Place
    path: str
    message: str
    hint: str = ""


@dataclass
class Problems:
    """Collects problems, so that one run shows all of them.

    Attributes:
        title: What the recipe is called in messages: its file, or its name.
        items: In the order they were found.
        incomplete: Part of the recipe could not be read, so what seems to be missing need not be.
    """

    title: str
    items: list[Problem] = field(default_factory=list)
    incomplete: bool = False

    def add(self, place: Place, path: str, message: str, hint: str = "") -> None:
        """Note one problem."""
        lines = (shown(line, MOST_WIDTH) for line in message.split("\n"))
        self.items.append(Problem(place, shown(path, 2 * MOST_SHOWN), "\n".join(lines), hint))

    def raise_if_any(self) -> None:
        """Stop here if anything was noted.

        Raises:
            RecipeError: With every problem, ordered by place.
        """
        if self.items:
            raise RecipeError(_report(self.title, self.items))


def _report(title: str, items: Sequence[Problem]) -> str:
    ordered = _by_place(title, items)
    blocks = _blocks([(item.place.seen_from(title), item.path, item.message) for item in ordered[:MOST_LINES]])
    kept, lines = 0, 0
    while kept < len(blocks) and (not kept or lines + len(blocks[kept]) <= MOST_LINES):
        lines += len(blocks[kept])
        kept += 1
    table = [line for block in blocks[:kept] for line in block]
    if kept < len(ordered):
        table.append(f"  ... and {len(ordered) - kept} more")
    hints = list(dict.fromkeys(item.hint for item in ordered[:kept] if item.hint))[:MOST_HINTS]
    count = "1 problem" if len(ordered) == 1 else f"{len(ordered)} problems"
    return "\n".join([f"{title} has {count}", "", *table, "", "  ".join(["Nothing was run.", *hints])])


def _blocks(rows: Sequence[tuple[str, str, str]]) -> list[list[str]]:
    """The lines of each row; places, paths and messages stand below each other."""
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    blocks = []
    for where, path, message in rows:
        first, *rest = message.split("\n")
        margin = "".join("  " + cell.ljust(width) for cell, width in zip((where, path), widths, strict=True) if width)
        blocks.append([f"{margin}  {first}", *(" " * (len(margin) + 2) + line for line in rest)])
    return blocks


def _by_place(title: str, items: Sequence[Problem]) -> list[Problem]:
    return sorted(items, key=lambda item: (item.place.source != title, item.place.source, item.place.line, item.place.column))
