"""Results pages: the command that makes one, and where it goes."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path


def typed() -> str:
    """The command as it was typed, from the project's root; where its page goes is left out."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--output")
    _, arguments = parser.parse_known_args(sys.argv[1:])
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments])


def publish(text: str, path: Path) -> None:
    """Write a page, and show it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(text)  # noqa: T201  the page is what the command is for
