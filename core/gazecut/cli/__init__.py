"""The command line `gazecut`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line with the arguments of this process, and end it with the command's exit status."""
    try:
        from gazecut.cli.signals import signals

        signals.listen()
        from gazecut.cli.app import run
        from gazecut.cli.reporting import write_anything

        write_anything()
        status = run(sys.argv[1:])
    except BaseException as error:  # noqa: BLE001  before a command begins or after it ends; in between, `run` reports
        from gazecut.cli.reporting import debug_wanted, report
        from gazecut.cli.signals import signals

        status = report(error, debug_wanted(sys.argv[1:]))
    signals.ended(status)
    sys.exit(status)
