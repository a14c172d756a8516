"""The run manifest: what is enough to repeat a run, and, apart from it, what was measured."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gazecut.interview import Inquiry
from gazecut.protocols import Clip, Provenance
from gazecut.result import JudgedTracklet


class Stopwatch:
    """Seconds by stage, added up."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of the block for a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start

    def seconds(self) -> dict[str, float]:
        """Stage to seconds, rounded to a millisecond, in the order that stages began."""
        return {name: round(seconds, 3) for name, seconds in self._seconds.items()}


def measured(stopwatch: Stopwatch, expressions: int, peaks: Mapping[str, int]) -> dict[str, Any]:
    """What depends on the machine: seconds by stage (of a call with `expressions` expressions), peak memory in bytes, host."""
    return {
        "seconds": stopwatch.seconds(),
        "expressions_in_call": expressions,
        "peak_memory_bytes": dict(peaks),
        "host": {
            "machine": machine_name(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
        },
    }


def machine_name() -> str:
    """The processor's name, where the system tells; else its architecture."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text(encoding="utf-8").splitlines() if cpus.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def describe_clip(clip: Clip) -> dict[str, Any]:
    """Name, length, frames per second and size of a clip."""
    return {"name": clip.name, "frames": clip.length, "fps": clip.fps, "size": list(clip.size)}


def describe_inquiry(inquiry: Inquiry | None) -> dict[str, Any]:
    """Questions and answers; empty for maps that were given."""
    if inquiry is None:
        return {"category": None, "attributes": None, "answers": []}
    return {"category": inquiry.category, "attributes": inquiry.attributes, "answers": [asdict(record) for record in inquiry.records]}


def describe_tracklets(tracklets: tuple[JudgedTracklet, ...]) -> list[dict[str, Any]]:
    """Scores of every candidate and whether it was kept."""
    return [
        {
            "prompt_frame": judged.prompt_frame,
            "prompt_xy": judged.prompt_xy.tolist(),
            "object_score": judged.object_score,
            "consistency": judged.consistency,
            "score": judged.score,
            "kept": judged.kept,
        }
        for judged in tracklets
    ]


def describe_provenance(components: Mapping[str, Provenance]) -> dict[str, Any]:
    """Device, dtype, weights and revision by kind of component."""
    return {kind: asdict(provenance) for kind, provenance in components.items()}
