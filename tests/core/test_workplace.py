"""Hidden folders of runs: those of the living are left alone, those of the dead removed, whoever shares the folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gazecut import workplace
from gazecut.output import check_destination, staged
from gazecut.workplace import in_turn

RUN = """
import sys, time
from pathlib import Path
from gazecut.output import staged
with staged(sys.argv[1]) as folder:
    (folder / "masks").mkdir()
    (folder / "run.json").write_text('{"expression": "child", "recipe": {}, "components": []}')
    print(folder.parent, flush=True)
    time.sleep(60)
"""
PUBLISH = """
import os, signal, sys
from pathlib import Path
from gazecut.output import staged
real, left = Path.replace, int(sys.argv[2])
def replace(source, target):
    global left
    real(source, target)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
Path.replace = replace
with staged(sys.argv[1]) as folder:
    (folder / "masks").mkdir()
    (folder / "masks.json").write_text("child")
    (folder / "run.json").write_text('{"expression": "child", "recipe": {}, "components": []}')
"""


def write(destination: Path, mark: str = "mine") -> None:
    with staged(destination) as folder:
        (folder / "masks").mkdir()
        (folder / "masks" / "00000.png").write_text(mark)
        (folder / "masks.json").write_text(mark)
        (folder / "run.json").write_text(f'{{"expression": "{mark}", "recipe": {{}}, "components": []}}')


@pytest.fixture
def running(tmp_path):
    """A process that is writing into tmp_path/out, and its workplace."""
    process = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process, process.stdout:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (then, then))


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_a_living_run_is_left_alone_and_a_dead_one_swept(running, tmp_path):
    process, theirs = running
    age(theirs, 1e6)  # it may be slow
    write(tmp_path / "out")
    assert (theirs / "new" / "masks").is_dir()
    process.send_signal(signal.SIGKILL)
    process.wait()
    write(tmp_path / "out")
    assert names(tmp_path / "out") == {"masks", "masks.json", "run.json"}


def test_a_dead_run_is_swept_before_there_is_need_for_room(running, tmp_path):
    process, theirs = running
    process.kill()
    process.wait()
    with staged(tmp_path / "out"):
        assert not theirs.exists()


@pytest.mark.parametrize(("days", "stays"), [(0.5, True), (2, False)])
@pytest.mark.parametrize("lock", [None, "", "another-machine 7"])
def test_where_no_lock_tells_a_day_without_change_does(tmp_path, days, stays, lock):
    theirs = tmp_path / ".gazecut-x.partial"
    (theirs / "new" / "masks").mkdir(parents=True)
    if lock is not None:
        (theirs / "lock").write_text(lock)
    age(theirs, days * 24 * 3600)
    write(tmp_path)
    assert theirs.exists() == stays


@pytest.mark.parametrize("left", [(), ("lock",), ("lock", "locked")])
def test_killed_at_its_first_or_last_step_it_goes_at_once(tmp_path, left):
    theirs = tmp_path / ".gazecut-x.partial"
    theirs.mkdir()
    if "lock" in left:
        (theirs / "lock").write_text(workplace._domain(theirs) if "locked" in left else "")
    write(tmp_path)
    assert names(tmp_path) == {"masks", "masks.json", "run.json"}


def test_whoever_is_killed_while_removing_is_known_for_dead(tmp_path):
    """Killed before each of the steps in which a workplace is removed: what is left, the next run removes."""
    script = """
import os, shutil, signal, sys
from pathlib import Path
from gazecut import workplace
place = workplace.Workplace.within(Path(sys.argv[1]))
(place.fresh / "masks").mkdir()
(place.fresh / "masks" / "00000.png").write_text("")
(place.path / "run.json").write_text("")
place.begin_publishing().joinpath("masks.json").write_text("")
left = int(sys.argv[2])
def step(real):
    def counted(*arguments, **options):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return counted
os.unlink, os.rmdir, os.remove = step(os.unlink), step(os.rmdir), step(os.remove)
Path.unlink, Path.rmdir = step(Path.unlink), step(Path.rmdir)
place.remove()
"""
    killed = 0
    for steps in range(1, 30):
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path), str(steps)], check=False).returncode
        if done == 0:
            break
        assert done == -signal.SIGKILL
        killed += 1
        write(tmp_path)
        assert names(tmp_path) == {"masks", "masks.json", "run.json"}, f"killed before step {steps}"
    assert done == 0
    assert killed >= 8


def test_where_none_can_be_made_it_is_not_tried_for_ever(tmp_path, monkeypatch):
    real = Path.open

    def no_such_place(path, *arguments, **options):
        if path.name == "lock":
            raise FileNotFoundError(2, "No such file or directory", str(path))  # as Windows calls a path that is too long
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", no_such_place)
    with pytest.raises(FileNotFoundError):
        workplace.Workplace.within(tmp_path)
    assert names(tmp_path) == set()


def test_what_resists_is_tried_again_by_the_next_run(tmp_path, monkeypatch):
    place = workplace.Workplace.within(tmp_path)
    (place.fresh / "link").symlink_to(tmp_path)
    (place.path / "link").symlink_to(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *arguments, **options: None)
        place.remove()
    assert names(place.path) == {"lock", "new"}
    write(tmp_path)
    assert names(tmp_path) == {"masks", "masks.json", "run.json"}


@pytest.mark.parametrize("before", ["open", "mkdir"])
def test_one_that_is_taken_for_dead_while_it_begins_is_made_again(tmp_path, monkeypatch, before):
    real, taken = getattr(Path, before), []

    def sweeping_first(path, *arguments, **options):
        if path.parent.name.startswith(".gazecut-") and not taken:
            taken.append(path.parent)
            workplace._remove_bare(path.parent)
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, before, sweeping_first)
    place = workplace.Workplace.within(tmp_path)
    assert taken
    assert taken != [place.path]
    assert names(place.path) == {"lock", "new"}
    place.remove()
    assert names(tmp_path) == set()


def test_one_change_within_the_day_keeps_it(tmp_path):
    theirs = tmp_path / ".gazecut-x.partial"
    (theirs / "new").mkdir(parents=True)
    (theirs / "new" / "overlay.mp4").write_text("")
    age(theirs, 1e6)
    os.utime(theirs / "new" / "overlay.mp4")
    write(tmp_path)
    assert theirs.exists()


def test_without_locks_everything_works(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with staged(tmp_path) as folder:
        assert (folder.parent / "lock").read_text() == ""
    write(tmp_path, "first")
    monkeypatch.setattr(workplace, "fcntl", None)
    write(tmp_path, "second")
    assert names(tmp_path) == {"masks", "masks.json", "run.json"}


@pytest.mark.parametrize("moves", range(1, 7))
def test_killed_between_two_moves(tmp_path, moves):
    """Six moves: three old entries leave, three new ones come."""
    write(tmp_path, "old")
    killed = subprocess.run([sys.executable, "-c", PUBLISH, str(tmp_path), str(moves)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "run.json").exists() == (moves == 6), "a folder with a record is whole"
    if moves == 6:
        assert names(tmp_path) >= {"masks", "masks.json", "run.json"}
        assert (tmp_path / "masks.json").read_text() == "child"
    with pytest.raises(KeyError), staged(tmp_path):  # a run that fails in between does not make the mixture foreign
        raise KeyError
    write(tmp_path, "new")
    assert names(tmp_path) == {"masks", "masks.json", "run.json"}
    assert (tmp_path / "masks.json").read_text() == "new"


@pytest.mark.parametrize("moves", range(1, 7))
def test_of_a_run_that_was_killed_nothing_old_stays_beside_the_next_result(tmp_path, moves):
    """Six moves: four old entries leave, two of three new ones come; at the seventh the record is there."""
    write(tmp_path, "old")
    (tmp_path / "overlay.mp4").write_text("old")
    killed = subprocess.run([sys.executable, "-c", PUBLISH, str(tmp_path), str(moves)], check=False)
    assert killed.returncode == -signal.SIGKILL
    write(tmp_path, "new")
    assert names(tmp_path) == {"masks", "masks.json", "run.json"}, "an old overlay would lie"


def test_publishing_waits_for_its_turn(tmp_path):
    ended = threading.Event()

    def other() -> None:
        write(tmp_path, "other")
        ended.set()

    with in_turn(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        assert not ended.wait(0.3)
        assert not (tmp_path / "run.json").exists()
    thread.join()
    assert ended.is_set()
    assert (tmp_path / "run.json").exists()


def test_results_that_are_just_coming_in_are_not_taken_for_foreign(tmp_path, monkeypatch):
    """Another run publishes while its folder is looked at: no record yet at the first look, all files at the second."""
    first = threading.Event()
    real = Path.read_text

    def read_text(path, *arguments, **options):
        try:
            return real(path, *arguments, **options)
        finally:
            if path == tmp_path / "run.json" and not first.is_set():
                first.set()
                write(tmp_path, "other")

    monkeypatch.setattr(Path, "read_text", read_text)
    assert check_destination(tmp_path) == tmp_path
    assert first.is_set()
    assert "other" in (tmp_path / "run.json").read_text()


def test_many_at_once_leave_one_whole_result(tmp_path):
    threads = [threading.Thread(target=write, args=(tmp_path, str(number))) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(tmp_path) == {"masks", "masks.json", "run.json"}
    mark = (tmp_path / "masks.json").read_text()
    assert (tmp_path / "masks" / "00000.png").read_text() == mark
    assert f'"expression": "{mark}"' in (tmp_path / "run.json").read_text()
