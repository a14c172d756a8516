"""Ctrl-C: status 130, one line, and no half-written folder."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path


def test_an_interrupted_command_leaves_whole_folders_only(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from gazecut.cli import main; main()",
        "world",
        "render",
        "-n",
        "10000",
        "--size",
        "64",
        "-o",
        "world",
    ]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "world").glob("9000[0-9]"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert errors == "gazecut: interrupted; nothing half-written was left\n"
    scenes = list((tmp_path / "world").iterdir())
    assert len(scenes) >= 2  # the third was under way
    assert all({path.name for path in scene.iterdir()} == {"clip.mp4", "frames", "masks", "scene.json"} for scene in scenes)
