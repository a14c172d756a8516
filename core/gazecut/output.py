"""Atomic output: everything of a run under its final names, or nothing.

Exporters write into a hidden folder inside the destination (inside, because a mounted destination is a file system of its
own and files can only be renamed within one). When all are done, what an earlier run left steps aside, the new files and
folders take their places, and any failure on the way puts things back as they were.

A process that is killed outright can stop between two of those moves. No file is half-written then, but old and new ones may
stand side by side. So the record, `run.json`, steps aside first and comes back last: a folder that has one is whole. Data is
not forced to the disk, so this holds for processes that die, not for machines that lose power.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gazecut.contents import PARTIAL_NAME, RESULT, Contents, foreign_entries, is_partial
from gazecut.errors import OutputError
from gazecut.interrupts import exposed, shielded
from gazecut.optional import StretchExporter
from gazecut.protocols import Exporter
from gazecut.stretch import stretches_of
from gazecut.workplace import Workplace, held, in_turn, is_workplace, replaced_by, sweep

if TYPE_CHECKING:
    from gazecut.result import Result

_SHOWN = 5  # names of entries that are in the way; more nobody reads
_NEXT_STEPS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room or give another folder, and run again."),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "give another folder or change its permissions."),
    errno.ENAMETOOLONG: "give a shorter path.",
}


def write_output(result: Result, folder: str | Path, exporters: Sequence[Exporter], *, force: bool = False) -> Path:
    """Write what the exporters make of a result; all of it or nothing.

    Args:
        result: What to write.
        folder: Where to; made if it is not there. An earlier result is replaced.
        exporters: Run in this order.
        force: Write among other files, too; those that the exporters do not write stay as they are.

    Returns:
        The folder.

    Raises:
        OutputError: The folder cannot be made or written, or holds other files.
    """
    with staged(folder, force=force) as staging:
        export_result(result, exporters, staging)
    return Path(folder)


def export_result(result: Result, exporters: Sequence[Exporter], folder: Path) -> None:
    """Have a result written as if it came just now: its stretches, then what takes the whole of it.

    Args:
        result: What to write.
        exporters: Run in this order.
        folder: It exists.
    """
    for exporter in exporters:
        if isinstance(exporter, StretchExporter):
            for stretch in stretches_of(result):
                exporter.export_stretch(stretch, folder)
    for each in exporters:
        each.export(result, folder)


def check_destination(folder: str | Path, *, force: bool = False) -> Path:
    """Refuse a destination that cannot take results, before any work is done for it; makes nothing.

    A folder may be new, empty, or hold what Gazecut wrote before: running a command again is daily work, and asking each time
    would teach people to force. Anything else is more likely a slip, `-o .` or `-o ~`, or a data set whose masks/ would go.

    Args:
        folder: Where results shall go.
        force: Allow other files in it.

    Returns:
        The folder.

    Raises:
        OutputError: It is a file, lies below one, cannot be named or written, or holds other files.
    """
    folder = Path(folder)
    present = _nearest(folder)
    if not present.is_dir():
        found = "a file" if present.exists() else "a link that leads nowhere"
        where = f'"{folder}" is {found}' if present == folder else f'"{folder}" lies below "{present}", which is {found}'
        raise OutputError(f"cannot write results: {where}; give the path of a folder, which may be new.")
    if not os.access(present, os.R_OK | os.W_OK | os.X_OK):
        raise OutputError(
            f'cannot write results to "{folder}": "{present}" is not writable; give another folder or change its permissions.'
        )
    if present == folder:
        _refuse_company(folder)
        if not force:
            _refuse_others(folder)
    return folder


@contextmanager
def staged(destination: str | Path, contents: Contents = RESULT, *, force: bool = False) -> Iterator[Path]:
    """A folder to write into, whose files and folders move to the destination when the block ends well.

    What an earlier run wrote there goes, all of it; a file or folder replaces its namesake whole, and other names stay as they
    are. After an error or an interruption the destination is as before, and not there if it was not. What killed runs left
    behind is removed. Runs into one destination publish one after the other, so the last stays, whole.

    Args:
        destination: Final folder.
        contents: What such a folder consists of.
        force: Allow other files in it.

    Yields:
        An empty folder on the destination's file system.

    Raises:
        OutputError: The destination cannot be made or written, or holds other files.
    """
    destination = check_destination(destination, force=force)
    with refusing(destination), at_work(destination) as workplace:
        with exposed():
            yield workplace.fresh
        publish(workplace, destination, contents)
        if contents is RESULT:
            _remove_stale(workplace, destination / PARTIAL_NAME)


@contextmanager
def at_work(destination: Path) -> Iterator[Workplace]:
    """A workplace in a destination, which is made if it is not there; what killed runs left behind is removed.

    The block is shielded from interruptions; open it up where the time is spent.

    Raises:
        OSError: The destination cannot be made or written.
    """
    with shielded():
        made = [place for place in (destination, *destination.parents) if not place.exists()]
        workplace: Workplace | None = None
        try:
            destination.mkdir(parents=True, exist_ok=True)
            workplace = Workplace.within(destination)
            sweep(destination, workplace, published=False)
            yield workplace
        finally:
            if workplace is not None:
                workplace.remove()
            for place in made:
                with suppress(OSError):  # holds results, or another run's
                    place.rmdir()


@contextmanager
def refusing(destination: Path) -> Iterator[None]:
    """Say what the system refuses in the block as an OutputError, with what to do about it."""
    try:
        yield
    except OSError as exc:
        raise OutputError(_refusal(destination, exc)) from exc


def publish(workplace: Workplace, destination: Path, contents: Contents = RESULT) -> None:
    """Swap what is in a workplace in for what was there.

    Args:
        workplace: Whose new entries take their places.
        destination: Where to.
        contents: What such a folder consists of.

    Raises:
        OSError: The system refuses; everything is as it was then.
    """
    with in_turn(destination):
        _swap(workplace, destination, contents)
    sweep(destination, workplace, published=True)


def _remove_stale(workplace: Workplace, partial: Path) -> None:
    """Remove what an interrupted run left of an earlier result, unless it is going on."""
    if is_partial(partial):
        with suppress(OSError), held(partial) as ours:
            if ours:
                partial.replace(workplace.path / partial.name)


def _nearest(folder: Path) -> Path:
    """The folder itself, or what of its path exists."""
    for place in (folder, *folder.absolute().parents):
        try:
            place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as exc:
            raise OutputError(_refusal(folder, exc)) from exc
        return place
    raise OutputError(f'cannot write results to "{folder}": nothing of that path exists; give the path of a folder, which may be new.')


def _refuse_company(folder: Path) -> None:
    partial = folder / PARTIAL_NAME
    with refusing(folder):
        if is_partial(partial):
            with held(partial) as ours:
                if not ours:
                    raise OutputError(company(folder))


def company(folder: Path) -> str:
    """That another run is writing there."""
    return f'cannot write results to "{folder}": another run is writing there right now. Wait for its end, or give another folder.'


def _refuse_others(folder: Path) -> None:
    with refusing(folder):
        others = foreign_entries(folder)
        if others:
            with in_turn(folder):  # another run may just have moved its results in, of which this saw the files without their record
                others = foreign_entries(folder)
    if others:
        shown = ", ".join(others[:_SHOWN])
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        raise OutputError(
            f'cannot write results to "{folder}": it holds {shown}{more}, which Gazecut did not write; wanted a folder that is new, empty '
            "or holds earlier results. Give another folder, or --force (in Python force=True) to write among them."
        )


def _refusal(destination: Path, exc: OSError | ValueError) -> str:
    number = exc.errno if isinstance(exc, OSError) else None
    reason = getattr(exc, "strerror", None) or exc
    step = _NEXT_STEPS.get(number or 0, "give another folder, and run again.")
    return f'cannot write results to "{destination}": {reason}; {step}'


def _swap(workplace: Workplace, destination: Path, contents: Contents) -> None:
    """Swap new entries in; undo every step if one fails."""
    names = sorted((entry.name for entry in workplace.fresh.iterdir()), key=lambda name: (name == contents.record, name))
    leaving = {*names, *(contents.entries if _has_earlier(workplace, destination, contents) else ())}
    replaced = workplace.begin_publishing()
    # The record leaves first and comes last.
    steps = [
        (destination / name, replaced / name)
        for name in sorted(leaving, key=lambda name: (name != contents.record, name))
        if os.path.lexists(destination / name)
    ]
    steps += [(workplace.fresh / name, destination / name) for name in names]
    try:
        for source, target in steps:
            source.replace(target)
    except BaseException:
        for source, target in reversed(steps):
            # An interruption during a move comes after it, before Python could note that it is done: the disk tells.
            if os.path.lexists(target) and not os.path.lexists(source):
                target.replace(source)
        raise


def _has_earlier(workplace: Workplace, destination: Path, contents: Contents) -> bool:
    """Whether a destination holds an earlier result, or what a run that was killed left of one: its record is put aside first."""
    aside = (replaced_by(entry) for entry in destination.iterdir() if is_workplace(entry) and entry != workplace.path)
    return any(contents.of(place) is not None for place in (destination, *aside))
