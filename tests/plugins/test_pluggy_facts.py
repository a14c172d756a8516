"""What the loader takes for granted of pluggy; if one of these fails, so does a promise of the loader."""

from __future__ import annotations

import types
from typing import Any

import pluggy
import pytest

from gazecut.components import Hooks, hookimpl


@pytest.fixture
def manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("gazecut")
    manager.add_hookspecs(Hooks)
    return manager


def plugin(**functions: Any) -> types.SimpleNamespace:
    return types.SimpleNamespace(**{name: hookimpl(function) for name, function in functions.items()})


def test_a_refused_plugin_leaves_nothing_on_the_manager(manager: pluggy.PluginManager) -> None:
    """So since pluggy 1.7, which is therefore required."""

    def register_fusion(register: Any) -> None: ...
    def register_scorer(register: Any, colour: Any) -> None: ...

    bad = plugin(register_fusion=register_fusion, register_scorer=register_scorer)
    with pytest.raises(pluggy.PluginValidationError):
        manager.register(bad)
    assert not manager.is_registered(bad)
    assert manager.get_plugins() == set()
    assert manager.hook.register_fusion.get_hookimpls() == []


def test_an_unregistered_plugin_is_neither_asked_nor_checked(manager: pluggy.PluginManager) -> None:
    def register_fusion(register: Any) -> None:
        raise AssertionError

    def register_fussion(register: Any) -> None: ...

    gone = plugin(register_fusion=register_fusion, register_fussion=register_fussion)
    manager.register(gone)
    with pytest.raises(pluggy.PluginValidationError, match="unknown hook 'register_fussion'"):
        manager.check_pending()
    manager.unregister(gone)
    manager.check_pending()
    assert manager.hook.register_fusion(register=None) == []


def test_an_argument_with_a_default_is_given_where_it_exists(manager: pluggy.PluginManager) -> None:
    """So a plugin can use an argument that only newer hosts give."""
    heard = []

    def on_stage_start(stage: str, steps: int = -1, colour: str = "none") -> None:
        heard.append((stage, steps, colour))

    manager.register(plugin(on_stage_start=on_stage_start))
    manager.check_pending()
    manager.hook.on_stage_start(stage="look", steps=4)
    assert heard == [("look", 4, "none")]


def test_an_argument_by_keyword_only_is_never_given(manager: pluggy.PluginManager) -> None:
    def on_run_end(*, seconds: float) -> None: ...

    manager.register(plugin(on_run_end=on_run_end))
    with pytest.raises(TypeError, match="seconds"):
        manager.hook.on_run_end(seconds=1.0, error=None)


def test_a_function_without_the_mark_is_passed_over_in_silence(manager: pluggy.PluginManager) -> None:
    manager.register(types.SimpleNamespace(register_fusion=lambda register: 1 / 0))
    manager.check_pending()
    assert manager.hook.register_fusion(register=None) == []


def test_one_plugin_under_two_names_is_refused(manager: pluggy.PluginManager) -> None:
    """Whoever registers all that loaded, as observers do, relies on each being there once."""
    twice = plugin(on_run_end=lambda seconds: None)
    manager.register(twice, "one")
    with pytest.raises(ValueError, match="already registered"):
        manager.register(twice, "two")
