"""Hidden folders in which results are made before they take their final names, and what becomes of those of dead runs.

A run holds a lock on a file in its workplace, and the system drops it however the run ends. Locks only mean something between
processes of one running system that see one mount, so that file names both. Elsewhere (another machine on a network mount,
before a restart, a file system without locks) a workplace counts as dead when nothing in it has changed for a day.

A run can be killed while it makes its workplace or removes it, too. So the lock goes last, and what has neither a lock nor anything
else is removed at once: should its run have been about to lock it, that run makes another one.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PREFIX = ".gazecut-"
_SUFFIX = ".partial"
_LOCK = "lock"
_FRESH = "new"
_REPLACED = "replaced"
_LONGEST_SILENCE = 24 * 3600.0  # s
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Workplace:
    """One run's hidden folder inside its destination.

    Attributes:
        path: The folder.
        fresh: Folder within it for what is new.
    """

    def __init__(self, path: Path, lock: IO[str]) -> None:
        """Keep a folder whose lock is held; `within` makes one."""
        self.path, self.fresh = path, path / _FRESH
        self._lock = lock

    @classmethod
    def within(cls, destination: Path) -> Self:
        """Make one.

        Raises:
            OSError: The destination cannot be written.
        """
        while True:
            path = Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=_SUFFIX, dir=destination))
            try:
                return cls(path, _begin(path))
            except BaseException as error:
                if isinstance(error, FileNotFoundError) and not path.exists():
                    continue  # another run took it for a dead one's
                shutil.rmtree(path, ignore_errors=True)
                raise

    def begin_publishing(self) -> Path:
        """An empty folder for what is replaced; that it is there says that moves are under way."""
        replaced = replaced_by(self.path)
        replaced.mkdir()
        return replaced

    def remove(self) -> None:
        """Remove it with all that is left in it."""
        _remove(self.path, self._lock)


def is_workplace(path: Path) -> bool:
    """Whether a path is named like a workplace."""
    return path.name.startswith(_PREFIX) and path.name.endswith(_SUFFIX)


def replaced_by(workplace: Path) -> Path:
    """The folder for what the run of a workplace replaces; there from the moment when it begins to move its results."""
    return workplace / _REPLACED


def was_publishing(workplace: Path) -> bool:
    """Whether the run of a workplace had begun to move its results; so its destination may be a mixture until the next run."""
    return replaced_by(workplace).exists()


def sweep(destination: Path, own: Workplace, published: bool) -> None:
    """Remove the workplaces of dead runs.

    Args:
        destination: Where to look.
        own: Left alone; its time stamp is the file system's "now".
        published: Whether `own` has published. Before that, workplaces whose runs were publishing stay: they tell that the mixture
            which they left behind is Gazecut's.
    """
    with suppress(OSError):
        now = own.fresh.stat().st_mtime
        for path in destination.iterdir():
            if is_workplace(path) and path != own.path and (published or not was_publishing(path)):
                _remove_if_dead(path, now)


@contextmanager
def in_turn(destination: Path) -> Iterator[None]:
    """Only one of several runs is in the block for a destination at a time, where the file system has locks for folders."""
    if fcntl is None:
        yield
        return
    folder = os.open(destination, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold a folder, so that no other run does while the block lasts; where the file system has no locks, all may.

    Args:
        folder: It exists.

    Yields:
        Whether this run has it; False where another one holds it, or has just removed it.
    """
    if fcntl is None:
        yield True
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        yield _is_free(opened) and _is_at(opened, folder)
    finally:
        os.close(opened)


def _is_free(folder: int) -> bool:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks here
        return True
    return True


def _is_at(opened: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(opened), folder.stat())
    except FileNotFoundError:
        return False


def _begin(path: Path) -> IO[str]:
    """Lock a new workplace and make its folder.

    Raises:
        OSError: It cannot be written, or is gone.
    """
    lock = (path / _LOCK).open("w", encoding="utf-8")
    try:
        if _try_lock(lock):
            lock.write(_domain(path))
            lock.flush()
        (path / _FRESH).mkdir()
    except BaseException:
        lock.close()
        raise
    return lock


def _remove(path: Path, lock: IO[str]) -> None:
    """Remove a workplace whose lock is held: the lock at the very end, so that whoever is killed meanwhile is known for dead."""
    bare = False
    with suppress(OSError):
        for entry in path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != _LOCK:
                with suppress(OSError):
                    entry.unlink()
        bare = {entry.name for entry in path.iterdir()} <= {_LOCK}
    lock.close()  # before its file goes: Windows removes no open ones
    if bare:  # the next run tries again otherwise
        _remove_bare(path)


def _remove_bare(path: Path) -> None:
    """Remove a workplace with nothing in it but its lock, or not even that; stops at anything else."""
    with suppress(OSError):
        (path / _LOCK).unlink(missing_ok=True)
        path.rmdir()


def _remove_if_dead(path: Path, now: float) -> None:
    with suppress(OSError), (path / _LOCK).open("r+", encoding="utf-8") as lock:
        owner = lock.read()
        if owner == _domain(path):
            if _try_lock(lock):
                _remove(path, lock)
            return
        if not owner and not (path / _FRESH).exists() and _try_lock(lock):
            _remove_bare(path)
            return
    with suppress(OSError):
        path.rmdir()  # goes only if it is empty
        return
    with suppress(OSError):
        if now - max(place.lstat().st_mtime for place in (path, *path.rglob("*"))) > _LONGEST_SILENCE:
            shutil.rmtree(path, ignore_errors=True)


def _try_lock(file: IO[str]) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _domain(path: Path) -> str:
    """Where a lock holds: the running system and the mount. Containers of one kernel share both."""
    try:
        system = _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        system = platform.node()
    return f"{system} {path.stat().st_dev}"
