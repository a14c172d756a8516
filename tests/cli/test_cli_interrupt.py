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
    signal.SIGINT: "gazecut: interrupted; nothing half-written was left\n",
    signal.SIGTERM: "gazecut: terminated; nothing half-written was left\n",
}
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
    return [path for path in folder.rglob(".gazecut-*.partial") if path.is_dir()]


def interrupt(process: subprocess.Popen[str], folder: Path, moment: Moment, *numbers: signal.Signals) -> tuple[int, str]:
    """Send signals at a moment; exit status as a shell tells it, and standard error."""
    if moment.writing:
        while process.poll() is None and not workplaces(folder):
            time.sleep(0.002)
    time.sleep(moment.seconds)
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
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".gazecut-")} == entries
    assert len(list((folder / "masks").iterdir())) == frames
    return True


def check_ending(number: signal.Signals, status: int, errors: str, folder: Path) -> None:
    """Status and message; nothing temporary left but by what cannot be caught."""
    assert status == 128 + number
    if number == signal.SIGKILL:
        return
    # Before `main` has set its handlers the system ends the process at once, without a word.
    assert errors in (MESSAGES[number], "" if number == signal.SIGTERM else MESSAGES[number])
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
    started = time.monotonic()
    process = start(clip, *SEGMENT)
    assert process.communicate(timeout=120)[1] == ""
    length = time.monotonic() - started
    wanted = (clip / "out" / "masks.json").read_bytes()
    draw = random.Random(0)
    moments = [Moment((number + draw.random()) / 30 * length, False) for number in range(30)]
    moments += [Moment(draw.uniform(0, 0.3), True) for _ in range(20)]
    draw.shuffle(moments)
    told: list[str] = []
    for number, moment in enumerate(moments):
        if draw.random() < 0.5:
            shutil.rmtree(clip / "out")
        before = (clip / "out").exists()
        process = start(clip, *SEGMENT)
        which = SIGNALS[number % len(SIGNALS)]
        status, errors = interrupt(process, clip, moment, which)
        what = f"{which.name} after {moment.seconds:.2f} s{' of writing' if moment.writing else ''}: status {status}"
        told.append(what)
        if status:
            check_ending(which, status, errors, clip)
            assert which == signal.SIGKILL or (clip / "out").exists() >= before, what
        check_files(clip / "out", FRAMES)
        check_whole(clip / "out", FRAMES, "run.json", WRITTEN)
        ended = gazecut(*SEGMENT)
        assert (ended.status, ended.err) == (0, ""), what
        assert check_whole(clip / "out", FRAMES, "run.json", WRITTEN)
        assert workplaces(clip) == [], what
        assert (clip / "out" / "masks.json").read_bytes() == wanted
    interrupted = [what for what in told if not what.endswith("status 0")]
    assert len(interrupted) >= 30, "too many commands ended before their signal came"
