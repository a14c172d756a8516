"""Interruptions at random moments: no file half-written under its final name, one message, and the next run succeeds."""

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
from safetensors.numpy import load_file

from gazecut.world import render
from gazecut.world.files import write_video

# Whoever runs these tests may have Ctrl-C ignored, as jobs in the background have.
BEGIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from gazecut.cli import main; print('begun', flush=True); main()"
)
MESSAGES = {
    signal.SIGINT: "gazecut: interrupted; {}\n",
    signal.SIGTERM: "gazecut: terminated; {}\n",
}
LEFT = "nothing half-written was left"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
FRAMES = 6
SEGMENT = ("segment", "clip.mp4", "the red circle", "-o", "out", "--device", "cpu", "--set", "sampler.frames=2")
WRITTEN = {"masks", "masks.json", "overlay.mp4", "evidence", "run.json"}
SCENE = {"clip.mp4", "frames", "masks", "scene.json"}


@dataclass(frozen=True)
class Moment:
    """When a signal is sent.

    Attributes:
        seconds: After the command began, or after it began to write.
        writing: Whether to wait until it writes.
    """

    seconds: float
    writing: bool


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A command whose temporary files go to a folder of their own, and which has just begun."""
    (folder / "temporary").mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(folder / "temporary"), "OMP_NUM_THREADS": "1"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", BEGIN, *arguments], cwd=folder, env=environment, **pipes)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def workplaces(folder: Path) -> list[Path]:
    # Unlike rglob, walk does not mind folders that vanish under its eyes.
    found = (Path(place) / name for place, names, _ in os.walk(folder) for name in names)
    return [path for path in found if path.match(".gazecut-*.partial")]


def interrupt(process: subprocess.Popen[str], folder: Path, moment: Moment, *numbers: signal.Signals) -> tuple[int, str]:
    """Send signals at a moment; exit status as a shell tells it, and standard error."""
    if moment.writing:
        while process.poll() is None and not workplaces(folder):
            time.sleep(0.002)
    with suppress(subprocess.TimeoutExpired):
        process.wait(moment.seconds)
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.02 if len(numbers) > 1 else 0)
    _, errors = process.communicate(timeout=120)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode, errors


def finished(folder: Path) -> Iterator[Path]:
    """Every file under its final name."""
    for path in folder.rglob("*"):
        if path.is_file() and not any(part.startswith(".gazecut-") for part in path.relative_to(folder).parts):
            yield path


def check_files(folder: Path, frames: int) -> None:
    """Every file can be read to its end."""
    for path in finished(folder):
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.load()
        elif path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".safetensors":
            assert load_file(path)["fused"].size
        else:
            with av.open(str(path)) as container:
                assert sum(1 for _ in container.decode(video=0)) == frames


def check_whole(folder: Path, frames: int, record: str, entries: set[str]) -> bool:
    """Whether the record is there; where it is, everything is."""
    if not (folder / record).exists():
        return False
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".gazecut-")} - {"partial"} == entries
    assert len(list((folder / "masks").iterdir())) == frames
    return True


def check_ending(number: signal.Signals, status: int, errors: str, folder: Path) -> None:
    """Status and message; nothing temporary left but by what cannot be caught."""
    assert status == 128 + number
    if number == signal.SIGKILL:
        return
    # Before `main` has set its handlers the system ends the process at once, without a word.
    grown = f"{FRAMES} of {FRAMES} frames are in out/partial; run the same command again to go on"
    left = grown if (folder / "out" / "partial").exists() else LEFT
    assert errors in (MESSAGES[number].format(left), "" if number == signal.SIGTERM else MESSAGES[number].format(left))
    assert workplaces(folder) == []
    left = [path.name for path in (folder / "temporary").iterdir() if not path.name.startswith("torchinductor_")]  # PyTorch keeps a cache
    assert left == []


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("writing", [False, True])
def test_an_interrupted_command_leaves_whole_folders_only(tmp_path: Path, number: signal.Signals, writing: bool) -> None:
    seconds = random.Random(f"{number}{writing}").uniform(0, 0.5)
    process = start(tmp_path, "world", "render", "-n", "10000", "--size", "64", "--frames", str(FRAMES), "-o", "world")
    status, errors = interrupt(process, tmp_path, Moment(seconds, writing), number)
    check_ending(number, status, errors, tmp_path)
    check_files(tmp_path / "world", FRAMES)
    scenes = list((tmp_path / "world").iterdir()) if (tmp_path / "world").exists() else []
    whole = [check_whole(scene, FRAMES, "scene.json", SCENE) for scene in scenes]
    assert all(whole) or (number == signal.SIGKILL and whole.count(False) == 1)


def test_a_second_signal_disturbs_nothing(tmp_path: Path) -> None:
    process = start(tmp_path, "world", "render", "-n", "10000", "--size", "64", "-o", "world")
    status, errors = interrupt(process, tmp_path, Moment(0.05, True), signal.SIGINT, signal.SIGTERM, signal.SIGINT)
    check_ending(signal.SIGINT, status, errors, tmp_path)


@pytest.fixture
def clip(workdir: Path) -> Path:
    write_video(workdir / "clip.mp4", render(90_001, frames=FRAMES, size=64).frames, fps=12)
    return workdir


@pytest.mark.slow
def test_fifty_interruptions_of_segment(gazecut: Any, clip: Path) -> None:
    lengths = [length_of(clip), length_of(clip)]  # the first one fills the system's caches
    wanted = (clip / "out" / "masks.json").read_bytes()
    draw, longest, interrupted = random.Random(0), 0.3, 0
    for attempt in range(150):  # a command may end before its signal comes; other work on the machine makes it slower and faster
        if interrupted == 50:
            break
        if draw.random() < 0.5:
            shutil.rmtree(clip / "out")
        before, writing = (clip / "out").exists(), draw.random() < 0.4
        moment = Moment(draw.uniform(0, longest) if writing else draw.uniform(0, min(lengths)), writing)
        which = SIGNALS[interrupted % len(SIGNALS)]
        started = time.monotonic()
        status, errors = interrupt(start(clip, *SEGMENT), clip, moment, which)
        what = f"attempt {attempt}, {which.name} after {moment}: status {status}"
        if status:
            interrupted += 1
            check_ending(which, status, errors, clip)
            assert which == signal.SIGKILL or (clip / "out").exists() >= before, what
        else:
            lengths.append(time.monotonic() - started)
            longest *= 0.7 if writing else 1
        check_files(clip / "out", FRAMES)
        check_whole(clip / "out", FRAMES, "run.json", WRITTEN)
        ended = gazecut(*SEGMENT)
        assert (ended.status, ended.err) == (0, ""), what
        assert check_whole(clip / "out", FRAMES, "run.json", WRITTEN)
        assert not (clip / "out" / "partial").exists()
        assert workplaces(clip) == [], what
        assert (clip / "out" / "masks.json").read_bytes() == wanted
    assert interrupted == 50


def length_of(folder: Path) -> float:
    """Seconds that the whole command takes."""
    started = time.monotonic()
    assert start(folder, *SEGMENT).communicate(timeout=120)[1] == ""
    return time.monotonic() - started
