"""Output that grows while its clip is still being looked at, and stays where it is when the run is interrupted.

It stands in the folder `partial/` of the destination, where every file is whole at any moment: exporters write into a hidden folder,
and what they have finished moves from there. A record says how many frames are done, and is written after their files. An earlier
result stays beside it until the new one is complete and takes its place.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gazecut.contents import PARTIAL, PARTIAL_NAME, is_partial
from gazecut.errors import OutputError
from gazecut.interrupts import exposed, shielded
from gazecut.optional import StretchExporter
from gazecut.output import at_work, check_destination, company, publish, refusing
from gazecut.protocols import Exporter
from gazecut.workplace import Workplace, held

if TYPE_CHECKING:
    from gazecut.result import Result
    from gazecut.stretch import Stretch


class PartialOutput:
    """The growing output of one expression.

    Attributes:
        folder: Where it stands.
        frames_done: Frames, from the first, whose files are there.
    """

    def __init__(self, destination: Path, workplace: Workplace, exporters: Sequence[Exporter], about: Mapping[str, Any]) -> None:
        """Write nothing yet; `growing` makes one."""
        self.folder = destination / PARTIAL_NAME
        self.frames_done = 0
        self._destination, self._workplace, self._exporters, self._about = destination, workplace, exporters, about

    def add(self, stretch: Stretch) -> None:
        """Write a stretch. The first one replaces what an interrupted run left.

        Raises:
            OutputError: The disk refuses; what was there before stays.
            ClipError: A frame cannot be decoded.
        """
        with refusing(self._destination):
            scratch = Path(tempfile.mkdtemp(dir=self._workplace.path))
            for exporter in self._exporters:
                if isinstance(exporter, StretchExporter):
                    exporter.export_stretch(stretch, scratch)
            with shielded():
                if not self.frames_done:
                    self._note(0)
                    self._clear()
                _move_into(scratch, self.folder)
                self._note(stretch.frames.stop)

    def finish(self, result: Result) -> None:
        """Write what takes the whole result, and swap everything in for what an earlier run left in the destination.

        Raises:
            OutputError: The disk refuses; the partial output and what an earlier run left stay.
            ClipError: A frame cannot be decoded.
        """
        with refusing(self._destination):
            for entry in self._entries():
                _link(entry, self._workplace.fresh / entry.name)
            for exporter in self._exporters:
                exporter.export(result, self._workplace.fresh)
            with shielded():
                publish(self._workplace, self._destination)
                self.folder.replace(self._workplace.path / PARTIAL_NAME)  # in one move, so that it is never half of one

    def _note(self, frames: int) -> None:
        """Write the record, whole."""
        record = self._workplace.path / PARTIAL.record
        record.write_text(json.dumps({**self._about, "frames_done": frames}, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        record.replace(self.folder / PARTIAL.record)
        self.frames_done = frames

    def _clear(self) -> None:
        for entry in self._entries():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _entries(self) -> list[Path]:
        return sorted(entry for entry in self.folder.iterdir() if entry.name != PARTIAL.record)


@contextmanager
def growing(
    destination: str | Path, exporters: Sequence[Exporter], about: Mapping[str, Any], *, force: bool = False
) -> Iterator[PartialOutput]:
    """Output of one expression, written stretch by stretch; nobody else can write to the destination meanwhile.

    When the block ends without `finish`, what was written stays in `partial/`, unless it is nothing.

    Args:
        destination: Final folder; made if it is not there.
        exporters: Run in this order.
        about: What the record says beside the frames that are done: "expression", "recipe" and whatever else tells what it is.
        force: Allow other files in it.

    Yields:
        What to hand stretches and the result.

    Raises:
        OutputError: The destination cannot be made or written, holds other files, or another run is writing there.
    """
    destination = check_destination(destination, force=force)
    with ExitStack() as stack:
        with refusing(destination):
            workplace = stack.enter_context(at_work(destination))
            output = PartialOutput(destination, workplace, exporters, about)
            _make(output.folder)
            if not stack.enter_context(held(output.folder)):
                raise OutputError(company(destination))
            stack.callback(_remove_if_empty, output.folder)
        with exposed():
            yield output


def _make(folder: Path) -> None:
    """Make the folder, or take what a run left.

    Raises:
        OutputError: There is something else in its place.
    """
    with suppress(FileExistsError):
        folder.mkdir()
        return
    if not is_partial(folder) and (folder.is_symlink() or not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(
            f'cannot write results to "{folder.parent}": "{folder}" is in the way, which Gazecut did not write, and where the result would '
            "grow. Move it away, or give another folder."
        )


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _move_into(source: Path, target: Path) -> None:
    """Move all files to the same places below another folder, those of the same name taking the others' place."""
    for place, _, names in os.walk(source):
        into = target / Path(place).relative_to(source)
        into.mkdir(exist_ok=True)
        for name in sorted(names):
            (Path(place) / name).replace(into / name)
    shutil.rmtree(source)


def _link(source: Path, target: Path) -> None:
    """Put a file or folder under a second name, without a second copy where the file system can."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link_file)
    else:
        _link_file(source, target)


def _link_file(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # no links here; if it is the disk that is full, the copy says so
        shutil.copyfile(source, target)
