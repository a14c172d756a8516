"""What may lie in a destination: nothing, an earlier result, or anything at all where it is forced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gazecut.contents import RESULT, SCENE, foreign_entries
from gazecut.errors import OutputError
from gazecut.output import check_destination, staged

RESULT_RECORD = {"expression": "a", "recipe": {}, "components": [{"kind": "exporter", "distribution": "gazecut"}]}
SCENE_RECORD = {"seed": 1, "background": "grey", "objects": [], "expressions": []}


def result(folder: Path, **changes: object) -> Path:
    (folder / "masks").mkdir(parents=True)
    (folder / "evidence").mkdir()
    (folder / "masks.json").write_text("{}")
    (folder / "overlay.mp4").write_text("")
    (folder / "run.json").write_text(json.dumps({**RESULT_RECORD, **changes}))
    return folder


def scene(folder: Path) -> Path:
    (folder / "masks").mkdir(parents=True)
    (folder / "frames").mkdir()
    (folder / "clip.mp4").write_text("")
    (folder / "scene.json").write_text(json.dumps(SCENE_RECORD))
    return folder


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")


def test_new_empty_and_earlier_results_are_fine(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "new", tmp_path / "empty", result(tmp_path / "result"), scene(tmp_path / "scene"), tmp_path):
        assert check_destination(folder) == folder


def test_a_demo_and_results_of_several_expressions_are_fine(tmp_path):
    scene(result(tmp_path / "demo") / "sample")
    result(tmp_path / "out" / "the-red-circle")
    result(tmp_path / "out" / "the-star")
    (tmp_path / "out" / ".DS_Store").write_text("")
    (tmp_path / "out" / "just-made").mkdir()
    assert foreign_entries(tmp_path / "demo") == foreign_entries(tmp_path / "out") == []


def test_what_looks_like_ours_without_a_record_is_not_ours(tmp_path):
    for name in sorted(RESULT.entries | SCENE.entries):
        touch(tmp_path / name)
    assert foreign_entries(tmp_path) == sorted(RESULT.entries | SCENE.entries)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"expression": "a"}', "\ud800", "[" * 100_000])
def test_a_record_of_others_is_none(tmp_path, text):
    (tmp_path / "run.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert foreign_entries(tmp_path) == ["run.json"]


def test_other_files_beside_an_earlier_result_are_foreign(tmp_path):
    touch(result(tmp_path) / "notes.txt", tmp_path / "photos" / "me.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "masks")
    assert foreign_entries(tmp_path) == ["link/", "notes.txt", "photos/"]


def test_exporters_of_others_may_have_written_any_name(tmp_path):
    touch(result(tmp_path, components=[{"kind": "exporter", "distribution": "gazecut-csv"}]) / "table.csv")
    assert foreign_entries(tmp_path) == []


@pytest.mark.parametrize("components", [None, 3, "exporter", ["exporter"], {"kind": "exporter"}])
def test_a_record_that_somebody_edited_is_still_a_record(tmp_path, components):
    touch(result(tmp_path, components=components) / "table.csv")
    assert foreign_entries(tmp_path) == ["table.csv"]


def test_the_refusal_names_the_first_entries_and_what_to_do(tmp_path):
    touch(*(tmp_path / f"{letter}.txt" for letter in "gfedcba"))
    message = (
        f'cannot write results to "{tmp_path}": it holds a.txt, b.txt, c.txt, d.txt, e.txt and 2 more, which Gazecut did not write; '
        "wanted a folder that is new, empty or holds earlier results. "
        "Give another folder, or --force (in Python force=True) to write among them."
    )
    with pytest.raises(OutputError) as caught:
        check_destination(tmp_path)
    assert str(caught.value) == message
    with pytest.raises(OutputError), staged(tmp_path):
        raise AssertionError("no work may begin")
    assert check_destination(tmp_path, force=True) == tmp_path


def test_a_mixture_that_a_killed_run_left_is_ours(tmp_path):
    touch(tmp_path / "masks" / "00000.png", tmp_path / "overlay.mp4")
    assert foreign_entries(tmp_path) == ["masks/", "overlay.mp4"]
    (tmp_path / ".gazecut-x.partial" / "replaced").mkdir(parents=True)
    assert foreign_entries(tmp_path) == []
    touch(tmp_path / "notes.txt")
    assert foreign_entries(tmp_path) == ["notes.txt"]
