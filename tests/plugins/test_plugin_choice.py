"""`GAZECUT_DISABLE` and `GAZECUT_PLUGINS`: what is dropped is shown, and a name that means nothing is not passed over."""

from __future__ import annotations

from typing import Any

import pytest

from gazecut.errors import PluginError
from gazecut.plugins import discover
from gazecut.plugins.checkup import check_up
from gazecut.plugins.rows import rows
from gazecut.registry import Registry

PLUGIN = """
from gazecut.components import ComponentSpec, hookimpl

@hookimpl
def register_fusion(register):
    register(ComponentSpec(name="{name}", summary="made up", target="{name}:Thing", config="{name}:Config"))
"""


@pytest.fixture
def found(plugin_folder: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("alpha", "beta", "left", "right", "loose", "hosta", "hostb"):
        (plugin_folder.path / f"{name}.py").write_text(PLUGIN.format(name=name))
    plugin_folder.add("acme-Alpha", {}, {"main": "alpha"})
    plugin_folder.add("beta", {}, {"main": "beta"})
    plugin_folder.add("pair", {}, {"left": "left", "right": "right"})
    plugin_folder.add("gazecut", {}, {"a": "hosta", "b": "hostb"})

    def find(disable: str | None = None, plugins: str | None = None, modules: tuple[str, ...] = ()) -> Registry:
        for name, value in (("GAZECUT_DISABLE", disable), ("GAZECUT_PLUGINS", plugins)):
            if value is not None:
                monkeypatch.setenv(name, value)
        return discover(plugin_folder.distributions(), modules=modules)

    return find


def states(registry: Registry) -> list[tuple[str, str, str]]:
    """Distribution, entry point and state of every row that is no component."""
    listed = rows(registry, check_up(registry, own=False))
    return [(row.distribution, row.entry_point, row.state) for row in listed if row.kind in "?-"]


@pytest.mark.parametrize(
    ("disable", "gone"),
    [
        ("", ()),
        (",  ,", ()),
        ("beta", ("beta",)),
        ("acme_alpha", ("alpha",)),
        ("ACME.ALPHA , beta", ("alpha", "beta")),
        ("pair", ("left", "right")),
        ("pair:left", ("left",)),
        ("gazecut:b", ("hostb",)),
        ("Gazecut:a,gazecut:b", ("hosta", "hostb")),
    ],
)
def test_disabled_plugins_are_dropped_and_shown(found: Any, disable: str, gone: tuple[str, ...]) -> None:
    registry = found(disable)
    assert set(registry.names("fusion")) == {"alpha", "beta", "left", "right", "hosta", "hostb"} - set(gone)
    assert not registry.failures
    assert {state for _, _, state in states(registry)} == ({"disabled by GAZECUT_DISABLE"} if gone else set())
    assert len(registry.skipped) == len(gone)


def test_a_disabled_plugin_is_not_imported(found: Any, plugin_folder: Any) -> None:
    (plugin_folder.path / "beta.py").write_text("1 / 0")
    assert not found("beta").failures


def test_gazecut_cannot_be_dropped_whole(found: Any) -> None:
    registry = found("gazecut")
    assert {"hosta", "hostb"} <= set(registry.names("fusion"))
    text = 'names "gazecut", which cannot be dropped whole; its plugins: gazecut:a, gazecut:b'
    assert states(registry) == [("GAZECUT_DISABLE", "", text)]


def test_a_name_that_means_nothing_is_said(found: Any) -> None:
    registry = found("bata,pair:lefft")
    assert states(registry) == [
        ("GAZECUT_DISABLE", "", 'names "bata", but there is no such plugin; did you mean "beta"?'),
        ("GAZECUT_DISABLE", "", 'names "pair:lefft", but there is no such plugin; did you mean "pair:left"?'),
    ]
    assert not check_up(registry, own=False).well


@pytest.mark.parametrize(
    ("plugins", "there"),
    [
        ("", ()),
        ("beta", ("beta",)),
        ("Beta, acme-alpha", ("alpha", "beta")),
        ("pair:right", ("right",)),
        ("loose", ("loose",)),
        ("gazecut", ()),
    ],
)
def test_only_named_plugins_are_loaded_beside_the_built_ins(found: Any, plugins: str, there: tuple[str, ...]) -> None:
    registry = found(plugins=plugins)
    assert set(registry.names("fusion")) == {"hosta", "hostb", *there}
    assert not registry.failures
    assert {each.reason for each in registry.skipped} == {"left out by GAZECUT_PLUGINS"}
    assert check_up(registry, own=False).failures == 0


def test_a_file_can_be_named_by_the_setting(found: Any, plugin_folder: Any) -> None:
    registry = found(plugins=str(plugin_folder.path / "loose.py"))
    assert str(registry.component("fusion", "loose").origin) == "loose.py"
    registry.check_given()


def test_a_named_plugin_that_is_not_there_is_a_failure(found: Any) -> None:
    registry = found(plugins="bata,no/where.py")
    assert states(registry)[:2] == [
        (
            "bata",
            "",
            "not loaded: GAZECUT_PLUGINS names it, but no such plugin or module is installed, and it is no path of a .py file; "
            'did you mean "beta"?',
        ),
        ("where.py", "", "not loaded: there is no file no/where.py"),
    ]
    registry.check_given()  # a setting is no request of this call


def test_what_is_named_and_disabled_is_disabled(found: Any) -> None:
    assert found("beta", "beta").names("fusion") == ("hosta", "hostb")
    registry = found("loose", "", ("loose",))
    assert registry.names("fusion") == ("hosta", "hostb")
    with pytest.raises(PluginError, match=r"^plugin loose was asked for, but not loaded: disabled by GAZECUT_DISABLE\n"):
        registry.check_given()


def test_an_unknown_name_mentions_who_was_switched_off(found: Any) -> None:
    with pytest.raises(PluginError) as caught:
        found("beta,pair").spec("fusion", "left")
    assert str(caught.value) == (
        'no fusion is called "left"; installed: alpha, hosta, hostb\n'
        "2 plugins, switched off, may provide it:\n"
        "beta 1.0, disabled by GAZECUT_DISABLE\n"
        "pair 1.0, disabled by GAZECUT_DISABLE"
    )


def test_of_many_that_were_left_out_the_first_are_named(plugin_folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAZECUT_PLUGINS", "")
    for number in range(11):
        plugin_folder.add(f"many-{number:02}", {}, {"main": "anything"})
    with pytest.raises(PluginError) as caught:
        discover(plugin_folder.distributions()).spec("fusion", "left")
    head, *names, tail = str(caught.value).splitlines()[1:]
    assert head == "11 plugins, switched off, may provide it:"
    assert names == [f"many-{number:02} 1.0, left out by GAZECUT_PLUGINS" for number in range(8)]
    assert tail == "and 3 more, see: gazecut plugins"
