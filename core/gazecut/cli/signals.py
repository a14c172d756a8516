"""Signals that end the command line: each becomes an exception, so that whatever is under way unwinds and cleans up.

Only `main` calls this; a program that uses Gazecut as a library keeps its own handlers.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from types import FrameType

from gazecut.interrupts import postponed

WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "hung up"}
"""Signals that are caught, where the system has them, and what to call their effect."""

PATIENCE = 2.0  # seconds in which a second signal does not disturb the clean-up after the first


class Stopped(KeyboardInterrupt):
    """A signal asked the command to end; libraries treat it as they treat Ctrl-C.

    Attributes:
        status: The exit status: 128 and the signal's number, as shells have it.
    """

    def __init__(self, number: int) -> None:
        self.status = 128 + number
        super().__init__(WORDS[signal.Signals(number).name])


class Signals:
    """Raises `Stopped` in the main thread, again where it got lost, until the command has come to its end.

    Attributes:
        stopped: What ended the command, or None.
    """

    stopped: Stopped | None = None

    def __init__(self) -> None:
        self._quiet_until = 0.0
        self._caught: list[signal.Signals] = []

    def listen(self) -> None:
        """Catch the signals, but for those that whoever started the process wants ignored (nohup, jobs in the background)."""
        for name in WORDS:
            number = getattr(signal.Signals, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._arrived)
                self._caught.append(number)

    def ended(self) -> None:
        """The command has come to its end; a further signal ends the process at once and without words."""
        while self._caught:
            signal.signal(self._caught.pop(), signal.SIG_DFL)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now < self._quiet_until:
            return
        self._quiet_until = now + PATIENCE
        self.stopped = Stopped(number)
        # A destructor, a callback from C or a bare `except:` of some library may lose the exception.
        again = threading.Timer(PATIENCE, self._again, (signal.Signals(number),))
        again.daemon = True
        again.start()
        if not postponed(self.stopped):
            raise self.stopped

    def _again(self, number: signal.Signals) -> None:
        if number in self._caught and not sys.is_finalizing():
            _thread.interrupt_main(number)


signals = Signals()
"""Those of this process."""
