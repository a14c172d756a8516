"""`gazecut plugins --why`: all that is known of a plugin that did not load, or of a component that cannot be used."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from traceback import StackSummary, TracebackException

import pluggy
import pydantic

import gazecut
from gazecut.errors import PluginError
from gazecut.inventory import Origin
from gazecut.plugins.checkup import Checkup
from gazecut.registry import Registry
from gazecut.suggest import did_you_mean
from gazecut.wording import shown

_MACHINERY = tuple(f"{Path(str(module.__file__)).parent}/" for module in (gazecut, pluggy, pydantic, importlib))


def explain(registry: Registry, checkup: Checkup, name: str) -> str:
    """Why something does not work, with the traceback of whatever was raised.

    Args:
        registry: What was discovered.
        checkup: What is wrong with it.
        name: A distribution, "distribution:entry point", a module or file, or a component.

    Raises:
        PluginError: Nothing of that name went wrong; says what did.
    """
    found = list(_explanations(registry, checkup, name))
    if found:
        return "\n\n".join(found)
    known = list(dict.fromkeys(_names(registry, checkup)))
    loaded = any(each.origin.is_called(name) for each in registry.loaded) or any(each.spec.name == name for each in registry.components)
    what = f'"{name}" is in order' if loaded else f'no plugin or component is called "{shown(name)}"'
    others = f"not in order: {', '.join(known)}" if known else "nothing is out of order"
    raise PluginError(f"{what}; {others}{'' if loaded else did_you_mean(name, known)}\nEverything: gazecut plugins")


def _explanations(registry: Registry, checkup: Checkup, name: str) -> Iterator[str]:
    for failure in registry.failures:
        if failure.origin.is_called(name) or (failure.spec and failure.spec.name == name):
            yield f"{_called(failure.origin)} was not loaded: {failure.reason}{_traceback(failure.error)}"
    for flaw in checkup.flaws.values():
        component = flaw.component
        if component.origin.is_called(name) or component.spec.name == name:
            what = f'{component.kind} "{component.spec.name}" of {_called(component.origin)}'
            yield f"{what} cannot be used: {flaw.reason}{_traceback(flaw.error)}"
    for skipped in registry.skipped:
        if skipped.origin.is_called(name):
            yield f"{_called(skipped.origin)} was not loaded: {skipped.reason}"
    for remark in checkup.remarks:
        if remark.origin.is_called(name):
            yield f"{_called(remark.origin)} {remark.text}\n{remark.advice}".rstrip()


def _names(registry: Registry, checkup: Checkup) -> Iterator[str]:
    for failure in registry.failures:
        yield failure.origin.distribution
    for flaw in checkup.flaws.values():
        yield flaw.component.spec.name
    yield from (each.origin.distribution for each in registry.skipped)
    yield from (remark.origin.distribution for remark in checkup.remarks)


def _called(origin: Origin) -> str:
    return f"{origin}, entry point {origin.entry_point}," if origin.entry_point else str(origin)


def _traceback(error: BaseException) -> str:
    """The traceback from where foreign code begins; nothing where there was none."""
    told = TracebackException.from_exception(error)
    shown = _without_machinery(told) or isinstance(error, SyntaxError)
    return f"\n\n{''.join(told.format()).rstrip()}" if shown else ""


def _without_machinery(told: TracebackException | None) -> bool:
    """Take the frames of Gazecut, its tools and the import system out, in place; whether any frame is left."""
    if told is None:
        return False
    told.stack = StackSummary.from_list([frame for frame in told.stack if not _is_machinery(frame.filename)])
    inner = [_without_machinery(told.__cause__), _without_machinery(told.__context__)]
    return bool(told.stack) or any(inner)


def _is_machinery(file: str) -> bool:
    return file.startswith("<frozen ") or file.startswith(_MACHINERY)
