"""What a run took: seconds and memory by stage. Two observers."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from gazecut.components import hookimpl

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")  # of Linux
_RESET_PEAK = "5"  # forget the highest resident size so far
_highest = 0  # of the process, as its peak is: what was forgotten is remembered here


class Timings:
    """Seconds by stage, added up; a stage within another counts for itself alone."""

    def __init__(self) -> None:
        """Nothing was measured yet."""
        self._seconds: dict[str, float] = {}

    @hookimpl
    def on_stage_end(self, stage: str, seconds: float) -> None:
        """Add a stage's time."""
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    def seconds(self) -> dict[str, float]:
        """Stage to seconds, rounded to a millisecond, in the order in which stages first ended."""
        return {stage: round(seconds, 3) for stage, seconds in self._seconds.items()}


class PeakMemory:
    """Most resident memory of the process by stage, in bytes.

    Linux can forget a peak, so that each stage has its own. Elsewhere it is the highest of the process up to the stage's end.
    """

    def __init__(self) -> None:
        """Nothing was measured yet."""
        self._peaks: dict[str, int] = {}
        self._open: list[str] = []

    @hookimpl
    def on_stage_start(self, stage: str) -> None:
        """What was needed up to here belongs to the stages around this one."""
        self._note()
        self._open.append(stage)

    @hookimpl
    def on_stage_end(self, stage: str) -> None:
        """What was needed since belongs to it and to the stages around it; those that failed are left behind."""
        while self._open:
            self._note()
            if self._open.pop() == stage:
                return

    def bytes(self) -> dict[str, int]:
        """Stage to bytes."""
        return dict(self._peaks)

    def _note(self) -> None:
        peak = peak_resident()
        for stage in self._open:
            self._peaks[stage] = max(self._peaks.get(stage, 0), peak)


def peak_resident() -> int:
    """Most resident memory of this process since the last call, in bytes; since its start where the system cannot forget.

    Whoever wants the highest of the whole process asks `highest_resident`: what the system itself tells at the end is the peak since
    the last call, too.

    Returns:
        0 where the system does not tell.
    """
    global _highest
    peak = _peak_since_reset()
    _highest = max(_highest, peak)
    return peak


def highest_resident() -> int:
    """Most resident memory of this process since its start, in bytes; 0 where the system does not tell."""
    peak_resident()
    return _highest


def _peak_since_reset() -> int:
    with suppress(OSError, StopIteration):  # not Linux, or a sandbox whose kernel does not tell this
        peak = next(int(line.split()[1]) for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        with suppress(OSError):  # a container may not allow it
            _CLEAR.write_text(_RESET_PEAK)
        return peak * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
