"""The command line `gazecut`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line with the arguments of this process, and end it with the command's exit status."""
    from gazecut.cli.app import run

    sys.exit(run(sys.argv[1:]))
