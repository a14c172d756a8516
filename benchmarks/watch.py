"""Time and peak memory, of one call or of a whole process, and processes that are there to be measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from gazecut.meter import peak_resident

CLOCK = """
import time
ticks = []
def tick():
    ticks.append((time.perf_counter(), time.process_time()))
"""
REPORT = """
import json
from gazecut.meter import highest_resident  # a run forgets its peak stage by stage, and the system with it
print(json.dumps({"ticks": ticks, "megabytes": highest_resident() / 2**20}))
"""
SEGMENT = """
import sys
from gazecut.cli import main
sys.argv = ["gazecut", "segment", *sys.argv[1:]]
tick()
try:
    main()
except SystemExit as end:
    if end.code:
        raise
tick()
"""


@dataclass(frozen=True)
class Spent:
    """What a process took.

    Attributes:
        seconds: By the clock, from each tick to the next.
        processor: The same in CPU seconds, of all threads.
        megabytes: Most memory that was resident at a time, since the start of the process; units of 2**20 bytes.
    """

    seconds: tuple[float, ...]
    processor: tuple[float, ...]
    megabytes: float


def watched(work: Callable[[], object]) -> dict[str, float]:
    """Seconds of a call, also of processor time, and the most memory that it had beside what was there before, in bytes."""
    peak_resident()  # forgets what was needed so far
    before = peak_resident()
    start, busy = time.perf_counter(), time.process_time()
    work()
    seconds, processor = time.perf_counter() - start, time.process_time() - busy
    return {"seconds": seconds, "processor": processor, "bytes": float(peak_resident() - before)}


def worked(script: str, job: Mapping[str, object], environment: Mapping[str, str]) -> dict[str, Any]:
    """What a benchmark prints as JSON when it runs as `SCRIPT --worker JOB`, in a process of its own.

    Args:
        script: The benchmark's file.
        job: What it is to measure, as JSON has it.
        environment: Variables beside those of this process.

    Raises:
        subprocess.CalledProcessError: The job failed.
    """
    command = [sys.executable, script, "--worker", json.dumps(job)]
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def in_own_process(code: str, *arguments: str, piped: Path | None = None) -> Spent:
    """Run Python code in a fresh interpreter.

    Args:
        code: What to run; it calls `tick()` between the parts that are timed.
        arguments: Its `sys.argv[1:]`.
        piped: A file whose bytes come through a pipe, as its standard input.

    Raises:
        subprocess.CalledProcessError: The code failed.
    """
    content = piped.read_bytes() if piped else None
    done = subprocess.run([sys.executable, "-c", CLOCK + code + REPORT, *arguments], input=content, stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    laps = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(found["ticks"])]
    return Spent(tuple(lap[0] for lap in laps), tuple(lap[1] for lap in laps), found["megabytes"])


def segmenting(clip: Path, expression: str, output: Path, *options: str, piped: bool = False) -> Spent:
    """One run of `gazecut segment` on the CPU and without the stage cache, from the command line to the last file, as one lap.

    Args:
        clip: The video.
        expression: What to segment.
        output: Where the result goes.
        options: More of the command's options.
        piped: Pipe the video in.

    Raises:
        subprocess.CalledProcessError: The run failed.
    """
    arguments = ["-" if piped else str(clip), expression, "--device", "cpu", "--no-cache", "--output", str(output), *options]
    return in_own_process(SEGMENT, *arguments, piped=clip if piped else None)
