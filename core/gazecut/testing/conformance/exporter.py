"""Rules for exporters."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gazecut.errors import ClipError, GazecutError
from gazecut.optional import StretchExporter
from gazecut.output import export_result
from gazecut.protocols import Clip, Exporter
from gazecut.result import Result
from gazecut.stretch import Stretch
from gazecut.testing import samples
from gazecut.testing.compare import fingerprint
from gazecut.testing.conformance.base import Conformance

Files = dict[str, str]
OTHERS = "evidence/of-another-exporter.txt"


class ExporterConformance(Conformance[Exporter]):
    """What an exporter keeps to: the same files for the same result, in its folder, and errors that come out."""

    kind = "exporter"

    def test_something_is_written(self, tmp_path: Path) -> None:
        """A result gives at least one file, and none is empty."""
        files = self._export(samples.result(), tmp_path / "out")
        empty = sorted(name for name in files if not (tmp_path / "out" / name).stat().st_size)
        self.require(bool(files) and not empty, f"{len(files)} files, empty ones: {empty}", "one or more, with something in them")

    def test_nothing_is_written_elsewhere(self, tmp_path: Path) -> None:
        """It writes inside the folder that it is given, and nowhere else."""
        around = tmp_path / "around"
        here = around / "here"
        here.mkdir(parents=True)
        with contextlib.chdir(here):
            self._export(samples.result(), around / "out")
        outside = sorted(name for name in _files(around) if not name.startswith("out/"))
        self.require(not outside, f"{outside} beside the folder or in the working directory", "files in the folder alone")

    def test_files_of_others_stay(self, tmp_path: Path) -> None:
        """What other exporters wrote into the folder stays as it is."""
        other = tmp_path / "out" / OTHERS
        other.parent.mkdir(parents=True)
        other.write_text("theirs", encoding="utf-8")
        before = _files(tmp_path / "out")[OTHERS]
        after = self._export(samples.result(), tmp_path / "out").get(OTHERS)
        self.require(after == before, f"{OTHERS} {'changed' if after else 'is gone'}", "its own files only")

    def test_same_result_gives_same_files(self, tmp_path: Path) -> None:
        """The same result gives the same files, byte for byte, whatever was written in between."""
        first = self._export(samples.result(), tmp_path / "first")
        self._export(samples.result(objects=1), tmp_path / "between")
        second = self._export(samples.result(), tmp_path / "second")
        differing = sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
        self.require(not differing, f"{differing} differ", "the same bytes: no time, no random names, a fixed order")

    def test_nothing_found_is_written_too(self, tmp_path: Path) -> None:
        """A result without objects, tracklets and points is written like any other."""
        files = self._export(samples.result(objects=0), tmp_path / "out")
        self.require(bool(files), "no files", "one or more")

    @pytest.mark.parametrize(("frames", "size"), [(1, (64, 80)), (3, (37, 91)), (2, (1, 1)), (2, (5, 300))])
    def test_any_size_is_written(self, tmp_path: Path, frames: int, size: tuple[int, int]) -> None:
        """One frame, odd, long and tiny frames are written."""
        files = self._export(samples.result(frames=frames, size=size), tmp_path / "out")
        self.require(bool(files), f"no files for {frames} frames of {size}", "one or more")

    def test_missing_views_are_left_out(self, tmp_path: Path) -> None:
        """A result of given maps, without single views, answers and category, is written."""
        result = samples.result()
        bare = replace(result, heatmaps=replace(result.heatmaps, video=None, frame=None), answers=(), category=None, expression="")
        self.require(bool(self._export(bare, tmp_path / "out")), "no files", "one or more")

    def test_a_clip_that_breaks_is_not_hidden(self, tmp_path: Path) -> None:
        """An error of the clip comes out, so that no half result is taken for a whole one."""
        clip = _BrokenClip(samples.result().clip)
        try:
            self._export(replace(samples.result(), clip=clip), tmp_path / "out")
        except GazecutError:
            return
        self.require(not clip.asked, "frames could not be decoded, and nobody was told", "the ClipError, or another GazecutError from it")

    def test_a_disk_that_refuses_is_not_hidden(self, tmp_path: Path) -> None:
        """An error of the disk comes out, as OSError or OutputError."""
        try:
            export_result(samples.result(), [self.built()], tmp_path / "is" / "not" / "there")
        except (OSError, GazecutError):
            return
        self.require(False, "writing into a folder that is not there went well", "an error")

    def test_input_is_unchanged(self, tmp_path: Path) -> None:
        """The result stays as it is."""
        result = samples.result()
        before = fingerprint(result, "result")
        self._export(result, tmp_path / "out")
        self.unchanged(before, result, "result")

    def test_stretches_need_nothing_of_each_other(self, tmp_path: Path) -> None:
        """The files are the same whether those of earlier stretches are in the folder or not, and no stretch decodes frames of others."""
        together, result = tmp_path / "together", samples.result()
        apart = [tmp_path / "apart" / str(number) for number in range(3)]
        for stretch, folder in zip(_as_they_come(result), apart, strict=True):
            self._export_stretch(stretch, together)
            self._export_stretch(stretch, folder)
        alone: Files = {}
        for folder in apart:
            alone |= _files(folder)
        differing = sorted(name for name in {*alone, *_files(together)} if alone.get(name) != _files(together).get(name))
        self.require(not differing, f"{differing} differ", "files that are made of one stretch alone")

    def test_stretches_of_several_results_may_alternate(self, tmp_path: Path) -> None:
        """Two results that are written at the same time come out as if they were written one after the other."""
        results = {"one": samples.result(), "other": samples.result(objects=1, size=(48, 48))}
        for name, result in results.items():
            for stretch in _as_they_come(result):
                self._export_stretch(stretch, tmp_path / "in turn" / name)
        for pair in zip(*map(_as_they_come, results.values()), strict=True):
            for name, stretch in zip(results, pair, strict=True):
                self._export_stretch(stretch, tmp_path / "at once" / name)
        before, after = _files(tmp_path / "in turn"), _files(tmp_path / "at once")
        differing = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
        self.require(not differing, f"{differing} differ", "an exporter that keeps nothing from call to call")

    def test_stretches_give_the_files_of_the_whole(self, tmp_path: Path) -> None:
        """However a clip comes in stretches, the same files are written in the end."""
        whole = self._export(samples.result(), tmp_path / "whole")
        for stretch in _as_they_come(samples.result()):
            self._export_stretch(stretch, tmp_path / "parts")
        self.built().export(samples.result(), tmp_path / "parts")
        parts = _files(tmp_path / "parts")
        differing = sorted({*whole} ^ {*parts})
        self.require(not differing, f"{differing} are there once", "the same names")

    def test_what_stretches_wrote_is_not_changed_in_place(self, tmp_path: Path) -> None:
        """The end removes or replaces files of stretches, or leaves them: whoever looks at them sees them whole at any moment."""
        folder, kept, result = tmp_path / "out", tmp_path / "kept", samples.result()
        for stretch in _as_they_come(result):
            self._export_stretch(stretch, folder)
        shutil.copytree(folder, kept, copy_function=os.link)
        before = _files(kept)
        self.built().export(result, folder)
        changed = sorted(name for name, found in _files(kept).items() if before[name] != found)
        self.require(not changed, f"{changed} changed under the eyes of who has them open", "new files, moved over the old ones")

    def _export(self, result: Result, folder: Path) -> Files:
        folder.mkdir(parents=True, exist_ok=True)
        export_result(result, [self.built()], folder)
        return _files(folder)

    def _export_stretch(self, stretch: Stretch, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        exporter = self.built()
        if isinstance(exporter, StretchExporter):
            exporter.export_stretch(stretch, folder)


def _as_they_come(result: Result) -> list[Stretch]:
    """Three stretches of a result of four frames, the clip of each with its own frames alone."""
    cut = samples.stretches(result, 1, 3)
    return [replace(stretch, clip=_PassingClip(stretch.clip, stretch.frames)) for stretch in cut]


class _PassingClip:
    """A clip of which only some frames are at hand."""

    def __init__(self, clip: Clip, frames: range) -> None:
        self.name, self.length, self.fps, self.size = clip.name, frames.stop, clip.fps, clip.size
        self._clip, self._frames = clip, frames

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        wanted = list(range(self.length) if indices is None else indices)
        if not set(wanted) <= set(self._frames):
            raise ClipError(f"{self.name}: frames {wanted} were asked for, of which not all are at hand.")
        return self._clip.frames(wanted)


class _BrokenClip:
    """A clip whose second frame cannot be decoded."""

    def __init__(self, clip: Clip) -> None:
        self.name, self.length, self.fps, self.size = "broken", clip.length, clip.fps, clip.size
        self.asked = False
        self._clip = clip

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        self.asked = True
        yield next(self._clip.frames(indices))
        raise ClipError("broken: frame 1 cannot be decoded.")


def _files(folder: Path) -> Files:
    """Digests of all files in a folder, by path below it."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}
