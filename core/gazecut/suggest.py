"""The "did you mean" of every name that a person can mistype."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known name that is most like the word, or None where none is like it; case does not count."""
    by_folded = {name.casefold(): name for name in known}
    matches = get_close_matches(word.casefold(), by_folded, n=1)
    return by_folded[matches[0]] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A clause to put behind a message, '; did you mean "x"?', or nothing."""
    name = closest(word, known)
    return f'; did you mean "{name}"?' if name else ""
