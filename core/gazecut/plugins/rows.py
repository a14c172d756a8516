"""The listing of plugins as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gazecut.components import KINDS
from gazecut.inventory import Component, Failure, Origin
from gazecut.plugins.checkup import Checkup
from gazecut.plugins.hooks import listens
from gazecut.registry import Registry, missing_modules

UNKNOWN = "?"
NONE = "-"


@dataclass(frozen=True)
class Row:
    """One line of the listing.

    Attributes:
        kind: Kind; "?" where a plugin failed before it said, "-" of what is no component.
        name: Component name, or "?", or "-".
        api: Version of the kind's protocol that it speaks, or "?", or "-".
        distribution: Where it came from: a distribution, a file or a module, or the setting that the row is about.
        version: Version of that, or "-".
        entry_point: Name of the plugin's entry point; empty for a plugin that is not installed.
        state: "ready", "needs <extra>", "broken: <why>", "not loaded: <why>" or why it was left out.
        summary: One line, empty where it is unknown.
    """

    kind: str
    name: str
    api: str
    distribution: str
    version: str
    entry_point: str
    state: str
    summary: str


def rows(registry: Registry, checkup: Checkup) -> Iterator[Row]:
    """Every component by kind, plugins that only look on, then those that are not there, then settings that mean nothing."""
    pending = list(checkup.remarks)

    def remarked(origin: Origin, state: str) -> str:
        """With what there is to say of the plugin, once."""
        for remark in pending:
            if remark.origin == origin:
                pending.remove(remark)
                return f"{state}, but {remark.text}"
        return state

    for component in sorted(registry.components, key=lambda each: (KINDS.index(each.kind), each.spec.name)):
        yield _component_row(component, remarked(component.origin, _state(component, checkup)))
    declaring = {component.origin for component in registry.components}
    for loaded in registry.loaded:
        if loaded.origin not in declaring:
            state = "ready, observes runs" if listens(loaded.plugin) else "ready, declares nothing"
            yield _row(loaded.origin, remarked(loaded.origin, state), NONE)
    yield from map(_failure_row, registry.failures)
    for each in registry.skipped:
        yield _row(each.origin, each.reason, UNKNOWN)
    for remark in pending:
        yield _row(remark.origin, remark.text, NONE)


def _state(component: Component, checkup: Checkup) -> str:
    flaw = checkup.flaws.get((component.kind, component.spec.name))
    if flaw:
        return f"broken: {flaw.reason}"
    spec = component.spec
    return f"needs {spec.needs or ', '.join(spec.requires)}" if missing_modules(spec) else "ready"


def _component_row(component: Component, state: str) -> Row:
    spec, origin = component.spec, component.origin
    return Row(component.kind, spec.name, str(spec.api), origin.distribution, origin.version, origin.entry_point, state, spec.summary)


def _failure_row(failure: Failure) -> Row:
    origin, state = failure.origin, f"not loaded: {failure.reason}"
    if failure.kind is None or failure.spec is None:
        return _row(origin, state, UNKNOWN)
    return _component_row(Component(failure.kind, failure.spec, origin), state)


def _row(origin: Origin, state: str, unknown: str) -> Row:
    return Row(unknown, unknown, unknown, origin.distribution, origin.version, origin.entry_point, state, "")
