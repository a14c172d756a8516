"""Every way in which a plugin can be broken: the listing says so, `--strict` fails, and all else works as if it were not there."""

from __future__ import annotations

import inspect
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gazecut.pipeline import Pipeline

HEAD = "from gazecut.components import ComponentSpec, hookimpl\n"
HOOK = '@hookimpl\ndef register_scorer(register): register(ComponentSpec("acme", "made up", "acme_parts:Scorer", "acme_parts:Config"))\n'
PLUGIN = HEAD + HOOK
PARTS = "from gazecut.options import Options\nclass Config(Options): pass\nclass Scorer: pass\n"
MODEL = "from pydantic import BaseModel, field_validator, model_validator\nclass Scorer: pass\n"
NOT_LOADED = "not loaded: "
BROKEN = "broken: "


@dataclass(frozen=True)
class Way:
    """A way to break.

    Attributes:
        name: What it is called in the test's name.
        state: What the listing says.
        plugin: Text of the plugin's module.
        parts: Text of the module with the component and its options; None for no such module.
        known: Whether the listing knows the component's name.
        more: Other modules.
    """

    name: str
    state: str
    plugin: str = PLUGIN
    parts: str | None = PARTS
    known: bool = False
    more: dict[str, str] = field(default_factory=dict)


UNPRINTABLE = "class Shy(Exception):\n    def __str__(self): raise RuntimeError('no words')\n"
WAYS = [
    Way("import", f"{NOT_LOADED}ModuleNotFoundError: No module named 'sam3'", "import sam3\n" + PLUGIN),
    Way("syntax", f"{NOT_LOADED}SyntaxError: invalid syntax (acme.py, line 1)", "def broken(:"),
    Way("raises", f"{NOT_LOADED}ZeroDivisionError: division by zero", PLUGIN + "1 / 0"),
    Way("exits", f"{NOT_LOADED}SystemExit: 3", "raise SystemExit(3)"),
    Way("exits in silence", f"{NOT_LOADED}SystemExit", "import sys; sys.exit()"),
    Way("generator exit", f"{NOT_LOADED}GeneratorExit", "raise GeneratorExit"),
    Way("unprintable", f"{NOT_LOADED}Shy: (its text cannot be read)", UNPRINTABLE + "raise Shy"),
    Way("recursion", f"{NOT_LOADED}RecursionError: maximum recursion depth exceeded", "def f(): f()\nf()"),
    Way("null bytes", f"{NOT_LOADED}SyntaxError: source code string cannot contain null bytes", "\0"),
    Way("endless text", f"{NOT_LOADED}ValueError: {'x' * 185}...", "raise ValueError('x' * 10**6)"),
    Way("escapes", f"{NOT_LOADED}ValueError: a \\x1b[31m red line", "raise ValueError('a\\n \\x1b[31m red line')"),
    Way("hook raises", f"{NOT_LOADED}KeyError: 'inside'", HEAD + "@hookimpl\ndef register_scorer(register): {}['inside']"),
    Way("hook exits", f"{NOT_LOADED}SystemExit: 4", HEAD + "@hookimpl\ndef register_scorer(register): raise SystemExit(4)"),
    Way("raises late", f"{NOT_LOADED}OSError: late", PLUGIN + "@hookimpl\ndef register_trainer(register): raise OSError('late')"),
    Way("newer api", f"{NOT_LOADED}speaks api 2, this gazecut speaks 1", PLUGIN.replace('"acme_parts:Config"', '"a:C", api=2'), known=True),
    Way("name taken", f"{NOT_LOADED}name taken by gazecut 0.1.0", PLUGIN.replace('Spec("acme"', 'Spec("object-score"'), known=True),
    Way(
        "misspelt hook",
        f'{NOT_LOADED}implements a hook "register_scorrer", which does not exist; did you mean "register_scorer"?',
        PLUGIN.replace("register_scorer", "register_scorrer"),
    ),
    Way(
        "unknown argument",
        f'{NOT_LOADED}register_scorer asks for "colour"; it is given: register',
        PLUGIN.replace("(register)", "(colour)", 1),
    ),
    Way(
        "no mark",
        f"{NOT_LOADED}has a function register_scorer that nobody will call; mark it with @gazecut.components.hookimpl",
        PLUGIN.replace("@hookimpl", ""),
    ),
    Way(
        "no declaration",
        f"{NOT_LOADED}registers a scorer of type str; wanted a gazecut.components.ComponentSpec",
        PLUGIN.replace("ComponentSpec(", "str(").replace('"acme", "made up", "acme_parts:Scorer", "acme_parts:Config"', '"acme"'),
    ),
    Way("no module of options", f"{BROKEN}there is no module acme_parts", parts=None, known=True),
    Way("options raise", f"{BROKEN}NameError: name 'gone' is not defined", parts="gone", known=True),
    Way("options exit", f"{BROKEN}SystemExit: 5", parts="raise SystemExit(5)", known=True),
    Way("no options", f"{BROKEN}AttributeError: module 'acme_parts' has no attribute 'Config'", parts="class Scorer: pass", known=True),
    Way(
        "no model",
        f"{BROKEN}it is the class Config; wanted a pydantic model, best a subclass of gazecut.options.Options",
        parts="class Config: pass",
        known=True,
    ),
    Way(
        "default refused",
        f"{BROKEN}its own defaults are refused: Value error, never",
        parts=MODEL + "class Config(BaseModel):\n    @model_validator(mode='after')\n    def no(self): raise ValueError('never')\n",
        known=True,
    ),
    Way(
        "validator breaks",
        f"{BROKEN}KeyError: 'inside'",
        parts=MODEL + "class Config(BaseModel):\n    @model_validator(mode='before')\n    def no(cls, value): return {}['inside']\n",
        known=True,
    ),
    Way(
        "validator exits",
        f"{BROKEN}SystemExit: 6",
        parts=MODEL + "class Config(BaseModel):\n    @model_validator(mode='before')\n    def no(cls, value): raise SystemExit(6)\n",
        known=True,
    ),
    Way(
        "schema fails",
        f"{BROKEN}its options have no schema: Cannot generate a JsonSchema for core_schema.CallableSchema",
        parts=MODEL + "from typing import Callable\nclass Config(BaseModel):\n    call: Callable[[], int] = print\n",
        known=True,
    ),
    Way(
        "default without words",
        f"{BROKEN}its options cannot be recorded with a run: PydanticSerializationError: Unable to serialize unknown type",
        parts=MODEL + "from typing import Any\nclass Config(BaseModel):\n    thing: Any = object()\n",
        known=True,
    ),
    Way(
        "default without end",
        f"{BROKEN}its options cannot be recorded with a run: ValueError: Out of range float values are not JSON compliant",
        parts=MODEL + "class Config(BaseModel):\n    most: float = float('inf')\n",
        known=True,
    ),
    Way(
        "imports jax",
        "ready, but imports jax when it is listed",
        "import jax\n" + PLUGIN,
        known=True,
        more={"jax": ""},
    ),
    Way(
        "another module imports jax",
        "ready, but imports jax when it is listed",
        "from acme_inner import thing\n" + PLUGIN,
        known=True,
        more={"jax": "", "acme_inner": "import jax\nthing = 3"},
    ),
    Way(
        "holds torch",
        "ready, but imports torch and transformers when it is listed",
        "import types\ntorch, auto = types.ModuleType('torch'), types.ModuleType('transformers.auto')\n" + PLUGIN,
        known=True,
    ),
    Way("options import jax", "ready, but imports jax when it is listed", parts="import jax\n" + PARTS, known=True, more={"jax": ""}),
]


HEALTHY: dict[tuple[str, ...], Any] = {}
OTHER_COMMANDS = [("show", "scorer", "object-score"), ("recipes",), ("recipe", "check", "pocket")]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GAZECUT_DISABLE", "GAZECUT_PLUGINS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_broken_plugin_is_shown_and_harms_nobody(gazecut: Any, plugin_folder: Any, way: Way) -> None:
    for other in OTHER_COMMANDS:
        HEALTHY.setdefault(other, gazecut(*other))
    modules = {"acme": way.plugin, **({"acme_parts": way.parts} if way.parts is not None else {}), **way.more}
    plugin_folder.add("acme-scorers", modules, {"main": "acme"}, version="2.0")

    def command(*arguments: str) -> Any:
        """As in a process of its own: nothing of the plugin was imported before."""
        for name in modules:
            sys.modules.pop(name, None)
        return gazecut(*arguments)

    ended = command("plugins")
    assert (ended.status, ended.err) == (0, "")
    (line,) = [line for line in ended.out.splitlines() if "acme-scorers 2.0" in line]
    assert line.partition("acme-scorers 2.0")[2].strip().startswith(way.state)
    assert line.split()[:3] != ["?", "?", "?"] if way.known else line.split()[:3] == ["?", "?", "?"]
    strict = command("plugins", "--json", "--strict")
    (row,) = [row for row in json.loads(strict.out) if row["distribution"] == "acme-scorers"]
    assert row["state"].startswith(way.state)
    assert strict.status == 1
    why = command("plugins", "--why", "acme-scorers")
    assert (why.status, why.err) == (0, "")
    assert str(Path(inspect.getfile(Pipeline)).parent) not in why.out
    assert {other: command(*other) for other in OTHER_COMMANDS} == HEALTHY
    _run()


def _run() -> None:
    maps = np.zeros((2, 4, 4), np.float32)
    maps[:, 1:3, 1:3] = 1
    pipeline = Pipeline.from_recipe("pocket", overrides={"segmenter": "attention"})
    assert pipeline.segment_maps(np.zeros((2, 32, 32, 3), np.uint8), maps, np.arange(2)).masks.any()


BROKEN_HOST = {"a": "import gone_for_good", "b": "1 / 0", "c": "raise SystemExit", "d": "def broken(:"}


def test_with_everything_broken_the_repair_commands_work(gazecut: Any, plugin_folder: Any) -> None:
    plugin_folder.add(
        "gazecut", {f"host_{name}": text for name, text in BROKEN_HOST.items()}, {name: f"host_{name}" for name in BROKEN_HOST}
    )
    plugin_folder.add("acme", {"acme": "1 / 0"}, {"main": "acme"})
    ended = gazecut("plugins")
    assert (ended.status, ended.err) == (0, "")
    assert [line.split()[:5] for line in ended.out.splitlines()[1:]] == [
        *(["?", "?", "?", f"gazecut:{name}", "1.0"] for name in BROKEN_HOST),
        ["?", "?", "?", "acme", "1.0"],
    ]
    assert gazecut("plugins", "--strict").status == 1
    assert "host_b.py" in gazecut("plugins", "--why", "gazecut:b").out
    assert "host_a.py" not in gazecut("plugins", "--why", "gazecut:b").out
    assert gazecut("recipes").status == 0
    for command in (("show", "scorer", "object-score"), ("recipe", "check", "pocket")):
        ended = gazecut(*command)
        assert ended.status == 2
        assert "5 plugins failed to load and may provide it:" in ended.err
        assert "ZeroDivisionError: division by zero" in ended.err
        assert "Traceback" not in ended.err


def test_with_everything_switched_off_too(gazecut: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAZECUT_DISABLE", "gazecut:plugins,gazecut:mllm,gazecut:segmenter,gazecut:fusion")
    ended = gazecut("plugins")
    assert [line.split()[3:] for line in ended.out.splitlines()[1:]] == [
        [f"gazecut:{name}", "0.1.0", "disabled", "by", "GAZECUT_DISABLE"] for name in ("fusion", "mllm", "plugins", "segmenter")
    ]
    assert gazecut("plugins", "--strict").status == 0
    assert gazecut("recipe", "check", "pocket").status == 2
    ended = gazecut("show", "scorer", "object-score")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(
        'gazecut: no scorer is called "object-score"; installed: none\n'
        "one plugin, switched off, may provide it:\n"
        "gazecut 0.1.0, disabled by GAZECUT_DISABLE\n"
    )
