"""Finds installed plugins: entry points say where they are, pluggy what they may say.

Each plugin loads alone. One that fails is undone whole and kept with its exception, and the others go on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import metadata

import pluggy

from gazecut.components import ENTRY_POINT_GROUP, KINDS, ComponentSpec, Hooks, Kind, Register
from gazecut.errors import PluginError
from gazecut.registry import Component, Failure, Origin, Registry, check_spec

HOST = "gazecut"


def discover(distributions: Iterable[metadata.Distribution] | None = None) -> Registry:
    """Load every plugin: Gazecut's own first, then by name of the distribution; who comes first keeps a name.

    Nothing is remembered between calls, so a plugin that was mended loads at the next one.

    Args:
        distributions: Where to look; all that are installed by default.
    """
    loader = _Loader()
    for origin, entry_point in _entry_points(metadata.distributions() if distributions is None else distributions):
        loader.load(origin, entry_point)
    return Registry(tuple(loader.components.values()), tuple(loader.failures), loader.plugins)


class _Loader:
    """One plugin manager, filled plugin by plugin."""

    def __init__(self) -> None:
        self.components: dict[tuple[Kind, str], Component] = {}
        self.failures: list[Failure] = []
        self.plugins: dict[str, object] = {}
        self._manager = pluggy.PluginManager(HOST)
        self._manager.add_hookspecs(Hooks)

    def load(self, origin: Origin, entry_point: metadata.EntryPoint) -> None:
        declared = _Declared(origin, self.components)
        plugin, name = None, f"{origin.distribution}:{entry_point.name}"
        try:
            plugin = entry_point.load()
            self._manager.register(plugin, name=name)
            self._manager.check_pending()
            self._ask(plugin, declared)
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a plugin raises must not stop the others
            if plugin is not None and self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            kind, spec = declared.refused or (None, None)
            self.failures.append(Failure(origin, entry_point.name, error, kind, spec))
        else:
            self.components.update(declared.components)
            self.plugins[name] = plugin

    def _ask(self, plugin: object, declared: _Declared) -> None:
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        for kind in KINDS:
            self._manager.subset_hook_caller(f"register_{kind}", others)(register=declared.register(kind))


class _Declared:
    """What one plugin declares, held back until all of it is good."""

    def __init__(self, origin: Origin, taken: dict[tuple[Kind, str], Component]) -> None:
        self.components: dict[tuple[Kind, str], Component] = {}
        self.refused: tuple[Kind, ComponentSpec] | None = None
        self._origin = origin
        self._taken = taken

    def register(self, kind: Kind) -> Register:
        def register(spec: ComponentSpec) -> None:
            self.refused = kind, spec
            check_spec(kind, spec)
            key = kind, spec.name
            holder = self.components.get(key) or self._taken.get(key)
            if holder:
                raise PluginError(f"name taken by {holder.origin}")
            self.components[key] = Component(kind, spec, self._origin)
            self.refused = None

        return register


def _entry_points(distributions: Iterable[metadata.Distribution]) -> Iterator[tuple[Origin, metadata.EntryPoint]]:
    """Entry points of the group in loading order; of a distribution that is there twice, the one found first."""
    found: dict[str, tuple[Origin, list[metadata.EntryPoint]]] = {}
    for distribution in distributions:
        entry_points = [entry for entry in distribution.entry_points if entry.group == ENTRY_POINT_GROUP]
        if entry_points:
            name = distribution.metadata["Name"]
            found.setdefault(_normalised(name), (Origin(name, distribution.version), entry_points))
    for _, (origin, entry_points) in sorted(found.items(), key=lambda item: (item[0] != HOST, item[0])):
        for entry_point in sorted(entry_points, key=lambda entry: entry.name):
            yield origin, entry_point


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
