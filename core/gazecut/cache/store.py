"""Files of results under names made of what they depend on.

Several runs may share a folder. Nothing is locked: a file appears whole or not at all, is never changed, and may vanish at any moment.
Whatever a reader cannot trust to the last bit (cut short, flipped, of another version) it removes and takes for absent.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from platformdirs import user_cache_path
from safetensors import SafetensorError
from safetensors.numpy import load, save

from gazecut.errors import RequestError

_log = logging.getLogger(__name__)

FOLDER_VARIABLE = "GAZECUT_CACHE"
LIMIT_VARIABLE = "GAZECUT_CACHE_GIB"
DEFAULT_GIB = 10.0

_MAGIC = b"gazecut 1\n"  # a new number makes every older file unreadable
_DIGEST = 32  # bytes of SHA-256
_SUFFIX = ".stage"
_TEMPORARY = ".writing-"
_ABANDONED = 3600.0  # seconds after which whoever was writing is taken for dead
_ROOM = 0.9  # of the limit is left after making room, so that not every write has to
_KEY = re.compile(r"[0-9a-f]{40}")
_SPREAD = 2  # digits of a key that name the folder it lies in
_PLACE = re.compile(r"[0-9a-f]{2}")
_FACTS = "facts"


@dataclass(frozen=True, eq=False)
class Stored:
    """What a file holds.

    Attributes:
        arrays: By name.
        facts: Plain data.
    """

    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """A file of the store.

    Attributes:
        stage: What it is a result of, for example "maps".
        key: Its name.
        size: In bytes.
        used: When it was last written or read, in seconds since the epoch.
        path: Where it lies.
    """

    stage: str
    key: str
    size: int
    used: float
    path: Path


class Store:
    """Results by stage and key, up to a number of bytes; whatever was not used for longest goes first."""

    def __init__(self, folder: Path, limit: int) -> None:
        """Open it; nothing is made before something is written.

        Args:
            folder: Where it lies; may be shared with other processes.
            limit: In bytes.
        """
        self.folder, self.limit = folder, limit
        self._refused = False
        self._since_look = limit  # nobody has looked yet

    def read(self, stage: str, key: str) -> Stored | None:
        """What was written under a key, or None where nothing is or what is there cannot be trusted."""
        path = self._path(stage, key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        with suppress(OSError):  # others may own it, or the disk take no writes: it can be read all the same
            os.utime(path)
        stored = _unpacked(content, stage, key)
        if stored is None:
            _log.info("%s is damaged or of another version; it is removed and made again", path)
            with suppress(OSError):
                path.unlink()
        return stored

    def write(self, stage: str, key: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
        """Keep something; a disk that refuses is reported once, and the run goes on without.

        Args:
            stage: What it is a result of.
            key: 40 hexadecimal digits, see `gazecut.cache.digest`.
            arrays: By name, of any dtype but object.
            facts: Plain data beside them.
        """
        path, content = self._path(stage, key), _packed(arrays, facts, stage, key)
        if len(content) > self.limit:
            return
        temporary = path.with_name(f"{_TEMPORARY}{uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:  # with the rights that the umask leaves, so that those who share a folder can read it
                file.write(content)
            temporary.replace(path)
        except OSError as error:
            if not self._refused:
                self._refused = True
                _log.warning("cannot keep results in %s: %s; going on without", self.folder, error.strerror or error)
        else:
            self._make_room(len(content))
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def entries(self) -> list[Entry]:
        """Every file of the store, the one used last first; whatever else lies in the folder is none of its business."""
        found = []
        for path in (path for place in self._places() for path in _inside(place)):
            if path.suffix == _SUFFIX and _KEY.fullmatch(path.stem) and path.parent.name == path.stem[:_SPREAD]:
                with suppress(OSError):  # another run has just removed it
                    status = path.stat()
                    found.append(Entry(path.parent.parent.name, path.stem, status.st_size, status.st_mtime, path))
        return sorted(found, key=lambda entry: -entry.used)

    def clear(self) -> int:
        """Remove all that was written, temporary files of dead runs too.

        Returns:
            How many bytes that were.
        """
        freed = sum(_removed(entry) for entry in self.entries())
        self._sweep(older_than=0.0)
        for folder in (folder for place in self._places() for folder in (place, place.parent)):
            with suppress(OSError):  # not empty
                folder.rmdir()
        return freed

    def _path(self, stage: str, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f'"{key}" is no key of the cache; wanted 40 hexadecimal digits')
        return self.folder / stage / key[:_SPREAD] / f"{key}{_SUFFIX}"

    def _places(self) -> list[Path]:
        """The folders that files of the store lie in."""
        return [place for stage in _inside(self.folder) for place in _inside(stage) if _PLACE.fullmatch(place.name)]

    def _make_room(self, written: int) -> None:
        """Look at the whole folder at the first write, and again whenever a tenth of the limit was written since."""
        self._since_look += written
        if self._since_look < (1 - _ROOM) * self.limit:
            return
        self._since_look = 0
        self._sweep(older_than=_ABANDONED)
        entries = self.entries()
        size = sum(entry.size for entry in entries)
        if size > self.limit:
            while entries and size > _ROOM * self.limit:
                size -= _removed(entries.pop())

    def _sweep(self, older_than: float) -> None:
        """Remove what dead writers left."""
        for path in (path for place in self._places() for path in _inside(place)):
            with suppress(OSError):
                if path.name.startswith(_TEMPORARY) and time.time() - path.stat().st_mtime >= older_than:
                    path.unlink()


def default_folder() -> Path:
    """Where results are kept: `GAZECUT_CACHE`, else the user's folder for such things."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).expanduser() if named else user_cache_path("gazecut") / "stages"


def default_limit() -> int:
    """How many bytes may be kept: `GAZECUT_CACHE_GIB`, else 10 GiB.

    Raises:
        RequestError: The variable holds no number of 0 or more.
    """
    text = os.environ.get(LIMIT_VARIABLE, "") or str(DEFAULT_GIB)
    with suppress(ValueError):
        if 0 <= float(text) < float("inf"):
            return round(float(text) * 2**30)
    raise RequestError(f'{LIMIT_VARIABLE} is "{text}"; wanted how many GiB of results may be kept, a number of 0 or more.')


def _packed(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any], stage: str, key: str) -> bytes:
    metadata = {_FACTS: json.dumps({"stage": stage, "key": key, "facts": facts}, allow_nan=False)}
    payload = save({name: np.asarray(array, order="C") for name, array in arrays.items()}, metadata)
    return _MAGIC + hashlib.sha256(payload).digest() + payload


def _unpacked(content: bytes, stage: str, key: str) -> Stored | None:
    start = len(_MAGIC) + _DIGEST
    payload = content[start:]
    if content[: len(_MAGIC)] != _MAGIC or content[len(_MAGIC) : start] != hashlib.sha256(payload).digest():
        return None
    try:
        header = json.loads(payload[8 : 8 + int.from_bytes(payload[:8], "little")])
        about = json.loads(header["__metadata__"][_FACTS])
        if (about["stage"], about["key"]) != (stage, key):  # a file that was renamed
            return None
        return Stored(load(payload), about["facts"])
    except (SafetensorError, ValueError, KeyError, TypeError):
        return None


def _inside(folder: Path) -> list[Path]:
    """What a folder holds; nothing where it is none, has just gone, or must not be read."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _removed(entry: Entry) -> int:
    try:
        entry.path.unlink()
    except FileNotFoundError:
        pass  # another run was faster
    except OSError:
        return 0
    return entry.size


def usage(entries: Sequence[Entry]) -> Iterator[tuple[str, int, int]]:
    """Files and bytes by stage, in the order of names."""
    for stage in sorted({entry.stage for entry in entries}):
        sizes = [entry.size for entry in entries if entry.stage == stage]
        yield stage, len(sizes), sum(sizes)
