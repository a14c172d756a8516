"""Atomic output: everything or nothing, whatever goes wrong."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path

import pytest

from gazecut import output
from gazecut.errors import OutputError
from gazecut.output import check_destination, staged, write_output


def tree(folder: Path) -> dict[str, str]:
    """Contents of all files; of a record, its expression."""
    files = {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: json.loads(text)["expression"] if name.endswith("run.json") and text else text for name, text in files.items()}


def record(mark: str) -> str:
    return json.dumps({"expression": mark, "recipe": {}, "components": []})


def fill(folder: Path, mark: str, masks: int) -> None:
    (folder / "masks").mkdir(parents=True)
    for number in range(masks):
        (folder / "masks" / f"{number:05d}.png").write_text(mark)
    (folder / "run.json").write_text(record(mark))


def run(destination: Path, error: BaseException) -> None:
    with staged(destination) as folder:
        fill(folder, "half", 1)
        raise error


class WritesExporter:
    def __init__(self, name: str, error: BaseException | None = None) -> None:
        self._name, self._error = name, error

    def export(self, result: object, folder: Path) -> None:
        (folder / self._name).write_text(str(result))
        if self._error:
            raise self._error


def test_a_new_folder_appears_whole(tmp_path):
    destination = tmp_path / "deep" / "out"
    with staged(destination) as folder:
        fill(folder, "new", 2)
        assert list(destination.iterdir()) == [folder.parent]
        assert folder.parent.name.startswith("."), "an unfinished run hides"
    assert tree(destination) == {"masks/00000.png": "new", "masks/00001.png": "new", "run.json": "new"}
    assert {entry.name for entry in destination.iterdir()} == {"masks", "run.json"}


def test_a_later_run_replaces_an_earlier_one_whole(tmp_path):
    fill(tmp_path, "old", 5)
    (tmp_path / "overlay.mp4").write_text("old")
    with staged(tmp_path) as folder:
        fill(folder, "new", 2)
    assert tree(tmp_path) == {"masks/00000.png": "new", "masks/00001.png": "new", "run.json": "new"}, "an old overlay would lie"


def test_forced_in_among_other_files_it_replaces_namesakes_alone(tmp_path):
    (tmp_path / "overlay.mp4").write_text("mine")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "truth.png").write_text("mine")
    with staged(tmp_path, force=True) as folder:
        fill(folder, "new", 1)
    assert tree(tmp_path) == {"masks/00000.png": "new", "overlay.mp4": "mine", "run.json": "new"}


def test_a_file_may_take_the_place_of_a_folder_and_the_other_way_round(tmp_path):
    (tmp_path / "masks").write_text("a file")
    (tmp_path / "run.json").mkdir()
    with staged(tmp_path, force=True) as folder:
        fill(folder, "new", 1)
    assert tree(tmp_path) == {"masks/00000.png": "new", "run.json": "new"}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), RuntimeError("boom"), OutputError("no")])
def test_an_interrupted_run_leaves_what_was_there(tmp_path, error):
    fill(tmp_path / "out", "old", 3)
    before = tree(tmp_path / "out")
    with pytest.raises(type(error)):
        run(tmp_path / "out", error)
    assert tree(tmp_path / "out") == before
    with pytest.raises(type(error)):
        run(tmp_path / "fresh" / "out", error)
    assert not (tmp_path / "fresh").exists(), "folders made for a run that failed go with it"


def test_a_failure_between_two_moves_is_undone(tmp_path, monkeypatch):
    fill(tmp_path, "old", 3)
    before = tree(tmp_path)
    real = Path.replace
    for fails_at in range(4):
        calls = iter(range(100))

        def replace(source, target, calls=calls, fails_at=fails_at):
            if next(calls) == fails_at:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(source, target)

        monkeypatch.setattr(Path, "replace", replace)
        with pytest.raises(OutputError, match="No space left on device; make room or give another folder"), staged(tmp_path) as folder:
            fill(folder, "new", 1)
        assert tree(tmp_path) == before, f"move {fails_at}"
        assert {entry.name for entry in tmp_path.iterdir()} == {"masks", "run.json"}


@pytest.mark.parametrize("moves", range(1, 5))
def test_an_interruption_right_after_a_move_is_undone(tmp_path, monkeypatch, moves):
    """Ctrl-C that comes while the system moves a file is raised after that move."""
    fill(tmp_path, "old", 3)
    before = tree(tmp_path)
    real, left = Path.replace, [moves]

    def replace(source, target):
        real(source, target)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(KeyboardInterrupt), staged(tmp_path) as folder:
        fill(folder, "new", 1)
    assert tree(tmp_path) == before
    assert {entry.name for entry in tmp_path.iterdir()} == {"masks", "run.json"}


def test_runs_into_one_folder_end_one_after_the_other(tmp_path):
    with staged(tmp_path) as first, staged(tmp_path) as second:
        assert first != second
        fill(first, "first", 3)
        fill(second, "second", 1)
    assert tree(tmp_path)["run.json"] == "first", "whoever ends last stays, whole"
    assert [name for name in tree(tmp_path) if name.startswith("masks")] == [f"masks/{number:05d}.png" for number in range(3)]


def test_the_record_leaves_first_and_comes_last(tmp_path, monkeypatch):
    fill(tmp_path, "old", 2)
    real, whole = Path.replace, []

    def replace(source, target):
        real(source, target)
        whole.append((tmp_path / "run.json").exists())

    monkeypatch.setattr(Path, "replace", replace)
    with staged(tmp_path) as folder:
        fill(folder, "new", 2)
        (folder / "zebra").write_text("after run.json in the alphabet")
    assert whole == [False, False, False, False, True]


def test_exporters_run_in_order_and_together(tmp_path):
    assert write_output("value", str(tmp_path / "out"), [WritesExporter("a"), WritesExporter("b")]) == tmp_path / "out"
    assert tree(tmp_path / "out") == {"a": "value", "b": "value"}
    with pytest.raises(OutputError, match="it holds a, b, which Gazecut did not write"):
        write_output("later", tmp_path / "out", [WritesExporter("a")])
    with pytest.raises(OutputError, match="disk on fire"):
        write_output("later", tmp_path / "out", [WritesExporter("a"), WritesExporter("c", OSError("disk on fire"))], force=True)
    assert tree(tmp_path / "out") == {"a": "value", "b": "value"}


def test_a_destination_that_is_a_file_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("content")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    cases = [
        ("file", '"{}" is a file; give the path of a folder, which may be new.'),
        ("file/below/it", 'below/it" lies below "{}", which is a file'),
        ("link", "is a link that leads nowhere"),
    ]
    for name, message in cases:
        pattern = re.escape(message.format(tmp_path / "file"))
        with pytest.raises(OutputError, match=pattern):
            check_destination(tmp_path / name)
        with pytest.raises(OutputError, match=pattern), staged(tmp_path / name):
            raise AssertionError("no work may begin")
    assert (tmp_path / "file").read_text() == "content"


def test_a_good_destination_is_not_made_by_the_check(tmp_path, monkeypatch):
    assert check_destination(str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert check_destination(tmp_path / "link") == tmp_path / "link"
    monkeypatch.chdir(tmp_path)
    assert check_destination("relative/out") == Path("relative/out")


def test_a_folder_that_must_not_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(output.os, "access", lambda path, mode: Path(path) != tmp_path)  # root may write anywhere
    with pytest.raises(OutputError, match=r'cannot write results to ".*out": ".*" is not writable; give another folder'):
        check_destination(tmp_path / "out")


def test_names_that_no_file_system_takes(tmp_path):
    with pytest.raises(OutputError, match="File name too long; give a shorter path"):
        check_destination(tmp_path / ("a" * 300) / "out")
    with pytest.raises(OutputError, match="embedded null byte"):
        check_destination(f"{tmp_path}/a\0b")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(OutputError, match="Too many levels of symbolic links"):
        check_destination(tmp_path / "circle" / "out")


REFUSALS = [
    (errno.ENOSPC, "No space left on device; make room or give another folder, and run again."),
    (errno.EDQUOT, "Disk quota exceeded; make room or give another folder, and run again."),
    (errno.EROFS, "Read-only file system; give another folder or change its permissions."),
    (errno.EACCES, "Permission denied; give another folder or change its permissions."),
    (errno.EIO, "Input/output error; give another folder, and run again."),
]


@pytest.mark.parametrize(("number", "words"), REFUSALS)
@pytest.mark.parametrize("call", ["mkdir", "write_text"])
def test_what_the_system_refuses_is_said_with_a_next_step(tmp_path, monkeypatch, number, words, call):
    fill(tmp_path / "earlier", "old", 1)
    before = tree(tmp_path)

    def refuse(*arguments, **options):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(Path, call, refuse)
        with pytest.raises(OutputError) as caught:
            write_output("value", tmp_path / "out", [WritesExporter("a")])
    assert str(caught.value) == f'cannot write results to "{tmp_path / "out"}": {words}'
    assert tree(tmp_path) == before
    assert not (tmp_path / "out").exists()
