"""Time and peak memory of one call, in a process of its own."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path


def watched(work: Callable[[], object]) -> dict[str, float]:
    """Seconds of a call, also of processor time, and the most memory that it had beside what was there before, in bytes."""
    before = _resident(reset=True)
    start, busy = time.perf_counter(), time.process_time()
    work()
    seconds, processor = time.perf_counter() - start, time.process_time() - busy
    return {"seconds": seconds, "processor": processor, "bytes": float(_resident(reset=False) - before)}


def _resident(reset: bool) -> int:
    """Peak resident memory of this process in bytes; with `reset` the peak begins anew, where the system allows it."""
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if reset:
        clear.write_text("5")  # what proc(5) says forgets the peak
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
