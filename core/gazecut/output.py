"""Atomic output: everything of a run under its final names, or nothing.

Exporters write into a hidden folder inside the destination (inside, because a mounted destination is a file system of its
own and files can only be renamed within one). When all are done, what an earlier run left under the same names steps aside,
the new files and folders take their places, and any failure on the way puts things back as they were.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gazecut.errors import OutputError

if TYPE_CHECKING:
    from gazecut.protocols import Exporter
    from gazecut.result import Result

_PREFIX = ".gazecut-"
_SUFFIX = ".partial"


def write_output(result: Result, folder: str | Path, exporters: Sequence[Exporter]) -> Path:
    """Write what the exporters make of a result; all of it or nothing.

    Args:
        result: What to write.
        folder: Where to; made if it is not there. Files that the exporters do not write stay as they are.
        exporters: Run in this order.

    Returns:
        The folder.

    Raises:
        OutputError: The folder cannot be made or written.
    """
    with staged(folder) as staging:
        for exporter in exporters:
            exporter.export(result, staging)
    return Path(folder)


def check_destination(folder: str | Path) -> Path:
    """Refuse a destination that cannot take results, before any work is done for it; makes nothing.

    Returns:
        The folder.

    Raises:
        OutputError: It is a file, lies below one, or must not be written.
    """
    folder = Path(folder)
    present = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not present.is_dir():
        found = "a file" if present.exists() else "a link that leads nowhere"
        where = f'"{folder}" is {found}' if present == folder else f'"{folder}" lies below "{present}", which is {found}'
        raise OutputError(f"cannot write results: {where}; give the path of a folder, which may be new.")
    if not os.access(present, os.W_OK | os.X_OK):
        raise OutputError(
            f'cannot write results to "{folder}": "{present}" is not writable; give another folder or change its permissions.'
        )
    return folder


@contextmanager
def staged(destination: str | Path) -> Iterator[Path]:
    """A folder to write into, whose files and folders move to the destination when the block ends well.

    A file or folder replaces its namesake whole, so nothing of an earlier run hides in a replaced folder; other names stay
    as they are. After an error or an interrupt the destination is as before, and not there if it was not.

    Args:
        destination: Final folder.

    Yields:
        An empty folder on the destination's file system.

    Raises:
        OutputError: The destination cannot be made or written.
    """
    destination = check_destination(destination)
    made = [place for place in (destination, *destination.parents) if not place.exists()]
    workplace: Path | None = None
    try:
        destination.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=_SUFFIX, dir=destination))
        fresh = workplace / "new"
        fresh.mkdir()
        yield fresh
        _publish(fresh, destination, workplace / "replaced")
    except OSError as exc:
        raise OutputError(
            f'cannot write results to "{destination}": {exc.strerror or exc}; make room or give another folder, and run again.'
        ) from exc
    finally:
        if workplace is not None:
            shutil.rmtree(workplace, ignore_errors=True)
        for place in made:
            with suppress(OSError):  # holds results, or another run's
                place.rmdir()


def _publish(fresh: Path, destination: Path, replaced: Path) -> None:
    """Swap new entries in; undo every step if one fails."""
    replaced.mkdir()
    done: list[tuple[Path, Path]] = []
    names = sorted(entry.name for entry in fresh.iterdir())
    steps = [(destination / name, replaced / name) for name in names if os.path.lexists(destination / name)]
    steps += [(fresh / name, destination / name) for name in names]
    try:
        for source, target in steps:
            source.replace(target)
            done.append((source, target))
    except BaseException:
        for source, target in reversed(done):
            target.replace(source)
        raise
