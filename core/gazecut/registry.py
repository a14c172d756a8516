"""The components that are installed: look one up, build one, list them all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gazecut.components import API, KINDS, ON_DEVICE, ComponentSpec, Kind
from gazecut.errors import PluginError
from gazecut.suggest import did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel

    from gazecut.protocols import Runtime

UNKNOWN = "?"
_NAME = re.compile(r"[a-z0-9]+([-.][a-z0-9]+)*")
_PATH = re.compile(r"[\w.]+:\w+")


@dataclass(frozen=True)
class Origin:
    """The distribution that a plugin came in.

    Attributes:
        distribution: Its name, for example "gazecut".
        version: Its version, for example "0.1.0".
    """

    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True)
class Component:
    """A declared component and where it came from.

    Attributes:
        kind: Its kind.
        spec: What its plugin declared.
        origin: The distribution of that plugin.
    """

    kind: Kind
    spec: ComponentSpec
    origin: Origin


@dataclass(frozen=True, eq=False)
class Failure:
    """A plugin that did not load; nothing of it was kept.

    Attributes:
        origin: Its distribution.
        entry_point: Name of its entry point.
        error: What it raised, with the traceback.
        kind: Kind of the component that it failed on, where that is known.
        spec: That component.
    """

    origin: Origin
    entry_point: str
    error: BaseException
    kind: Kind | None = None
    spec: ComponentSpec | None = None

    @property
    def reason(self) -> str:
        """One line: what went wrong."""
        text = str(self.error) if isinstance(self.error, PluginError) else f"{type(self.error).__name__}: {self.error}"
        return " ".join(text.split())

    def may_provide(self, kind: Kind, name: str) -> bool:
        """Whether this plugin, had it loaded, might have brought a component."""
        return self.spec is None or (self.kind, self.spec.name) == (kind, name)


@dataclass(frozen=True)
class Row:
    """One line of the listing.

    Attributes:
        kind: Kind, or "?" where a plugin failed before it said.
        name: Component name, or "?".
        api: Version of the kind's protocol that it speaks, or "?".
        distribution: Where it came from.
        version: Version of that.
        state: "ready", "needs <extra>" or "not loaded: <why>".
        summary: One line, empty for a plugin that failed before it said.
    """

    kind: str
    name: str
    api: str
    distribution: str
    version: str
    state: str
    summary: str


class Registry:
    """Declared components by kind and name, and the plugins that failed to load.

    Args:
        components: In loading order; every (kind, name) once.
        failures: In loading order.
        plugins: Whatever loaded, by the name "distribution:entry point"; their `on_...` hooks hear of runs.
    """

    def __init__(
        self,
        components: tuple[Component, ...] = (),
        failures: tuple[Failure, ...] = (),
        plugins: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self.components = components
        self.failures = failures
        self.plugins = plugins
        self._by_name = {(component.kind, component.spec.name): component for component in components}

    def names(self, kind: Kind) -> tuple[str, ...]:
        """Names of one kind, sorted."""
        return tuple(sorted(name for of, name in self._by_name if of == kind))

    def component(self, kind: Kind, name: str) -> Component:
        """A component with its origin.

        Raises:
            PluginError: None of that kind has the name; says what is installed and which failed plugins may provide it.
        """
        try:
            return self._by_name[kind, name]
        except KeyError:
            raise PluginError(self._unknown(kind, name)) from None

    def spec(self, kind: Kind, name: str) -> ComponentSpec:
        """A component as its plugin declared it.

        Raises:
            PluginError: None of that kind has the name.
        """
        return self.component(kind, name).spec

    def config_class(self, kind: Kind, name: str) -> type[BaseModel]:
        """The pydantic model of a component's options; imports its module, never the component.

        Raises:
            PluginError: None of that kind has the name, or its module cannot be imported.
        """
        component = self.component(kind, name)
        model: type[BaseModel] = _load(component, component.spec.config)
        return model

    def build(self, kind: Kind, name: str, options: BaseModel, runtime: Runtime) -> Any:
        """A working component.

        Args:
            kind: Its kind.
            name: Its name.
            options: An instance of its config class.
            runtime: Device and seed, for the kinds that compute on a device.

        Raises:
            PluginError: None of that kind has the name, its extra is missing, or its module cannot be imported.
        """
        component = self.component(kind, name)
        missing = missing_modules(component.spec)
        if missing:
            raise PluginError(
                f'{kind} "{name}" needs {component.spec.needs or "modules that are not installed"}: '
                f"no module named {', '.join(missing)}. {_install(component.spec)}"
            )
        target = _load(component, component.spec.target)
        return target(options, runtime) if kind in ON_DEVICE else target(options)

    def rows(self) -> Iterator[Row]:
        """The listing: every component by kind, then every plugin that failed."""
        for component in sorted(self.components, key=lambda each: (KINDS.index(each.kind), each.spec.name)):
            spec, origin = component.spec, component.origin
            state = f"needs {spec.needs or ', '.join(spec.requires)}" if missing_modules(spec) else "ready"
            yield Row(component.kind, spec.name, str(spec.api), origin.distribution, origin.version, state, spec.summary)
        for failure in self.failures:
            kind, name, api, summary = failure.kind or UNKNOWN, UNKNOWN, UNKNOWN, ""
            if failure.spec:
                name, api, summary = failure.spec.name, str(failure.spec.api), failure.spec.summary
            yield Row(kind, name, api, failure.origin.distribution, failure.origin.version, f"not loaded: {failure.reason}", summary)

    def _unknown(self, kind: Kind, name: str) -> str:
        known = self.names(kind)
        lines = [f'no {kind} is called "{name}"; installed: {", ".join(known) or "none"}{did_you_mean(name, known)}']
        failed = [f"{failure.origin}, {failure.reason}" for failure in self.failures if failure.may_provide(kind, name)]
        if failed:
            lines += [f"{_count(len(failed))} failed to load and may provide it:", *failed]
        return "\n".join(lines)


def check_spec(kind: Kind, spec: ComponentSpec) -> None:
    """Refuse a declaration that no recipe could use.

    Raises:
        PluginError: Its name or its import paths are malformed, or it speaks a version of the protocol that this host does not.
    """
    if not _NAME.fullmatch(spec.name):
        raise PluginError(f'{kind} name "{spec.name}" is not allowed; wanted lower-case letters and digits, joined by "-" or ".".')
    for path in (spec.target, spec.config):
        if not _PATH.fullmatch(path):
            raise PluginError(f'{kind} "{spec.name}" points to "{path}"; wanted "package.module:Class".')
    spoken = API[kind]
    if spec.api not in (spoken, max(spoken - 1, 1)):
        raise PluginError(f"speaks api {spec.api}, this gazecut speaks {spoken}")


def missing_modules(spec: ComponentSpec) -> list[str]:
    """Modules of a component's extra that are not installed; found without importing any."""
    return [module for module in spec.requires if find_spec(module) is None]


def _load(component: Component, path: str) -> Any:
    module, _, attribute = path.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except Exception as error:
        spec, reason = component.spec, f"{type(error).__name__}: {error}"
        raise PluginError(
            f'{component.kind} "{spec.name}" of {component.origin} cannot be imported from {path}: {reason}. {_install(spec)}'
        ) from error


def _install(spec: ComponentSpec) -> str:
    return f'Install it: pip install "{spec.needs}"' if spec.needs else "Install its distribution again, or ask whoever maintains it."


def _count(plugins: int) -> str:
    return "one plugin" if plugins == 1 else f"{plugins} plugins"
