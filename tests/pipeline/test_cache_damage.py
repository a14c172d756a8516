"""A damaged cache costs time, never a result: 200 random damages, runs side by side, a run that was killed while it wrote."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from gazecut.cache import Store, default_limit
from gazecut.result import Result
from gazecut.testing import fake_pipeline

DAMAGES, RUNS = 200, 50
EXPRESSIONS = ["the square", "the bright thing"]
Files = Sequence[Path]


def segmented(square: np.ndarray, cache: bool = True) -> list[Result]:
    with fake_pipeline(cache=cache).open(square) as session:
        return session.segment_many(EXPRESSIONS)


def facts(results: Sequence[Result]) -> str:
    """Everything in results that another run must say too."""
    plain = [{name: value for name, value in result.manifest.items() if name != "measured"} for result in results]
    maps = [result.heatmaps.fused.tobytes().hex() for result in results]
    return json.dumps([plain, maps, [list(one.track.codes) for result in results for one in result.objects]])


def flip(path: Path, _: Files, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 1, 8, 200))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def truncate(path: Path, _: Files, chance: random.Random) -> None:
    os.truncate(path, chance.randrange(path.stat().st_size))


def delete(path: Path, _: Files, chance: random.Random) -> None:
    path.unlink()


def of_another_version(path: Path, _: Files, chance: random.Random) -> None:
    path.write_bytes(b"gazecut %d\n" % chance.choice((0, 2, 9)) + path.read_bytes()[10:])


def of_another_key(path: Path, files: Files, chance: random.Random) -> None:
    other = chance.choice([file for file in files if file != path and file.is_file()])
    shutil.copyfile(other, path)


def lengthen(path: Path, _: Files, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes() + chance.randbytes(chance.randrange(1, 100)))


def noise(path: Path, _: Files, chance: random.Random) -> None:
    path.write_bytes(chance.randbytes(path.stat().st_size))


def a_folder(path: Path, _: Files, chance: random.Random) -> None:
    path.unlink()
    path.mkdir()


WAYS: Sequence[Callable[[Path, Files, random.Random], None]] = (
    flip,
    flip,
    flip,
    truncate,
    truncate,
    delete,
    of_another_version,
    of_another_key,
    lengthen,
    noise,
)


def test_two_hundred_random_damages(square: np.ndarray, own_cache: Path) -> None:
    wanted, chance, done = facts(segmented(square, cache=False)), random.Random(5), 0
    assert facts(segmented(square)) == wanted
    for _ in range(RUNS):
        files = sorted(own_cache.rglob("*.stage"))
        for path in chance.sample(files, DAMAGES // RUNS):
            chance.choice(WAYS)(path, files, chance)
            done += 1
        results = segmented(square)
        assert facts(results) == wanted
        assert results[-1].manifest["measured"]["work"]["cache_misses"] > 0
        again = segmented(square)[-1].manifest["measured"]["work"]
        assert (again["cache_misses"], again["rollout_passes"]) == (0, 0)  # everything is mended
    assert done == DAMAGES


def test_a_folder_in_the_place_of_a_file_costs_that_note_alone(square: np.ndarray, own_cache: Path) -> None:
    wanted = facts(segmented(square))
    a_folder(sorted(own_cache.rglob("*.stage"))[0], (), random.Random())
    for _ in range(2):
        assert facts(segmented(square)) == wanted


CHILD = """
import sys
import numpy as np
sys.path.insert(0, {folder!r})
from {module} import facts, segmented
square = np.load(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(facts(segmented(square)), flush=True)
"""


@pytest.fixture
def child(square: np.ndarray, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """child(before="") -> a process that waits for a line, then segments the square; `before` is code that it runs first."""
    np.save(tmp_path / "square.npy", square)
    here = Path(__file__)

    def start(before: str = "") -> subprocess.Popen[str]:
        code = before + CHILD.format(folder=str(here.parent), module=here.stem)
        return subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "square.npy")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    return start


def test_runs_side_by_side_say_the_same_and_leave_whole_entries(
    child: Callable[..., subprocess.Popen[str]], square: np.ndarray, own_cache: Path
) -> None:
    processes = [child() for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=600)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert set(said) == {facts(segmented(square, cache=False))}
    store = Store(own_cache, default_limit())
    entries = store.entries()
    assert entries
    assert all(store.read(entry.stage, entry.key) is not None for entry in entries)
    assert not list(own_cache.rglob(".writing-*"))


STUCK = """
import time
from pathlib import Path
real = Path.open

class Half:
    def __init__(self, file):
        self.file = file
    def __enter__(self):
        return self
    def __exit__(self, *error):
        self.file.close()
    def write(self, content):
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        print("in the middle", flush=True)
        time.sleep(600)

Path.open = lambda path, mode="r", *rest, **options: Half(real(path, mode)) if mode == "xb" else real(path, mode, *rest, **options)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_run_killed_in_the_middle_of_a_write_leaves_nothing_behind_that_counts(
    child: Callable[..., subprocess.Popen[str]], square: np.ndarray, own_cache: Path
) -> None:
    process = child(STUCK)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()
    assert process.stdout.readline() == "in the middle\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL
    left = list(own_cache.rglob(".writing-*"))
    assert len(left) == 1
    assert not list(own_cache.rglob("*.stage"))

    wanted = facts(segmented(square, cache=False))
    first, second = segmented(square), segmented(square)
    assert facts(first) == facts(second) == wanted
    assert second[-1].manifest["measured"]["work"]["cache_misses"] == 0
    Store(own_cache, default_limit()).clear()
    assert not left[0].exists()
