"""Loads plugins one by one; of one that fails nothing stays but the failure."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pluggy

from gazecut.components import KINDS, Hooks, Kind, hookimpl
from gazecut.errors import PluginError
from gazecut.inventory import NO_VERSION, Component, Failure, Loaded, Origin, Remark, Skipped
from gazecut.plugins.declared import Declared
from gazecut.plugins.heavy import heavy_modules, held_modules, imported_remark
from gazecut.plugins.hooks import check_hooks
from gazecut.plugins.source import Source
from gazecut.registry import Registry


class Loader:
    """Collects what plugins declare."""

    def __init__(self) -> None:
        """Nothing was loaded yet."""
        self._components: dict[tuple[Kind, str], Component] = {}
        self._failures: list[Failure] = []
        self._loaded: list[Loaded] = []
        self._remarks: list[Remark] = []
        self._manager = pluggy.PluginManager(hookimpl.project_name)
        self._manager.add_hookspecs(Hooks)

    def load(self, source: Source) -> None:
        """Load a plugin, or keep what it raised; only the interruption by a person goes through."""
        before, declared = heavy_modules(), Declared(source, self._components)
        try:
            plugin = source.load()
            loaded = Loaded(_with_version(source.origin, plugin), plugin)
            if self._is_there(loaded):
                return
            self._ask(loaded, declared)
            remarks = list(imported_remark(loaded.origin, heavy_modules() - before | held_modules(plugin)))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  whatever a plugin raises must not stop the others
            self._failures.append(Failure(source.origin, error, *(declared.refused or (None, None))))
        else:
            self._components.update(declared.components)
            self._loaded.append(loaded)
            self._remarks += remarks

    def registry(self, skipped: tuple[Skipped, ...], remarks: tuple[Remark, ...]) -> Registry:
        """All that was loaded, with what was left out by choice."""
        components = tuple(self._components.values())
        return Registry(components, tuple(self._failures), tuple(self._loaded), skipped, (*self._remarks, *remarks))

    def _is_there(self, loaded: Loaded) -> bool:
        """Whether a plugin that is not installed by itself is there already, by whatever way.

        Raises:
            PluginError: Two entry points are the same plugin or have one name: each would hear everything twice.
        """
        for other in self._loaded:
            if other.plugin is loaded.plugin:
                if not loaded.origin.entry_point:
                    return True
                raise PluginError(f"is the same module as {other.origin.plugin} of {other.origin}")
            if other.origin.plugin == loaded.origin.plugin:
                raise PluginError(f"another plugin is called {other.origin.plugin}, too")
        return False

    def _ask(self, loaded: Loaded, declared: Declared) -> None:
        """Have a plugin declare its components, alone on the manager, which is as empty after it as before."""
        check_hooks(loaded.plugin, self._manager)
        try:
            self._manager.register(loaded.plugin, name=loaded.origin.plugin)
            self._manager.check_pending()
            for kind in KINDS:
                getattr(self._manager.hook, f"register_{kind}")(register=declared.register(kind, loaded))
        finally:
            if self._manager.is_registered(loaded.plugin):
                self._manager.unregister(loaded.plugin)


def _with_version(origin: Origin, plugin: object) -> Origin:
    """What is not installed may say its version itself."""
    version = getattr(plugin, "__version__", None) if isinstance(plugin, ModuleType) and origin.version == NO_VERSION else None
    return replace(origin, version=version) if isinstance(version, str) else origin
