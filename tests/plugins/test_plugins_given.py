"""Plugins that need no installation: modules, dotted names, files."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from gazecut.errors import PluginError
from gazecut.plugins import discover
from gazecut.protocols import Runtime

SCORER = '''
from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gazecut.components import ComponentSpec, hookimpl
from gazecut.options import Options


class Config(Options):
    """Only found by its module: annotations are text here."""

    size: Annotated[int, Field(ge=1)] = SIZE


class MyScorer:
    def __init__(self, config: Config) -> None:
        self.size = config.size


@hookimpl
def register_scorer(register):
    register(ComponentSpec("mine", "made up", "my_scorer:MyScorer", CONFIG))
'''


@pytest.fixture
def file(tmp_path: Path) -> Any:
    """Writes the plugin, in a folder that is not on the path of imports."""
    path = tmp_path / "elsewhere" / "my_scorer.py"
    path.parent.mkdir()

    def write(size: int = 3, config: str = '"my_scorer:Config"', more: str = "") -> Path:
        path.write_text(SCORER.replace("SIZE", str(size)).replace("CONFIG", config) + more)
        return path

    yield write
    for name in [name for name in sys.modules if "_file_" in name]:
        del sys.modules[name]


def build(registry: Any, **options: Any) -> Any:
    config = registry.config_class("scorer", "mine")
    return registry.build("scorer", "mine", config(**options), Runtime())


@pytest.mark.parametrize("config", ['"my_scorer:Config"', 'f"{__name__}:Config"'])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_works_without_being_on_the_path(file: Any, config: str, kind: Any) -> None:
    registry = discover([], modules=[kind(file(config=config))])
    registry.check_given()
    assert build(registry, size=5).size == 5
    origin = registry.component("scorer", "mine").origin
    assert (str(origin), origin.version, origin.plugin) == ("my_scorer.py", "-", "my_scorer.py")
    assert list(registry.plugins) == ["my_scorer.py"]
    assert "my_scorer" not in sys.modules


def test_a_file_says_its_version_itself(file: Any) -> None:
    registry = discover([], modules=[file(more="__version__ = '0.4'")])
    assert str(registry.component("scorer", "mine").origin) == "my_scorer.py 0.4"


def test_an_unchanged_file_is_the_same_module_each_time(file: Any) -> None:
    first, second = (discover([], modules=[file()]) for _ in range(2))
    assert first.config_class("scorer", "mine") is second.config_class("scorer", "mine")


def test_an_edited_file_is_loaded_anew_and_the_old_one_goes_on(file: Any) -> None:
    first = discover([], modules=[file(size=3)])
    second = discover([], modules=[file(size=4)])  # as long as before, and within the same second
    assert (build(first).size, build(second).size) == (3, 4)
    assert type(build(first)) is not type(build(second))


def test_a_file_leaves_nothing_beside_it(file: Any) -> None:
    path = file()
    discover([], modules=[path])
    assert list(path.parent.iterdir()) == [path]


def test_a_file_shadows_no_module_of_its_name(file: Any, tmp_path: Path) -> None:
    file()
    path = tmp_path / "elsewhere" / "json.py"
    path.write_text(SCORER.replace("SIZE", "3").replace("CONFIG", '"json:Config"').replace('"my_scorer:', '"json:'))
    registry = discover([], modules=[path])
    assert build(registry).size == 3
    import json

    assert json.loads("[1]") == [1]


def test_a_broken_file_is_tried_again_once_mended(file: Any) -> None:
    path = file(more="1 / 0")
    broken = discover([], modules=[path])
    assert broken.failures[0].reason == "ZeroDivisionError: division by zero"
    with pytest.raises(PluginError) as caught:
        broken.check_given()
    assert str(caught.value) == (
        f"plugin {path} was asked for, but not loaded: ZeroDivisionError: division by zero\n"
        f"Why: gazecut plugins --plugin {path} --why {path}"
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert not [name for name in sys.modules if name.startswith("my_scorer")]
    discover([], modules=[file()]).check_given()


def test_the_same_plugin_twice_is_one(file: Any, plugin_folder: Any) -> None:
    path = file()
    registry = discover([], modules=[path, str(path), path.parent / ".." / "elsewhere" / "my_scorer.py"])
    assert (len(registry.loaded), len(registry.failures)) == (1, 0)
    plugin_folder.add("acme", {"acme": SCORER.replace("SIZE", "3").replace("CONFIG", '"acme:Config"')}, {"main": "acme"})
    registry = discover(plugin_folder.distributions(), modules=["acme"])
    assert list(registry.plugins) == ["acme:main"]
    assert not registry.failures


def test_two_files_of_one_name_cannot_both_be_told_apart(file: Any, tmp_path: Path) -> None:
    path = file()
    other = tmp_path / "my_scorer.py"
    other.write_text(path.read_text().replace('"mine"', '"other"'))
    registry = discover([], modules=[path, other])
    assert [failure.reason for failure in registry.failures] == ["another plugin is called my_scorer.py, too"]


def test_a_given_plugin_comes_last_and_takes_no_name_away(file: Any, plugin_folder: Any) -> None:
    plugin_folder.add("zzz", {"zzz": SCORER.replace("SIZE", "3").replace("CONFIG", '"zzz:Config"')}, {"main": "zzz"})
    registry = discover(plugin_folder.distributions(), modules=[file()])
    assert [failure.reason for failure in registry.failures] == ["name taken by zzz 1.0"]


def test_a_dotted_name_and_a_module_object(plugin_folder: Any) -> None:
    (plugin_folder.path / "acme").mkdir()
    (plugin_folder.path / "acme" / "__init__.py").write_text("")
    text = SCORER.replace("SIZE", "3").replace("CONFIG", '"acme.plugin:Config"').replace("my_scorer", "acme.plugin")
    (plugin_folder.path / "acme" / "plugin.py").write_text(text)
    registry = discover([], modules=["acme.plugin"])
    assert str(registry.component("scorer", "mine").origin) == "module acme.plugin"
    assert build(registry).size == 3
    again = discover([], modules=[sys.modules["acme.plugin"]])
    assert build(again).size == 3


def test_a_module_that_nobody_can_import_is_refused() -> None:
    registry = discover([], modules=[types.ModuleType("made_by_hand")])
    assert registry.failures[0].reason == (
        "`import made_by_hand` gives another module or none, so its components cannot be found; give the path of its file"
    )


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        ("no_such_module_of_acme", "ModuleNotFoundError: No module named 'no_such_module_of_acme'"),
        ("not a name", '"not a name" is no name of a module; wanted "package.module" or the path of a .py file'),
        ("gone/my_scorer.py", "there is no file gone/my_scorer.py"),
        ("my_scorrer.py", 'there is no file my_scorrer.py; did you mean "my_scorer.py"?'),
        (f"{'x' * 300}.py", f"the system refuses the path (File name too long): {'x' * 147}..."),
        ("./folder", "folder is a folder; a package is given by the dotted name of its module"),
        ("./notes.txt", "notes.txt is no .py file"),
    ],
)
def test_what_cannot_be_found_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("notes.txt", "my_scorer.py"):
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    registry = discover([], modules=[plugin])
    assert [failure.reason for failure in registry.failures] == [reason]
    with pytest.raises(PluginError, match=f"^plugin {re.escape(plugin)} was asked for, but not loaded"):
        registry.check_given()


def test_what_is_no_plugin_at_all_is_refused_at_once() -> None:
    with pytest.raises(PluginError, match=r"^a plugin is given as a module, its dotted name or the path of a \.py file; found int$"):
        discover([], modules=[3])  # type: ignore[list-item]


def test_errors_of_a_file_say_what_to_mend(file: Any) -> None:
    registry = discover([], modules=[file(config='"my_scorer:Gone"')])
    with pytest.raises(PluginError, match=r"has no attribute 'Gone'\. Mend my_scorer\.py\.$"):
        registry.config_class("scorer", "mine")
