"""Time and peak memory of one call, in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable

from gazecut.meter import peak_resident


def watched(work: Callable[[], object]) -> dict[str, float]:
    """Seconds of a call, also of processor time, and the most memory that it had beside what was there before, in bytes."""
    peak_resident()  # forgets what was needed so far
    before = peak_resident()
    start, busy = time.perf_counter(), time.process_time()
    work()
    seconds, processor = time.perf_counter() - start, time.process_time() - busy
    return {"seconds": seconds, "processor": processor, "bytes": float(peak_resident() - before)}
