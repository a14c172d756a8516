"""Plugins load one by one: a broken one is a row in the listing and stops nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from gazecut.plugins import discover
from gazecut.plugins.checkup import check_up
from gazecut.plugins.rows import rows

MODULE = """
from gazecut.components import ComponentSpec, hookimpl

@hookimpl
def register_{kind}(register):
    register(ComponentSpec(name="{name}", summary="made up", target="{module}:Thing", config="{module}:Config", api={api}))
"""


def module(module: str, name: str = "mean", kind: str = "fusion", api: int = 1) -> str:
    return MODULE.format(module=module, name=name, kind=kind, api=api)


def test_a_plugin_declares_components(plugin_folder: Any) -> None:
    plugin_folder.add("acme-mean", {"acme_mean": module("acme_mean")}, {"main": "acme_mean"}, version="2.1")
    registry = discover(plugin_folder.distributions())
    assert registry.names("fusion") == ("mean",)
    component = registry.component("fusion", "mean")
    assert str(component.origin) == "acme-mean 2.1"
    assert component.spec.summary == "made up"
    assert not registry.failures


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import missing_module_of_acme", "ModuleNotFoundError: No module named 'missing_module_of_acme'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        (
            module("broken").replace("register_fusion", "register_fussion"),
            'implements a hook "register_fussion", which does not exist; did you mean "register_fusion"?',
        ),
        (module("broken").replace("(register)", "(register, colour)"), 'register_fusion asks for "colour"; it is given: register'),
        (module("broken").replace("(register)", "(register, *more)"), 'register_fusion asks for "more"; it is given: register'),
        (
            module("broken").replace("(register)", "(*, register)"),
            'register_fusion takes "register" by keyword only; it is given all by position, so leave the "*" out',
        ),
        (
            module("broken").replace("@hookimpl", ""),
            "has a function register_fusion that nobody will call; mark it with @gazecut.components.hookimpl",
        ),
        ("", "implements no hook; wanted register_<kind> or on_<event>, marked with @gazecut.components.hookimpl"),
        (module("broken").replace("_fusion(register)", "_fusion()"), "NameError: name 'register' is not defined"),
        (module("broken").replace("ComponentSpec(", "dict("), "registers a fusion of type dict; wanted a gazecut.components.ComponentSpec"),
        (module("broken").replace('summary="made up"', "summary=3"), "registers a fusion with summary=3; wanted text"),
        *(
            (
                module("broken").replace('"made up"', summary),
                'fusion "mean" has a summary with line breaks or control characters; wanted one line of text',
            )
            for summary in ('"made\\nup"', '"\\x1b[31mmade up"')
        ),
        (module("broken").replace("api=1", "api='1'"), "registers a fusion with api='1'; wanted an integer"),
        (
            module("broken").replace("api=1", "requires='torch'"),
            "registers a fusion with requires='torch'; wanted a tuple of names, for example (\"torch\",)",
        ),
        (module("broken").replace("api=1", "requires=('to rch',)"), "fusion \"mean\" requires 'to rch'; wanted names of modules"),
        (module("broken", name="Bad Name"), 'fusion name "Bad Name" is not allowed'),
        (
            module("broken").replace("broken:Thing", "broken.Thing"),
            'fusion "mean" points to "broken.Thing"; wanted "package.module:Class".',
        ),
        (module("broken", api=2), "speaks api 2, this gazecut speaks 1"),
    ],
)
def test_a_broken_plugin_is_undone_whole_and_stops_nobody(plugin_folder: Any, text: str, reason: str) -> None:
    plugin_folder.add("aaa-broken", {"broken": text}, {"main": "broken"})
    plugin_folder.add("zzz-good", {"good": module("good", name="max")}, {"main": "good"})
    registry = discover(plugin_folder.distributions())
    assert registry.names("fusion") == ("max",)
    (failure,) = registry.failures
    assert reason in failure.reason
    assert "\n" not in failure.reason
    assert failure.error.__traceback__ is not None
    assert str(failure.origin) == "aaa-broken 1.0"


def test_a_plugin_that_fails_late_keeps_nothing_of_what_it_declared(plugin_folder: Any) -> None:
    text = module("late", name="first") + "    raise RuntimeError('after the first')\n"
    plugin_folder.add("late", {"late": text}, {"main": "late"})
    registry = discover(plugin_folder.distributions())
    assert registry.names("fusion") == ()
    assert registry.failures[0].reason == "RuntimeError: after the first"


def test_gazecut_comes_first_then_the_others_by_name_and_the_first_keeps_a_name(plugin_folder: Any) -> None:
    for name in ("zeta", "Alpha", "gazecut"):
        plugin_folder.add(name, {f"{name.lower()}_plugin": module(f"{name.lower()}_plugin")}, {"main": f"{name.lower()}_plugin"})
    registry = discover(plugin_folder.distributions())
    assert registry.component("fusion", "mean").origin.distribution == "gazecut"
    assert [failure.origin.distribution for failure in registry.failures] == ["Alpha", "zeta"]
    assert {failure.reason for failure in registry.failures} == {"name taken by gazecut 1.0"}
    assert [(row.kind, row.name) for row in rows(registry, check_up(registry, own=True))] == [("fusion", "mean")] * 3


def test_one_plugin_cannot_declare_a_name_twice(plugin_folder: Any) -> None:
    text = module("twice") + "    register(ComponentSpec('mean', 'again', 'twice:Thing', 'twice:Config'))\n"
    plugin_folder.add("twice", {"twice": text}, {"main": "twice"})
    assert discover(plugin_folder.distributions()).failures[0].reason == "name taken by twice 1.0"


def test_each_entry_point_of_a_distribution_stands_alone(plugin_folder: Any) -> None:
    plugin_folder.add("pair", {"left": module("left"), "right": "1 / 0"}, {"left": "left", "right": "right"})
    registry = discover(plugin_folder.distributions())
    assert registry.names("fusion") == ("mean",)
    assert [failure.origin.entry_point for failure in registry.failures] == ["right"]


def test_a_distribution_that_is_found_twice_counts_once(plugin_folder: Any) -> None:
    plugin_folder.add("acme-mean", {"acme_mean": module("acme_mean")}, {"main": "acme_mean"})
    registry = discover([*plugin_folder.distributions(), *plugin_folder.distributions()])
    assert registry.names("fusion") == ("mean",)
    assert not registry.failures


def test_a_mended_plugin_loads_at_the_next_call(plugin_folder: Any) -> None:
    plugin_folder.add("mend", {"mend": "import helper_of_mend\n" + module("mend")}, {"main": "mend"})
    assert discover(plugin_folder.distributions()).failures
    (plugin_folder.path / "helper_of_mend.py").write_text("")
    registry = discover(plugin_folder.distributions())
    assert registry.names("fusion") == ("mean",)
    assert not registry.failures


def test_a_keyboard_interrupt_is_not_swallowed(plugin_folder: Any) -> None:
    plugin_folder.add("slow", {"slow_plugin": "raise KeyboardInterrupt"}, {"main": "slow_plugin"})
    with pytest.raises(KeyboardInterrupt):
        discover(plugin_folder.distributions())


def test_gazecut_brings_every_kind_that_a_recipe_needs() -> None:
    registry = discover()
    own = [failure.reason for failure in registry.failures if failure.origin.distribution == "gazecut"]
    assert own == []
    assert set(registry.names("fusion")) >= {"contrastive", "complementary"}
    assert set(registry.names("segmenter")) >= {"classical", "attention"}
    assert set(registry.names("mllm")) >= {"qwen2-vl", "qwen2.5-vl"}
