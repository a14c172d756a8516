"""Looking up, building and listing components; every message says what to do next."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from gazecut.components import ComponentSpec
from gazecut.errors import PluginError
from gazecut.plugins import discover
from gazecut.plugins.checkup import check_up
from gazecut.plugins.rows import rows
from gazecut.protocols import Runtime
from gazecut.registry import Registry

PLUGIN = """
from pydantic import BaseModel
from gazecut.components import ComponentSpec, hookimpl

def spec(name, target="acme:Thing", config="acme:Config", needs="", requires=()):
    return ComponentSpec(name, "made up", target, config, needs=needs, requires=requires)

class Config(BaseModel):
    size: int = 3

class Thing:
    def __init__(self, options, runtime=None):
        self.options, self.runtime = options, runtime

@hookimpl
def register_selector(register):
    register(spec("grid"))
    register(spec("gone", target="acme:Gone"))
    register(spec("raises", target="acme_raises:Thing"))
    register(spec("badconfig", config="acme_raises:Config"))
    register(spec("needy", needs="acme[heavy]", requires=("acme_never",)))
    register(spec("heavy", target="acme_never:Thing", needs="acme[heavy]", requires=("acme_never", "gazecut")))

@hookimpl
def register_segmenter(register):
    register(spec("net"))
"""


@pytest.fixture
def registry(plugin_folder: Any) -> Registry:
    plugin_folder.add("acme", {"acme": PLUGIN, "acme_raises": "raise RuntimeError('no driver')"}, {"main": "acme"})
    plugin_folder.add("acme-broken", {"acme_broken": "import nowhere_to_be_found"}, {"main": "acme_broken"})
    return discover(plugin_folder.distributions())


def build(registry: Registry, kind: Any, name: str) -> Any:
    return registry.build(kind, name, registry.config_class(kind, name)(), Runtime(device="cpu", seed=4))


def test_components_that_compute_get_the_runtime_and_others_do_not(registry: Registry) -> None:
    assert build(registry, "segmenter", "net").runtime == Runtime("cpu", 4)
    selector = build(registry, "selector", "grid")
    assert selector.runtime is None
    assert selector.options.size == 3


def test_an_unknown_name_says_what_is_there_what_was_meant_and_who_may_have_it(registry: Registry) -> None:
    with pytest.raises(PluginError) as caught:
        registry.spec("selector", "gird")
    assert str(caught.value) == (
        'no selector is called "gird"; installed: badconfig, gone, grid, heavy, needy, raises; did you mean "grid"?\n'
        "one plugin failed to load and may provide it:\n"
        "acme-broken 1.0, ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    )


def test_a_failed_plugin_is_not_named_for_what_it_cannot_provide(plugin_folder: Any) -> None:
    old = ComponentSpec("sam9", "", "old:Thing", "old:Config", api=9)
    hook = "@hookimpl\ndef register_segmenter(register): register(" + repr(old) + ")"
    text = f"from gazecut.components import ComponentSpec, hookimpl\n{hook}\n"
    plugin_folder.add("old", {"old": text}, {"main": "old"})
    registry = discover(plugin_folder.distributions())
    with pytest.raises(PluginError, match=r"may provide it:\nold 1\.0, speaks api 9, this gazecut speaks 1"):
        registry.spec("segmenter", "sam9")
    with pytest.raises(PluginError) as caught:
        registry.spec("selector", "grid")
    assert str(caught.value) == 'no selector is called "grid"; installed: none'


def test_a_missing_extra_is_named_before_anything_is_imported(registry: Registry) -> None:
    with pytest.raises(PluginError) as caught:
        build(registry, "selector", "heavy")
    assert str(caught.value) == 'selector "heavy" needs acme[heavy]: no module named acme_never. Install it: pip install "acme[heavy]"'


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("raises", 'selector "raises" of acme 1.0 cannot be imported from acme_raises:Thing: RuntimeError: no driver.'),
        ("gone", "cannot be imported from acme:Gone: AttributeError: module 'acme' has no attribute 'Gone'."),
        ("badconfig", "cannot be imported from acme_raises:Config: RuntimeError: no driver."),
    ],
)
def test_a_component_that_cannot_be_imported_says_whose_it_is(registry: Registry, name: str, found: str) -> None:
    with pytest.raises(PluginError) as caught:
        build(registry, "selector", name)
    assert found in str(caught.value)
    assert "Install its distribution again" in str(caught.value)


def test_an_error_of_the_component_itself_passes_through(registry: Registry) -> None:
    class Wrong(BaseModel):
        pass

    class Thing:
        def __init__(self, options: Wrong) -> None:
            raise KeyError("inside")

    import acme

    acme.Gone = Thing
    with pytest.raises(KeyError, match="inside"):
        registry.build("selector", "gone", Wrong(), Runtime())


def test_the_listing_has_ready_needy_and_failed(registry: Registry) -> None:
    listed = list(rows(registry, check_up(registry, own=False)))
    by_name = {(row.kind, row.name): row for row in listed}
    assert by_name["selector", "grid"].state == "ready"
    assert by_name["selector", "heavy"].state == "broken: there is no module acme_never"
    assert by_name["selector", "needy"].state == "needs acme[heavy]"
    assert by_name["?", "?"].state == "not loaded: ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    assert (by_name["?", "?"].distribution, by_name["?", "?"].version) == ("acme-broken", "1.0")
    assert [row.kind for row in listed] == ["selector"] * 6 + ["segmenter", "?"]


CONFIG_PLUGIN = """
from gazecut.components import ComponentSpec, hookimpl

@hookimpl
def register_selector(register):
    register(ComponentSpec("grid", "made up", "acme_parts:Thing", "acme_parts:Config"))
"""


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("Config = {'size': 3}", "it is of type dict; wanted a pydantic model, best a subclass of gazecut.options.Options"),
        ("class Config: pass", "it is the class Config; wanted a pydantic model, best a subclass of gazecut.options.Options"),
        ("from pydantic import BaseModel\nclass Config(BaseModel): size: 'Nowhere'", "it is not complete: name 'Nowhere' is not defined"),
    ],
)
def test_options_that_are_no_usable_model_are_one_message(plugin_folder: Any, config: str, said: str) -> None:
    plugin_folder.add("acme", {"acme_plugin": CONFIG_PLUGIN, "acme_parts": config}, {"main": "acme_plugin"})
    with pytest.raises(PluginError) as caught:
        discover(plugin_folder.distributions()).config_class("selector", "grid")
    assert str(caught.value) == (
        f'selector "grid" of acme 1.0 takes no options from acme_parts:Config: {said}. '
        "Install its distribution again, or ask whoever maintains it."
    )


def test_a_module_that_ends_the_process_is_one_message(plugin_folder: Any) -> None:
    plugin_folder.add("acme", {"acme_plugin": CONFIG_PLUGIN, "acme_parts": "raise SystemExit(3)"}, {"main": "acme_plugin"})
    with pytest.raises(PluginError, match=r"cannot be imported from acme_parts:Config: SystemExit: 3\."):
        discover(plugin_folder.distributions()).config_class("selector", "grid")
