"""A run in windows that is interrupted at any moment leaves what is valid, and goes on where it was."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from gazecut.testing import moving_square
from gazecut.world.files import write_video

FRAMES, LENGTH, OVERLAP = 112, 16, 4
WINDOWS = -(-(FRAMES - OVERLAP) // (LENGTH - OVERLAP))
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
WRITTEN = {"masks", "masks.json", "overlay.mp4", "evidence", "run.json"}

COUNTING = '''
"""Fakes that count what is expensive."""
from gazecut.components import ComponentSpec, hookimpl
from gazecut.testing.fakes import FakeMLLM, FakeSegmenter


class Model(FakeMLLM):
    def __init__(self, config, runtime):
        super().__init__(config, runtime)
        self.work = runtime.work

    def open(self, *arguments, **options):
        self.work.vision_runs += 1
        return super().open(*arguments, **options)


class Segmenter(FakeSegmenter):
    def __init__(self, config, runtime):
        super().__init__(config, runtime)
        self.work = runtime.work

    def open(self, clip):
        self.work.segmenter_encodings += clip.length
        return super().open(clip)


@hookimpl
def register_mllm(register):
    register(ComponentSpec("counting", "counts views", f"{__name__}:Model", "gazecut.testing.options:FakeMLLMOptions"))


@hookimpl
def register_segmenter(register):
    register(ComponentSpec("counting", "counts frames", f"{__name__}:Segmenter", "gazecut.testing.options:FakeSegmenterOptions"))
'''
RECIPE = f"""
version: 1
about: fakes in windows
sampler: {{use: windows, frames: 4, length: {LENGTH}, overlap: {OVERLAP}}}
mllm: {{use: counting}}
prompts: decaf
attribution: {{use: fake}}
fusion: [{{use: fake-difference}}, {{use: fake-mean}}]
selector: {{use: fake}}
segmenter: {{use: counting}}
scorer: {{use: fake}}
exporters: [{{use: masks}}, {{use: overlay, shortest_side: 0}}, {{use: heatmaps}}, {{use: sheet}}, {{use: manifest}}]
"""
# Has everything imported once, and forks for each command: its moments are those of the work, not of the imports.
NURSERY = """
import json, os, signal, sys
import gazecut.cli.app, gazecut.cli.growth, gazecut.pipeline, gazecut.clip.video
import gazecut_plugins.exporters.overlay, gazecut_plugins.exporters.sheet, gazecut_plugins.exporters.masks
import gazecut.keys
from gazecut.cli import main
gazecut.keys.source_digest = lambda package: package  # somebody who edits while this runs must not make known results unknown
signal.signal(signal.SIGINT, signal.default_int_handler)
print("ready", flush=True)
for line in sys.stdin:
    told = json.loads(line)
    child = os.fork()
    if not child:
        for number, name in ((0, os.devnull), (1, "out.txt"), (2, "err.txt")):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
        os.environ["GAZECUT_CACHE"] = told["cache"]
        sys.argv = ["gazecut", *told["arguments"]]
        main()
    print(child, flush=True)
    status = os.waitpid(child, 0)[1]
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its status as a shell tells it, standard error, and after how many seconds."""

    status: int
    err: str
    seconds: float


class Nursery:
    """Runs commands in a folder, each in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TERMINAL_WIDTH": "200"}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen([sys.executable, "-c", NURSERY], cwd=folder, env=environment, **pipes)
        assert self._read() == "ready"

    def run(self, cache: str, *arguments: str, number: signal.Signals | None = None, after: float = 0) -> Ended:
        """Run a command, and send it a signal after so many seconds unless it has ended by then."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"cache": str(self.folder / cache), "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        child, started = int(self._read()), time.monotonic()
        if number is not None:
            time.sleep(after)
            with suppress(ProcessLookupError):
                os.kill(child, number)
        status = int(self._read())
        err = (self.folder / "err.txt").read_text()
        return Ended(status if status >= 0 else 128 - status, err, time.monotonic() - started)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    write_video(tmp_path / "clip.mp4", moving_square(FRAMES, (48, 64)).images, fps=12)
    (tmp_path / "counting.py").write_text(COUNTING)
    (tmp_path / "windows.yaml").write_text(RECIPE)
    nursery = Nursery(tmp_path)
    yield nursery
    nursery.close()


def command(output: str, *more: str, expression: str = "the square") -> tuple[str, ...]:
    plugins = ("--plugin", "gazecut.testing.plugin", "--plugin", "counting.py")
    return (*plugins, "segment", "clip.mp4", expression, "-r", "windows.yaml", "--device", "cpu", "-o", output, *more)


def files(folder: Path) -> dict[str, bytes]:
    """Content of all files but the record, which holds what was measured."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != "run.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def work(folder: Path) -> dict[str, int]:
    counted: dict[str, int] = json.loads((folder / "run.json").read_text())["measured"]["work"]
    return counted


def decoded(file: Path) -> int:
    with av.open(str(file)) as container:
        return sum(1 for _ in container.decode(video=0))


def check_partial(partial: Path, whole: Path) -> int:
    """Everything in it is whole, and all of the frames that the record names are there; gives their number."""
    if not partial.exists() or not any(partial.iterdir()):  # nothing was written yet
        return 0
    record = json.loads((partial / "partial.json").read_text())
    assert (record["expression"], record["frames"], record["recipe"]["name"]) == ("the square", FRAMES, "windows")
    done = int(record["frames_done"])
    for image in partial.rglob("*.png"):
        Image.open(image).load()
    masks = {path.name: path.read_bytes() for path in (partial / "masks").glob("*")}
    wanted = {path.name: path.read_bytes() for path in (whole / "masks").iterdir()}
    assert {f"{frame:05d}.png" for frame in range(done)} <= masks.keys()
    assert masks.items() <= wanted.items()
    starts = sorted(int(path.stem) for path in (partial / "overlay").glob("*"))
    ends = {start: start + decoded(partial / "overlay" / f"{start:08d}.mp4") for start in starts}
    assert starts == [0, *list(ends.values())[:-1]][: len(starts)], "parts adjoin"
    assert max(ends.values(), default=0) >= done
    return done


def finished_windows(done: int) -> int:
    """Windows whose own frames are all among the first `done`."""
    seams = [start + LENGTH - OVERLAP // 2 for start in range(0, WINDOWS * (LENGTH - OVERLAP), LENGTH - OVERLAP)]
    return sum(min(seam, FRAMES) <= done for seam in [*seams[:-1], FRAMES])


def check_message(ended: Ended, number: signal.Signals, output: Path, done: int) -> None:
    if number == signal.SIGKILL:
        return
    left = f"{done} of {FRAMES} frames are in {output.name}/partial; run the same command again to go on"
    allowed = {f"gazecut: {WORDS[number]}; {left if done else 'nothing half-written was left'}\n"}
    # Before the command has set its handlers the system ends the process at once, without a word.
    assert ended.err in allowed | ({""} if number == signal.SIGTERM and not done else set())
    assert [path.name for path in output.glob(".gazecut-*")] == []


def interrupted_at(nursery: Nursery, points: int) -> None:
    folder = nursery.folder
    assert nursery.run("cache of other", *command("other", expression="something else")).status == 0
    length = min(nursery.run(f"cache of whole {number}", *command("whole")).seconds for number in range(2))
    whole, draw, resumed = files(folder / "whole"), random.Random(points), 0
    assert work(folder / "whole")["vision_runs"] == 2 * WINDOWS
    interrupted = 0
    for attempt in range(4 * points):
        if interrupted >= points and resumed >= points // 5:
            break
        output, cache = folder / "out", f"cache {attempt}"
        shutil.rmtree(output, ignore_errors=True)
        earlier = bool(attempt % 2)
        if earlier:
            shutil.copytree(folder / "other", output)
        number, after = SIGNALS[interrupted % 3], draw.random() * length
        ended = nursery.run(cache, *command("out"), number=number, after=after)
        what = f"{number.name} after {after:.3f} of {length:.3f} s, status {ended.status}: {ended.err}"
        if ended.status == 0:
            length = ended.seconds  # other work on the machine makes commands slower and faster: the moments go along
            continue
        interrupted += 1
        assert ended.status == 128 + number, what
        done = check_partial(output / "partial", folder / "whole")
        check_message(ended, number, output, done)
        if earlier and (output / "run.json").exists() and done < FRAMES:
            found = {name: content for name, content in files(output).items() if name.split("/")[0] in WRITTEN}
            complete = not (output / "partial").exists() and found == whole  # the signal came between the last file and the end
            assert complete or found == files(folder / "other"), what
        again = nursery.run(cache, *command("out"))
        assert (again.status, again.err) == (0, ""), what
        assert {path.name for path in output.iterdir()} == WRITTEN, what
        assert files(output) == whole, what
        todo = WINDOWS - finished_windows(done)
        assert work(output)["vision_runs"] <= 2 * todo, what
        assert work(output)["segmenter_encodings"] <= LENGTH * todo, what
        resumed += 0 < done < FRAMES
        length *= 1 if done else 1.1
    assert interrupted >= points
    assert resumed >= points // 5, "enough of the moments were amid the work"


def test_interrupted_anywhere_it_is_valid_and_goes_on(nursery: Nursery) -> None:
    interrupted_at(nursery, 10)


@pytest.mark.slow
def test_interrupted_at_fifty_moments(nursery: Nursery) -> None:
    interrupted_at(nursery, 50)


def test_without_a_cache_it_begins_anew_and_says_so(nursery: Nursery) -> None:
    seconds = nursery.run("cache", *command("whole", "--no-cache")).seconds
    for share in (0.5, 0.6, 0.7, 0.4, 0.8):
        ended = nursery.run("cache", *command("out", "--no-cache"), number=signal.SIGINT, after=share * seconds)
        if "partial" in ended.err:
            break
    assert ended.err.endswith(f" of {FRAMES} frames are in out/partial; with --no-cache the same command begins anew\n")
    assert nursery.run("cache", *command("out", "--no-cache")).status == 0
    assert work(nursery.folder / "out")["vision_runs"] == 2 * WINDOWS


def test_a_plugin_that_fails_leaves_what_was_done(nursery: Nursery) -> None:
    failing = COUNTING.replace("return super().open(clip)", "assert self.work.segmenter_encodings < 80\n        return super().open(clip)")
    (nursery.folder / "counting.py").write_text(failing)
    ended = nursery.run("cache", *command("out"))
    assert (ended.status, ended.err.splitlines()[0]) == (1, "gazecut: this should not happen: AssertionError")
    assert ended.err.splitlines()[-1] == f"50 of {FRAMES} frames are in out/partial; run the same command again to go on"
    assert json.loads((nursery.folder / "out" / "partial" / "partial.json").read_text())["frames_done"] == 50
    assert len(list((nursery.folder / "out" / "partial" / "masks").iterdir())) == 50
