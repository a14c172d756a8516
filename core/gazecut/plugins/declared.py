"""What one plugin declares, checked and held back until all of it is good."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import ModuleType

from gazecut.components import API, ComponentSpec, Kind, Register
from gazecut.errors import PluginError
from gazecut.inventory import Component, Loaded
from gazecut.plugins.source import Source

_NAME = re.compile(r"[a-z0-9]+([-.][a-z0-9]+)*")
_MODULE = re.compile(r"\w+(\.\w+)*")
_PATH = re.compile(rf"{_MODULE.pattern}:\w+")
_TYPES: Mapping[str, type] = {
    **dict.fromkeys(("name", "summary", "target", "config", "needs", "identity", "converter"), str),
    "api": int,
    "requires": tuple,
}


class Declared:
    """The components of one plugin.

    Attributes:
        components: Declared so far.
        refused: The declaration that the plugin failed on, while it fails.
    """

    def __init__(self, source: Source, taken: Mapping[tuple[Kind, str], Component]) -> None:
        """Nothing is declared yet; the names in `taken` belong to others."""
        self.components: dict[tuple[Kind, str], Component] = {}
        self.refused: tuple[Kind, ComponentSpec] | None = None
        self._alias = source.alias
        self._taken = taken

    def register(self, kind: Kind, loaded: Loaded) -> Register:
        """The callable that the plugin's hook for a kind is given."""

        def register(spec: ComponentSpec) -> None:
            check_type(kind, spec)
            self.refused = kind, spec
            check_spec(kind, spec)
            key = kind, spec.name
            holder = self.components.get(key) or self._taken.get(key)
            if holder:
                raise PluginError(f"name taken by {holder.origin}")
            self.components[key] = Component(kind, _resolved(spec, self._alias, loaded.plugin), loaded.origin)
            self.refused = None

        return register


def check_type(kind: Kind, spec: object) -> None:
    """Refuse what is no declaration at all, or has a part of the wrong type.

    Raises:
        PluginError: It is so; says which part, and what was wanted.
    """
    if not isinstance(spec, ComponentSpec):
        raise PluginError(f"registers a {kind} of type {type(spec).__name__}; wanted a gazecut.components.ComponentSpec")
    for name, wanted in _TYPES.items():
        value = getattr(spec, name)
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise PluginError(f"registers a {kind} with {name}={value!r}; wanted {_article(wanted)}")


def check_spec(kind: Kind, spec: ComponentSpec) -> None:
    """Refuse a declaration that no recipe could use.

    Raises:
        PluginError: Its name, its summary or its import paths are malformed, or it speaks a version of the protocol that this host
            does not.
    """
    spoken = API[kind]
    if spec.api not in (spoken, max(spoken - 1, 1)):
        raise PluginError(f"speaks api {spec.api}, this gazecut speaks {spoken}")
    for problem in _problems(spec):
        raise PluginError(f"{kind} {problem}")


def _problems(spec: ComponentSpec) -> Iterator[str]:
    if not _NAME.fullmatch(spec.name):
        yield f'name "{spec.name}" is not allowed; wanted lower-case letters and digits, joined by "-" or ".".'
    if not spec.summary.isprintable():
        yield f'"{spec.name}" has a summary with line breaks or control characters; wanted one line of text'
    for path in (spec.target, spec.config, *filter(None, (spec.identity, spec.converter))):
        if not _PATH.fullmatch(path):
            yield f'"{spec.name}" points to "{path}"; wanted "package.module:Class".'
    for module in spec.requires:
        if not (isinstance(module, str) and _MODULE.fullmatch(module)):
            yield f'"{spec.name}" requires {module!r}; wanted names of modules'


def _article(wanted: type) -> str:
    return {str: "text", int: "an integer", tuple: 'a tuple of names, for example ("torch",)'}[wanted]


def _resolved(spec: ComponentSpec, alias: str, plugin: object) -> ComponentSpec:
    """The declaration with the name that the plugin was really loaded under, where it calls itself by an alias."""
    if not (alias and isinstance(plugin, ModuleType)):
        return spec
    name, own = plugin.__name__, re.compile(rf"{re.escape(alias)}(?=:)")
    target, config, identity, converter = (own.sub(name, path) for path in (spec.target, spec.config, spec.identity, spec.converter))
    return replace(spec, target=target, config=config, identity=identity, converter=converter)
