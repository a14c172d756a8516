"""Output that grows: valid at any moment, replaced as a whole, one run at a time."""

from __future__ import annotations

import errno
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gazecut import partial, workplace
from gazecut.contents import foreign_entries
from gazecut.errors import OutputError
from gazecut.output import check_destination, staged, write_output
from gazecut.partial import growing
from gazecut.result import Result
from gazecut.stretch import Stretch
from gazecut.testing import samples

ABOUT = {"expression": "the square", "recipe": {"name": "fake"}}
RECORD = json.dumps({"expression": "old", "recipe": {}, "components": []})


class FramesExporter:
    """A file per frame, and one of the whole."""

    def __init__(self, fails_at: int | None = None, error: BaseException | None = None) -> None:
        self._fails_at, self._error = fails_at, error

    def export_stretch(self, stretch: Stretch, folder: Path) -> None:
        (folder / "masks").mkdir(exist_ok=True)
        for frame in stretch.frames:
            if frame == self._fails_at and self._error:
                raise self._error
            (folder / "masks" / f"{frame}.txt").write_text(f"frame {frame}")

    def export(self, result: Result, folder: Path) -> None:
        if self._error and self._fails_at is None:
            raise self._error
        count = len(list((folder / "masks").iterdir()))
        (folder / "run.json").write_text(json.dumps({"expression": result.expression, "recipe": {}, "components": [], "frames": count}))


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def done(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "partial" / "partial.json").read_text())
    return record


def complete(destination: Path, exporter: FramesExporter | None = None, stretches: int = 3, force: bool = False) -> None:
    """A run of three stretches, 0, 1 to 2 and 3, or of the first of them."""
    with growing(destination, [exporter or FramesExporter()], ABOUT, force=force) as output:
        for stretch in samples.stretches(samples.result(), 1, 3)[:stretches]:
            output.add(stretch)
        output.finish(samples.result())


class Interrupting(FramesExporter):
    """Ends a run as Ctrl-C does."""

    def __init__(self) -> None:
        super().__init__(error=KeyboardInterrupt())


def interrupted(destination: Path, stretches: int) -> None:
    """A run that ends before its time, after so many stretches."""
    with pytest.raises(KeyboardInterrupt):
        complete(destination, Interrupting(), stretches)


def earlier(folder: Path) -> Path:
    (folder / "masks").mkdir(parents=True)
    (folder / "masks" / "old.txt").write_text("old")
    (folder / "run.json").write_text(RECORD)
    return folder


WHOLE = ["masks/0.txt", "masks/1.txt", "masks/2.txt", "masks/3.txt", "run.json"]


def test_it_grows_in_sight_and_takes_its_place_at_the_end(tmp_path: Path) -> None:
    earlier(tmp_path)
    seen = []
    with growing(tmp_path, [FramesExporter()], ABOUT) as output:
        for stretch in samples.stretches(samples.result(), 1, 3):
            output.add(stretch)
            seen.append((done(tmp_path), [name for name in tree(tmp_path / "partial") if name.startswith("masks")]))
            assert (tmp_path / "run.json").read_text() == RECORD
        output.finish(samples.result())
    assert [record for record, _ in seen] == [{**ABOUT, "frames_done": frames} for frames in (1, 3, 4)]
    assert [len(names) for _, names in seen] == [1, 3, 4]
    assert tree(tmp_path) == WHOLE
    assert json.loads((tmp_path / "run.json").read_text())["frames"] == 4


@pytest.mark.parametrize("stretches", [1, 2, 3])
def test_what_an_interruption_leaves_is_valid_and_the_earlier_result_stays(tmp_path: Path, stretches: int) -> None:
    earlier(tmp_path)
    interrupted(tmp_path, stretches)
    frames = (1, 3, 4)[stretches - 1]
    assert done(tmp_path)["frames_done"] == frames
    assert tree(tmp_path) == [
        "masks/old.txt",
        *(f"partial/masks/{frame}.txt" for frame in range(frames)),
        "partial/partial.json",
        "run.json",
    ]
    assert check_destination(tmp_path) == tmp_path
    complete(tmp_path)
    assert tree(tmp_path) == WHOLE


def test_before_the_first_stretch_nothing_is_left(tmp_path: Path) -> None:
    interrupted(tmp_path / "deep" / "out", 0)
    assert list(tmp_path.iterdir()) == []


def test_what_was_left_stays_until_there_is_something_to_replace_it(tmp_path: Path) -> None:
    interrupted(tmp_path, 3)
    interrupted(tmp_path, 0)
    assert done(tmp_path)["frames_done"] == 4
    interrupted(tmp_path, 1)
    assert tree(tmp_path) == ["partial/masks/0.txt", "partial/partial.json"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt(), ValueError("a plugin's own")])
def test_a_stretch_that_fails_half_way_leaves_no_half(tmp_path: Path, error: BaseException) -> None:
    exporter = FramesExporter(fails_at=2, error=error)
    with pytest.raises((OutputError, type(error))):
        complete(tmp_path, exporter)
    assert tree(tmp_path) == ["partial/masks/0.txt", "partial/partial.json"]
    assert done(tmp_path)["frames_done"] == 1


def test_an_end_that_fails_leaves_all_stretches(tmp_path: Path) -> None:
    earlier(tmp_path)
    exporter = FramesExporter(error=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(OutputError, match="No space left on device; make room"):
        complete(tmp_path, exporter)
    assert done(tmp_path)["frames_done"] == 4
    assert (tmp_path / "run.json").read_text() == RECORD


def test_without_links_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(partial.os, "link", refuse)
    complete(tmp_path)
    assert tree(tmp_path) == WHOLE


def test_a_second_run_is_refused(tmp_path: Path) -> None:
    message = f'cannot write results to "{tmp_path}": another run is writing there right now. Wait for its end, or give another folder.'
    with growing(tmp_path, [FramesExporter()], ABOUT) as output:
        output.add(samples.stretches(samples.result(), 1)[0])
        for force in (False, True):
            with pytest.raises(OutputError, match=re.escape(message)):
                complete(tmp_path, force=force)
        with pytest.raises(OutputError, match=re.escape(message)):
            write_output(samples.result(), tmp_path, [FramesExporter()])
        with pytest.raises(OutputError, match=re.escape(message)):
            check_destination(tmp_path)
        assert done(tmp_path)["frames_done"] == 1
    complete(tmp_path)


def test_a_run_that_began_at_the_same_time_is_refused(tmp_path: Path) -> None:
    """Its folder is there, and as yet without a record that the check could know it by."""
    message = "another run is writing there right now"
    with growing(tmp_path, [FramesExporter()], ABOUT), pytest.raises(OutputError, match=message):
        complete(tmp_path)
    complete(tmp_path)


def test_where_there_are_no_locks_it_works_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(workplace.fcntl, "flock", refuse)
    complete(tmp_path / "refusing")
    monkeypatch.setattr(workplace, "fcntl", None)
    complete(tmp_path / "windows")
    assert tree(tmp_path / "refusing") == tree(tmp_path / "windows") == WHOLE


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_others_call_partial_is_never_touched(tmp_path: Path, kind: str) -> None:
    theirs, place = tmp_path / "theirs", tmp_path / "out" / "partial"
    for folder in (theirs, place.parent):
        folder.mkdir()
    (theirs / "thesis.txt").write_text("mine")
    if kind == "folder":
        theirs.rename(place)
    elif kind == "file":
        place.write_text("mine")
    else:
        place.symlink_to(theirs)
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=r"it holds partial"):
        complete(tmp_path / "out")
    with pytest.raises(OutputError, match=r'partial" is in the way, which Gazecut did not write, and where the result would grow. Move it'):
        complete(tmp_path / "out", force=True)
    write_output(replace(samples.result()), tmp_path / "out", [FramesExporter()], force=True)
    assert sorted(set(tree(tmp_path)) - {f"out/{name}" for name in WHOLE}) == before


def test_partial_results_are_known_as_our_own(tmp_path: Path) -> None:
    interrupted(tmp_path / "out" / "the-dog", 2)
    assert foreign_entries(tmp_path / "out") == foreign_entries(tmp_path / "out" / "the-dog") == []
    assert foreign_entries(tmp_path / "out" / "the-dog" / "partial") == ["masks/", "partial.json"], "nothing is written into it"


def test_a_whole_result_removes_what_an_interrupted_run_left(tmp_path: Path) -> None:
    interrupted(tmp_path, 2)
    with pytest.raises(KeyError), staged(tmp_path):
        raise KeyError
    assert done(tmp_path)["frames_done"] == 3
    write_output(samples.result(), tmp_path, [FramesExporter()])
    assert tree(tmp_path) == WHOLE
    assert not (tmp_path / "partial").exists()
