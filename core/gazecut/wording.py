"""Puts numbers into words, and what others raised; nothing that they raise can break the message about it."""

from __future__ import annotations

from gazecut.errors import GazecutError

LONGEST = 200  # characters; a listing is read line by line
MOST_SHOWN = 60
"""Characters of a foreign text within a message."""


def one_line(error: BaseException, longest: int = LONGEST) -> str:
    """What an exception says: its class, unless Gazecut raised it on purpose, and its text, on one line and cut short."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  the text of a foreign exception is foreign code
        text = "(its text cannot be read)"
    name = type(error).__name__
    if isinstance(error, GazecutError) and text:
        return shown(" ".join(text.split()), longest)
    return shown(" ".join(f"{name}: {text}".split()) if text else name, longest)


def shown(text: str, most: int = MOST_SHOWN) -> str:
    """Text as a message can hold it: control characters escaped, no line breaks, cut short.

    Args:
        text: What somebody wrote.
        most: Characters that are left, at least 3.
    """
    if not text.isprintable():
        text = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text[: most + 1])
    return text if len(text) <= most else f"{text[: most - 3]}..."


def counted(count: int, noun: str) -> str:
    """A number with its noun: "1 frame", "2 frames"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def size_of(count: int) -> str:
    """Bytes as people read them: "640 B", "1.5 KiB", "2.0 GiB"."""
    if count < 1024:
        return f"{count} B"
    size = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if round(size, 1) < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"
