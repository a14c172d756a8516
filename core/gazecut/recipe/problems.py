"""What is wrong with a recipe: all of it, each with its place, in one message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gazecut.errors import RecipeError

MOST_HINTS = 2
"""Commands at the end of a report; more than a line of them nobody reads."""


@dataclass(frozen=True)
class Place:
    """Where something was written.

    Attributes:
        source: A file, "--set" or "overrides".
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
        self.items.append(Problem(place, path, message, hint))

    def raise_if_any(self) -> None:
        """Stop here if anything was noted.

        Raises:
            RecipeError: With every problem, ordered by place.
        """
        if self.items:
            raise RecipeError(_report(self.title, self.items))


def _report(title: str, items: Sequence[Problem]) -> str:
    ordered = _by_place(title, items)
    rows = [(item.place.seen_from(title), item.path, item.message) for item in ordered]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{title} has {'1 problem' if len(rows) == 1 else f'{len(rows)} problems'}", ""]
    for where, path, message in rows:
        first, *rest = message.splitlines()
        margin = "  ".join(cell.ljust(width) for cell, width in zip((where, path), widths, strict=True) if width)
        lines += [f"  {margin}  {first}", *(" " * (len(margin) + 4) + line for line in rest)]
    hints = list(dict.fromkeys(item.hint for item in ordered if item.hint))[:MOST_HINTS]
    return "\n".join([*lines, "", "  ".join(["Nothing was run.", *hints])])


def _by_place(title: str, items: Sequence[Problem]) -> list[Problem]:
    return sorted(items, key=lambda item: (item.place.source != title, item.place.source, item.place.line, item.place.column))
