"""Benchmarks do what they say, at sizes that take seconds; `run` is the command line."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

Load = Callable[[str], ModuleType]
Run = Callable[..., None]


def table(page: Path, first: str) -> list[list[str]]:
    """Cells of all rows, under any heading, whose first cell begins so."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.read_text(encoding="utf-8").splitlines()]
    return [cells for cells in rows if len(cells) > 1 and cells[0].startswith(first)]


def test_a_process_tells_time_and_memory(benchmark: Load, tmp_path: Path) -> None:
    watch = benchmark("watch")
    (tmp_path / "piped").write_bytes(b"12345")
    code = """
import sys
kept = b"x" * int(sys.argv[1])
tick()
assert sys.stdin.buffer.read() == b"12345"
assert not sys.stdin.seekable()
tick()
time.sleep(0.2)
tick()
print("more")
"""
    small, large = (watch.in_own_process(code, str(size), piped=tmp_path / "piped") for size in (1, 100 * 2**20))
    assert len(small.seconds) == len(small.processor) == 2
    assert small.seconds[1] >= 0.2 > small.processor[1]
    assert large.megabytes - small.megabytes == pytest.approx(100, abs=5)
    with pytest.raises(subprocess.CalledProcessError):
        watch.in_own_process("raise SystemExit(3)")


def test_objects_are_kept_apart_by_what_is_swapped(benchmark: Load) -> None:
    objects = benchmark("objects")
    usual, cases = objects.classical.Parting, [objects.crossing(objects.HELD_OUT)]
    apart, together = objects.score(cases, objects.Parting), objects.score(cases, objects.Together)
    assert apart > together + 0.1
    assert objects.classical.Parting is usual
    assert "| two | 1 | 0.900 | 0.600 |" in objects.report({"two": (1, 0.9, 0.6)})


@pytest.mark.slow
def test_clips(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    run("clips", "--frames", "12", "--kinds", "h264", "phone", "--output", str(page))
    rows = table(page, "h264.mp4") + table(page, "phone.mov")
    assert len(rows) == 2
    for _, opening, share, taking, peak, stacked, _, whole, most in rows:
        assert 0 < float(opening) < float(whole) > float(taking) > 0
        assert share.endswith("%")
        assert 30 < float(peak) < float(stacked) < float(most)


@pytest.mark.slow
def test_segment_keeps_the_other_scene(run: Run, tmp_path: Path) -> None:
    small = ["--side", "64", "--frames", "4", "--key-frames", "2", "--points", "2", "--output", str(tmp_path)]
    run("segment", *small, "--scenes", "apart")
    (before,) = [row for row in table(tmp_path / "segment.md", "apart") if row[1] == "ours"]
    run("segment", *small, "--scenes", "alike")
    (after,) = [row for row in table(tmp_path / "segment.md", "apart") if row[1] == "ours"]
    assert before == after
    assert len(table(tmp_path / "segment.md", "alike")) == 3


@pytest.mark.slow
def test_objects(run: Run, tmp_path: Path) -> None:
    run("objects", "--scenes", "1", "--output", str(tmp_path / "page.md"))
    (row,) = table(tmp_path / "page.md", "two objects that cross")
    assert 0 < float(row[3]) < float(row[2]) <= 1


@pytest.mark.slow
def test_memory(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    run("memory", "--frames", "12", "--ways", "windows", "stream", "--output", str(page))
    assert "`python benchmarks/memory.py --frames 12 --ways windows stream`" in page.read_text(encoding="utf-8")
    (windows,), (stream,) = table(page, "windows"), table(page, "stream")
    assert windows[1] == stream[1] == "12"
    assert windows[4] == stream[4], "the same masks"
    assert all(200 < float(row[3]) < 2000 for row in (windows, stream))


@pytest.mark.slow
def test_long_clips(run: Run, benchmark: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long_clips, page = benchmark("long_clips"), tmp_path / "page.md"
    monkeypatch.setattr(long_clips, "LENGTH", 160)
    monkeypatch.setattr(long_clips, "SEEN", range(50, 60))
    monkeypatch.setattr(long_clips, "STREAMED", (70,))
    run("long_clips", "--scenes", "1", "--ways", "1", "--set", "segmenter=attention", "--output", str(page))
    (row,) = table(page, "windows of 64")
    assert row[1] in ("0 of 1", "1 of 1")
    assert 0 <= float(row[2]) <= 1
    assert table(page, "70") == [["70", "65"]], "a window, and the frame that shows that it is complete"


@pytest.mark.slow
def test_pocket_sam(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    run("pocket_sam", "--scenes", "2", "--recipe-scenes", "1", "--output", str(page))
    assert "nan" not in page.read_text(encoding="utf-8")
    (clicked,) = table(page, "click, random: median IoU")
    assert all(0.5 < float(cell.split()[0]) <= 1 for cell in clicked[2:])
    assert all(len(table(page, name)) == 1 for name in ("pocket SAM 2", "`classical`", "`attention`"))


@pytest.mark.slow
def test_pocket(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    run("pocket", "--scenes", "1", "--random-scenes", "1", "--output", str(page))
    trained, random = (row for row in table(page, "all") if row[0] == "all")
    assert trained[1] == random[1] == "2"
    assert float(trained[2]) > float(random[2]) == 0, "the random model answers nothing"


@pytest.mark.slow
def test_train_step(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    run("train_step", "--tokens", "64", "--output", str(page))
    rows = table(page, "before-")
    assert [row[:2] for row in rows] == [["before-text", "64"], ["before-vision", "64"]]
    assert all(float(row[4]) > 0 for row in rows)


@pytest.mark.slow
def test_rollout(run: Run, benchmark: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rollout = benchmark("rollout")
    monkeypatch.setattr(rollout, "BOTH", (256,))
    monkeypatch.setattr(rollout, "OURS", (256, 512))
    monkeypatch.setattr(rollout, "GRADIENT", (256, 512))
    monkeypatch.setattr(rollout, "TRUNK", 512)
    run("rollout", "--rounds", "1", "--threads", "1", "--output", str(tmp_path))
    assert [row[0] for row in table(tmp_path / "rollout.md", "")[2:]] == ["256", "512"]
    assert len(json.loads((tmp_path / "rollout.json").read_text())["results"]) == 6
    assert (tmp_path / "rollout.png").stat().st_size > 1000


@pytest.mark.slow
def test_session(run: Run, benchmark: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark("session"), "CHANGES", {"scorer": "scorer.keep.above=0.7"})
    run("session", "--rounds", "1", "--expressions", "2", "--output", str(tmp_path))
    medians = json.loads((tmp_path / "session.json").read_text())["medians"]
    assert medians["together 2"]["prefills"] < medians["one by one 2"]["prefills"]
    assert medians["together 2"]["prompt_tokens"] < medians["one by one 2"]["prompt_tokens"]
    assert [row[0] for row in table(tmp_path / "session.md", "from Python")] == ["from Python, in a fresh process"]
    assert (tmp_path / "session.png").stat().st_size > 1000


@pytest.mark.slow
def test_steerseg_trains_what_is_missing(run: Run, benchmark: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steerseg, page, prompts = benchmark("steerseg"), tmp_path / "page.md", tmp_path / "prompts"
    small = {"steps": 2, "batch": 1, "expressions": 1, "frames": 1, "warmup": 1, "validation": 1, "validate_every": 1}
    monkeypatch.setattr(steerseg, "TRAINING", steerseg.TRAINING | small)
    monkeypatch.setattr(steerseg, "SELECTIONS", {"argmax, pearson": steerseg.SELECTIONS["argmax, pearson"]})
    run("steerseg", "--scenes", "1", "--tokens", "2", "--train", "--prompts", str(prompts), "--output", str(page))
    assert sorted(path.name for path in prompts.iterdir()) == ["seed-1", "tokens-2"]
    assert not re.search("nan|not trained", page.read_text(encoding="utf-8"))
    assert len(table(page, "yes, another seed")) == len(table(page, "before training")) == 2
    assert [row[0] for row in table(page, "2")] == ["2"]

    trained, unfinished = prompts / "tokens-2", prompts / "tokens-2.unfinished"
    before = (trained / "frame" / "adapter_model.safetensors").read_bytes()
    trained.rename(unfinished)  # as if it had been interrupted at its end: there is nothing left to learn
    assert steerseg._trained(argparse.Namespace(prompts=prompts, train=True), "tokens-2", tokens=2) == str(trained)
    assert (trained / "frame" / "adapter_model.safetensors").read_bytes() == before
    assert not unfinished.exists()


def test_steerseg_looks_for_soft_prompts_in_the_folder_alone(
    benchmark: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_soft_prompts: Callable[..., Path]
) -> None:
    import huggingface_hub

    steerseg = benchmark("steerseg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("the hub was asked"))
    arguments = argparse.Namespace(prompts=Path("mine"), train=False)  # mine/tokens-4 could be the id of something on the hub
    assert steerseg._trained(arguments, "tokens-4", tokens=4) is None
    (tmp_path / "mine").mkdir()
    make_soft_prompts().rename(tmp_path / "mine" / "tokens-4")
    assert steerseg._trained(arguments, "tokens-4", tokens=4) == str(tmp_path / "mine" / "tokens-4")
    found: np.ndarray = steerseg.load_soft_prompt(tmp_path / "mine" / "tokens-4" / "frame").embeddings
    assert found.shape == (4, 8)
