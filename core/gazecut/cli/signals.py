"""Signals that end the command line: each becomes an exception, so that whatever is under way unwinds and cleans up.

Only `main` calls this; a program that uses Gazecut as a library keeps its own handlers.
"""

from __future__ import annotations

import _thread
import atexit
import os
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
        stopped: The first that came, or None.
    """

    stopped: Stopped | None = None

    def __init__(self) -> None:
        self._quiet_until = 0.0
        self._status: int | None = None

    def listen(self) -> None:
        """Catch the signals, but for those that whoever started the process wants ignored (nohup, jobs in the background)."""
        atexit.register(self._deafen)  # the first to be registered is the last to run
        for name in WORDS:
            number = getattr(signal.Signals, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._arrived)

    def ended(self, status: int) -> None:
        """The command has come to its end: a signal changes nothing any more, but cuts short what Python may hang in at its own end.

        Args:
            status: The exit status.
        """
        self._status = status
        self._quiet_until = time.monotonic() + PATIENCE

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now < self._quiet_until:
            return
        if self._status is not None:
            os._exit(self._status)
        self._quiet_until = now + PATIENCE
        self.stopped = self.stopped or Stopped(number)
        # A destructor, a callback from C or a bare `except:` of some library may lose the exception.
        again = threading.Timer(PATIENCE, self._again, (signal.Signals(number),))
        again.daemon = True
        again.start()
        if not postponed(self.stopped):
            raise self.stopped

    def _deafen(self) -> None:
        """Python takes its handlers away before the libraries are gone; a signal would change the exit status then."""
        for name in WORDS:
            number = getattr(signal.Signals, name, None)
            if number is not None and signal.getsignal(number) == self._arrived:
                signal.signal(number, signal.SIG_IGN)

    def _again(self, number: signal.Signals) -> None:
        if self._status is None and not sys.is_finalizing():
            _thread.interrupt_main(number)


signals = Signals()
"""Those of this process."""
