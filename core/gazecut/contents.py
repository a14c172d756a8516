"""What the folders consist of that Gazecut writes, so that it knows them again and never takes others for its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gazecut.workplace import is_workplace, was_publishing

_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""Put into any folder by file managers."""


@dataclass(frozen=True)
class Contents:
    """One sort of folder.

    Attributes:
        record: JSON file that is written last; a folder that has it is whole.
        keys: Keys of the record by which it is known.
        entries: Names of its files and folders.
    """

    record: str
    keys: frozenset[str]
    entries: frozenset[str]

    def of(self, folder: Path) -> dict[str, Any] | None:
        """The record of a folder, or None where there is none that Gazecut wrote."""
        try:
            record = json.loads((folder / self.record).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return record if isinstance(record, dict) and self.keys <= record.keys() else None


RESULT = Contents(
    record="run.json",
    keys=frozenset({"expression", "recipe", "components"}),
    entries=frozenset({"masks", "masks.json", "overlay.mp4", "evidence", "run.json"}),
)
"""What the exporters write of one expression; those of other distributions may add to it."""

SCENE = Contents(
    record="scene.json",
    keys=frozenset({"seed", "background", "objects", "expressions"}),
    entries=frozenset({"clip.mp4", "frames", "masks", "scene.json"}),
)
"""A scene of the pocket world."""

PARTIAL_NAME = "partial"
"""The folder within a destination in which a result grows."""

PARTIAL = Contents(
    record="partial.json",
    keys=frozenset({"expression", "recipe", "frames_done"}),
    entries=frozenset({"partial.json"}),
)
"""A result that is still growing, or whose run was interrupted; not to be written into, so what else is in it is no entry of it."""

_SORTS = (RESULT, SCENE)
_OWN = "gazecut"


def foreign_entries(folder: Path) -> list[str]:
    """Names in a folder that Gazecut did not write, sorted; folders end in "/".

    Its own are: entries of a sort whose record is there, or was on its way when a run was killed; whole folders of its own;
    folders that are empty; the workplaces of runs. Where exporters of other distributions wrote, every name may be theirs.

    Raises:
        OSError: The folder cannot be read.
    """
    records = {sort: record for sort in _SORTS if (record := sort.of(folder)) is not None}
    if _wrote_others(records.get(RESULT, {}).get("components")):
        return []
    entries = sorted(folder.iterdir())
    killed = any(is_workplace(entry) and was_publishing(entry) for entry in entries)
    known = _LITTER.union(*(sort.entries for sort in (_SORTS if killed else records)))
    others = [entry for entry in entries if entry.name not in known and not (is_workplace(entry) or is_partial(entry) or _is_own(entry))]
    return [f"{entry.name}/" if entry.is_dir() else entry.name for entry in others]


def _wrote_others(components: object) -> bool:
    """Whether the components of a record, which anybody may have edited, include exporters of other distributions."""
    listed = [each for each in components if isinstance(each, dict)] if isinstance(components, list) else []
    return any(each.get("kind") == "exporter" and each.get("distribution") != _OWN for each in listed)


def is_partial(path: Path) -> bool:
    """Whether a path is the folder in which a result grows, or grew when its run was killed."""
    return path.name == PARTIAL_NAME and not path.is_symlink() and PARTIAL.of(path) is not None


def _is_own(path: Path) -> bool:
    """Whether a path is a whole folder of ours, or one that holds nothing, as a killed run may leave it."""
    if path.is_symlink() or not path.is_dir():
        return False
    try:
        return any(sort.of(path) is not None for sort in _SORTS) or all(
            is_workplace(entry) or is_partial(entry) for entry in path.iterdir()
        )
    except OSError:
        return False
