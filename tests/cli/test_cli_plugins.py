"""`gazecut plugins --why`, `--plugin` and `gazecut show` where something is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

HEAD = "from gazecut.components import ComponentSpec, hookimpl\n"
PLUGIN = (
    HEAD + '@hookimpl\ndef register_scorer(register):\n    register(ComponentSpec("acme", "made up", "MODULE:Scorer", "MODULE:Config"))\n'
)
PARTS = "from gazecut.options import Options\nclass Config(Options):\n    size: int = 3\nclass Scorer: pass\n"
FILE = PLUGIN.replace("MODULE", "my_scorer") + PARTS


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GAZECUT_DISABLE", "GAZECUT_PLUGINS"):
        monkeypatch.delenv(name, raising=False)


def third_party(text: str) -> list[str]:
    """Rows that are not Gazecut's own, single spaces between the cells."""
    return [" ".join(line.split()) for line in text.splitlines()[1:] if "gazecut 0.1.0 " not in line]


def test_why_shows_what_the_plugin_did_and_not_what_gazecut_did(gazecut: Any, plugin_folder: Any) -> None:
    text = "try:\n    import sam3\nexcept ImportError as error:\n    raise RuntimeError('no sam3 here') from error\n"
    plugin_folder.add("acme-late", {"acme_late": text}, {"main": "acme_late"}, version="0.2")
    file = plugin_folder.path / "acme_late.py"
    ended = gazecut("plugins", "--why", "acme_late")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == (
        "acme-late 0.2, entry point main, was not loaded: RuntimeError: no sam3 here\n\n"
        "Traceback (most recent call last):\n"
        f'  File "{file}", line 2, in <module>\n'
        "    import sam3\n"
        "ModuleNotFoundError: No module named 'sam3'\n\n"
        "The above exception was the direct cause of the following exception:\n\n"
        "Traceback (most recent call last):\n"
        f'  File "{file}", line 4, in <module>\n'
        "    raise RuntimeError('no sam3 here') from error\n"
        "RuntimeError: no sam3 here\n"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            PLUGIN.replace('"MODULE:Config"', '"MODULE:Config", api=2'),
            "speaks api 2, this gazecut speaks 1\n\nTraceback (most recent call last):\n"
            '  File "FILE", line 4, in register_scorer\n'
            '    register(ComponentSpec("acme", "made up", "MODULE:Scorer", "MODULE:Config", api=2))\n'
            "gazecut.errors.PluginError: speaks api 2, this gazecut speaks 1\n",
        ),
        (
            "x = = 3",
            'SyntaxError: invalid syntax (broken.py, line 1)\n\n  File "FILE", line 1\n    x = = 3\n        ^\n'
            "SyntaxError: invalid syntax\n",
        ),
        ("", "implements no hook; wanted register_<kind> or on_<event>, marked with @gazecut.components.hookimpl\n"),
    ],
)
def test_why_shows_a_place_where_there_is_one(gazecut: Any, plugin_folder: Any, text: str, shown: str) -> None:
    plugin_folder.add("broken", {"broken": text}, {"main": "broken"})
    ended = gazecut("plugins", "--why", "broken")
    assert ended.out == f"broken 1.0, entry point main, was not loaded: {shown}".replace("FILE", str(plugin_folder.path / "broken.py"))


@pytest.mark.parametrize("name", ["acme", "scorers", "Scorers:main"])
def test_why_of_a_component_that_cannot_be_used(gazecut: Any, plugin_folder: Any, name: str) -> None:
    plugin_folder.add("scorers", {"plain": PLUGIN.replace("MODULE", "parts"), "parts": "import nowhere"}, {"main": "plain"})
    assert gazecut("plugins", "--why", name).out == (
        "scorer \"acme\" of scorers 1.0, entry point main, cannot be used: ModuleNotFoundError: No module named 'nowhere'\n\n"
        "Traceback (most recent call last):\n"
        f'  File "{plugin_folder.path / "parts.py"}", line 1, in <module>\n'
        "    import nowhere\n"
        "ModuleNotFoundError: No module named 'nowhere'\n"
    )


def test_why_of_what_was_switched_off_and_of_a_remark(gazecut: Any, plugin_folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin_folder.add("off", {"off": "1 / 0"}, {"main": "off"})
    plugin_folder.add("slow", {"slow": "import jax\n" + FILE.replace("my_scorer", "slow"), "jax": ""}, {"main": "slow"})
    monkeypatch.setenv("GAZECUT_DISABLE", "off")
    assert gazecut("plugins", "--why", "off").out == "off 1.0, entry point main, was not loaded: disabled by GAZECUT_DISABLE\n"
    assert gazecut("plugins", "--why", "slow").out == (
        "slow 1.0, entry point main, imports jax when it is listed\n"
        "Import in the module of the component, which is loaded when a recipe uses it, and not where it or its options are declared.\n"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("acme-brokn", 'no plugin or component is called "acme-brokn"; not in order: acme-broken; did you mean "acme-broken"?'),
        ("object-score", '"object-score" is in order; not in order: acme-broken'),
        ("gazecut:mllm", '"gazecut:mllm" is in order; not in order: acme-broken'),
    ],
)
def test_why_of_what_did_not_fail(gazecut: Any, plugin_folder: Any, name: str, message: str) -> None:
    plugin_folder.add("acme-broken", {"acme_broken": "1 / 0"}, {"main": "acme_broken"})
    ended = gazecut("plugins", "--why", name)
    assert (ended.status, ended.out, ended.err) == (2, "", f"gazecut: {message}\nEverything: gazecut plugins\n")


def test_why_where_all_is_in_order(gazecut: Any) -> None:
    message = 'no plugin or component is called "acme"; nothing is out of order'
    assert gazecut("plugins", "--why", "acme").err == f"gazecut: {message}\nEverything: gazecut plugins\n"


def test_the_listing_shows_observers_and_reports_a_heavy_plugin_once(gazecut: Any, plugin_folder: Any) -> None:
    listener = HEAD + "@hookimpl\ndef on_run_end(seconds): pass\n"
    idle = HEAD + "@hookimpl\ndef register_scorer(register): pass\n"
    plugin_folder.add("listener", {"listener": listener, "jax": ""}, {"main": "listener"})
    plugin_folder.add("idle", {"idle": idle}, {"main": "idle"})
    two = PLUGIN.replace("MODULE", "two") + '    register(ComponentSpec("acme.v2", "made up", "two:Scorer", "two:Config"))\n'
    plugin_folder.add("two", {"two": "import jax, tensorflow\n" + two + PARTS, "tensorflow": ""}, {"main": "two"})
    assert third_party(gazecut("plugins").out) == [
        "scorer acme 1 two 1.0 ready, but imports tensorflow and jax when it is listed",
        "scorer acme.v2 1 two 1.0 ready",
        "- - - idle 1.0 ready, declares nothing",
        "- - - listener 1.0 ready, observes runs",
    ]


def test_what_a_plugin_prints_does_not_get_into_the_listing(gazecut: Any, plugin_folder: Any) -> None:
    plugin_folder.add("loud", {"loud": FILE.replace("my_scorer", "loud") + "print('hello')"}, {"main": "loud"})
    ended = gazecut("plugins", "--json")
    assert "loud" in {row["distribution"] for row in json.loads(ended.out)}
    assert ended.err == "hello\n"


@pytest.fixture
def file(workdir: Path) -> Path:
    (workdir / "mine").mkdir()
    path = workdir / "mine" / "my_scorer.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ("--plugin", "mine/my_scorer.py", "plugins"),
        ("plugins", "--plugin", "mine/my_scorer.py"),
        ("plugins", "--plugin=mine/my_scorer.py", "--strict"),
        ("plugins", "--strict", "--plugin", "mine/my_scorer.py", "--debug"),
    ],
)
def test_a_plugin_can_be_named_wherever_it_stands(gazecut: Any, file: Path, arguments: tuple[str, ...]) -> None:
    ended = gazecut(*arguments)
    assert ended.status == 0
    assert third_party(ended.out) == ["scorer acme 1 my_scorer.py ready"]
    assert third_party(gazecut("plugins").out) == []


def test_every_command_knows_a_named_plugin(gazecut: Any, file: Path, workdir: Path) -> None:
    line = FILE.splitlines().index("class Scorer: pass") + 1
    shown = gazecut("show", "scorer", "acme", "--plugin", "mine/my_scorer.py")
    assert shown.out == f"scorer acme: made up\nfrom my_scorer.py, api 1, {file}:{line}\n\nsize   integer   default 3\n"
    (workdir / "mine.yaml").write_text("version: 1\nextends: pocket\nscorer: {use: acme, size: 4}\n")
    assert gazecut("recipe", "check", "mine.yaml", "--plugin", "mine/my_scorer.py").status == 0
    assert gazecut("recipe", "check", "mine.yaml").status == 2


def test_several_plugins_and_one_that_fails(gazecut: Any, file: Path) -> None:
    (file.parent / "other.py").write_text("1 / 0")
    ended = gazecut("plugins", "--plugin", "mine/my_scorer.py", "--plugin", "mine/other.py", "--plugin", "json", "--strict")
    assert ended.status == 1
    assert third_party(ended.out) == [
        "scorer acme 1 my_scorer.py ready",
        "? ? ? other.py not loaded: ZeroDivisionError: division by zero",
        "? ? ? module json not loaded: implements no hook; wanted register_<kind> or on_<event>, marked with @gazecut.components.hookimpl",
    ]
    why = gazecut("plugins", "--plugin", "mine/other.py", "--why", "mine/other.py").out
    assert why.startswith("other.py was not loaded: ZeroDivisionError: division by zero\n\nTraceback")


def test_a_plugin_option_without_a_value(gazecut: Any) -> None:
    ended = gazecut("plugins", "--plugin")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("gazecut: option '--plugin' requires an argument")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            "class Config: pass",
            'scorer "acme" of scorers 1.0 takes no options from parts:Config: it is the class Config; '
            "wanted a pydantic model, best a subclass of gazecut.options.Options. "
            "Install its distribution again, or ask whoever maintains it.",
        ),
        (
            "from pydantic import BaseModel, Field\ndef none(): raise KeyError('none')\n"
            "class Config(BaseModel):\n    x: int = Field(default_factory=none)\n",
            "scorer \"acme\" of scorers 1.0 has options that cannot be described: KeyError: 'none'",
        ),
    ],
)
def test_show_of_broken_options_is_one_message(gazecut: Any, plugin_folder: Any, parts: str, message: str) -> None:
    plugin_folder.add("scorers", {"plain": PLUGIN.replace("MODULE", "parts"), "parts": parts}, {"main": "plain"})
    ended = gazecut("show", "scorer", "acme")
    assert (ended.status, ended.out, ended.err) == (2, "", f"gazecut: {message}\nWhy: gazecut plugins --why acme\n")


def test_show_of_an_unknown_name_says_who_may_have_it(gazecut: Any, plugin_folder: Any) -> None:
    plugin_folder.add("scorers", {"plain": "1 / 0"}, {"main": "plain"})
    assert gazecut("show", "scorer", "acme").err == (
        'gazecut: no scorer is called "acme"; installed: attention-consistency, object-score, pearson\n'
        "one plugin failed to load and may provide it:\n"
        "scorers 1.0, ZeroDivisionError: division by zero\n"
        "Why: gazecut plugins --why scorers\n"
    )


def test_show_where_the_class_cannot_be_read(gazecut: Any, plugin_folder: Any) -> None:
    parts = PARTS.replace("int = 3", "object = print").replace("class S", "# \xe9\nclass S")
    plugin_folder.add("scorers", {"plain": PLUGIN.replace("MODULE", "parts")}, {"main": "plain"})
    (plugin_folder.path / "parts.py").write_text(f"# coding: latin-1\n{parts}", encoding="latin-1")
    shown = gazecut("show", "scorer", "acme").out
    assert f"api 1, {plugin_folder.path / 'parts.py'}:6\n" in shown
    assert "default <built-in function print>" in shown


def test_without_plugins_the_next_step_is_the_listing(gazecut: Any) -> None:
    ended = gazecut("show", "scorer", "acme")
    assert ended.err == (
        'gazecut: no scorer is called "acme"; installed: attention-consistency, object-score, pearson\nInstalled: gazecut plugins\n'
    )
