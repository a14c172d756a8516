"""The command line `gazecut`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line with the arguments of this process, and end it with the command's exit status."""
    try:
        from gazecut.cli.app import run

        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:
        # Before a command begins or after it ends; in between, the command says so itself.
        sys.exit(130)
