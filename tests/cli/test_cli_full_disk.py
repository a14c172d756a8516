"""A disk that is full: exit 2 with what to do, nothing half-written, and what was finished before stays."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gazecut.world import render
from gazecut.world.files import write_scene, write_video

# No file may grow beyond the limit: the system's own way to refuse a write, without a disk to fill.
LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0})); from gazecut.cli import main; main()"
QUICK = ("--device", "cpu", "--set", "sampler.frames=2", "--set", "segmenter=attention")
WRITTEN = {"masks", "masks.json", "overlay.mp4", "evidence", "run.json"}


@pytest.mark.parametrize("which", [".png", ".json", ".mp4"])
def test_a_write_that_the_system_refuses(tmp_path: Path, which: str) -> None:
    arguments = ("world", "render", "--size", "64", "--frames", "12", "-o", "world")
    scene = write_scene(render(90_000, frames=12, size=64), tmp_path).parent
    limit = max(path.stat().st_size for path in scene.rglob(f"*{which}")) // 2
    for path in tmp_path.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.format(limit), *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    wanted = 'gazecut: cannot write results to "world/90000": File too large; make room or give another folder, and run again.\n'
    assert (done.returncode, done.stderr) == (2, wanted)
    assert list(tmp_path.iterdir()) == []


class FullAfter:
    """A disk that takes the first results, and no more."""

    def __init__(self, results: int) -> None:
        self._left = results
        self._write = Path.write_bytes

    def __call__(self, path: Path, content: bytes) -> int:
        self._left -= 1
        if self._left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return self._write(path, content)


def test_what_earlier_expressions_gave_stays(gazecut: Any, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(workdir / "clip.mp4", render(90_001, frames=6, size=64).frames, fps=12)
    disk = FullAfter(1)
    monkeypatch.setattr(Path, "write_bytes", lambda path, content: disk(path, content))
    ended = gazecut("segment", "clip.mp4", "the red circle", "the largest object", *QUICK)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        'gazecut: cannot write results to "out/the-largest-object": No space left on device; make room or give another folder, and run '
        "again.\n6 of 6 frames are in out/the-largest-object/partial; run the same command again to go on\n"
    )
    assert {path.name for path in (workdir / "out" / "the-largest-object").iterdir()} == {"partial"}
    assert {path.name for path in (workdir / "out" / "the-red-circle").iterdir()} == WRITTEN
