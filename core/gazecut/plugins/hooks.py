"""Checks the hooks of a plugin before pluggy takes it, so that what is wrong is said in the words of whoever writes one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import pluggy

from gazecut.components import Hooks, hookimpl
from gazecut.errors import PluginError
from gazecut.suggest import did_you_mean

_SPECS: Mapping[str, tuple[str, ...]] = {
    name: tuple(inspect.signature(function).parameters)[1:] for name, function in vars(Hooks).items() if not name.startswith("_")
}
_EVENT = "on_"


def check_hooks(plugin: object, manager: pluggy.PluginManager) -> None:
    """Refuse a plugin whose hooks would never be called, or not as they want.

    Raises:
        PluginError: It has none, a name is misspelt, an argument is unknown, or a function was not marked.
    """
    if plugin is None or isinstance(plugin, type):
        raise PluginError(f"gives {plugin!r}; wanted a module, or an object with hooks")
    implemented = _implemented(plugin, manager)
    for attribute, hook in implemented.items():
        if hook not in _SPECS:
            raise PluginError(f'implements a hook "{hook}", which does not exist{did_you_mean(hook, _SPECS)}')
        _check_arguments(getattr(plugin, attribute), hook)
    for name in _SPECS:
        if name not in implemented and inspect.isroutine(inspect.getattr_static(plugin, name, None)):
            raise PluginError(f"has a function {name} that nobody will call; mark it with @gazecut.components.hookimpl")
    if not implemented:
        raise PluginError("implements no hook; wanted register_<kind> or on_<event>, marked with @gazecut.components.hookimpl")


def listens(plugin: object) -> bool:
    """Whether a plugin that was checked hears of runs."""
    implemented = _implemented(plugin, pluggy.PluginManager(hookimpl.project_name))
    return any(hook.startswith(_EVENT) for hook in implemented.values())


def _implemented(plugin: object, manager: pluggy.PluginManager) -> dict[str, str]:
    """Marked attributes, with the hook that each implements; hooks that need not exist are left out."""
    found = {name: manager.parse_hookimpl_opts(plugin, name) for name in dir(plugin)}
    return {name: options.get("specname") or name for name, options in found.items() if options and not options.get("optionalhook")}


def _check_arguments(function: object, hook: str) -> None:
    if not callable(function):
        return
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            raise PluginError(f'{hook} takes "{name}" by keyword only; it is given all by position, so leave the "*" out')
        if name not in _SPECS[hook] and parameter.default is parameter.empty:
            raise PluginError(f'{hook} asks for "{name}"; it is given: {", ".join(_SPECS[hook])}')
