"""Plugins of installed distributions. What their metadata says is foreign text, and may be malformed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import metadata

from gazecut.components import ENTRY_POINT_GROUP
from gazecut.inventory import Origin, normalised
from gazecut.plugins.source import Source, failing
from gazecut.wording import one_line

_TABLE = "entry_points.txt"
_SECTION = re.compile(rf"^\s*\[\s*{ENTRY_POINT_GROUP}\s*\]", re.MULTILINE)
_VALUE = re.compile(r"\w+(\.\w+)*(\s*:\s*\w+(\.\w+)*)?\s*(\[.*\])?")
_UNNAMED = "?"


def installed_sources(distributions: Iterable[metadata.Distribution]) -> list[Source]:
    """Plugins in loading order; of a distribution that is there twice, the one found first."""
    found: dict[str, tuple[Origin, metadata.Distribution]] = {}
    for distribution in distributions:
        if _declares_plugins(distribution):
            origin = _origin(distribution)
            key = normalised(origin.distribution)
            found.setdefault(key if key != _UNNAMED else f"{key}{len(found)}", (origin, distribution))
    ordered = sorted(found.items(), key=lambda item: (not item[1][0].own, item[0]))
    return [source for _, (origin, distribution) in ordered for source in _sources(origin, distribution)]


def _declares_plugins(distribution: metadata.Distribution) -> bool:
    try:
        text = distribution.read_text(_TABLE) or ""
    except UnicodeDecodeError as error:
        text = error.object.decode(errors="replace")
    return _SECTION.search(text) is not None


def _origin(distribution: metadata.Distribution) -> Origin:
    try:
        described = distribution.metadata
        name, version = (described[key] if key in described else None for key in ("Name", "Version"))  # noqa: SIM401  it is no mapping
    except Exception:  # noqa: BLE001  unreadable in whatever way: the plugin is shown without a name
        name = version = None
    return Origin((name or "").strip() or _UNNAMED, (version or "").strip() or _UNNAMED)


def _sources(origin: Origin, distribution: metadata.Distribution) -> Iterator[Source]:
    if origin.distribution == _UNNAMED:
        yield failing(origin, f"the metadata of a distribution in {distribution.locate_file('')} has no name; install it again")
        return
    try:
        entry_points = [entry for entry in distribution.entry_points if entry.group == ENTRY_POINT_GROUP]
    except Exception as error:  # noqa: BLE001  the standard library raises all sorts at malformed lines
        yield failing(origin, f"its {_TABLE} cannot be read ({one_line(error)}); install it again", error)
        return
    for entry_point in sorted(entry_points, key=lambda entry: entry.name):
        named = Origin(origin.distribution, origin.version, entry_point.name)
        if _VALUE.fullmatch(entry_point.value):
            yield Source(named, entry_point.load)
        else:
            text = f'its entry point "{entry_point.name}" points to "{entry_point.value}"; wanted "package.module"'
            yield failing(named, text)
