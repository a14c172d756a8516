"""Two hundred plugins, twenty of them broken, each in another way: the table is right and quick."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

PLUGINS = 200
ALLOWED = 1.5  # s, of the processor: what the clock says depends on what else runs

HEAD = "from gazecut.components import ComponentSpec, hookimpl\n"
PLUGIN = (
    HEAD
    + '@hookimpl\ndef register_scorer(register): register(ComponentSpec("NAME", "made up", "parts_NAME:Scorer", "parts_NAME:Config"))\n'
)
PARTS = '''
from typing import Annotated
from pydantic import Field
from gazecut.options import Options

class Config(Options):
    """Options like those of the built-ins."""

    weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    """How much it counts."""

    mode: str = "best"
    """Which to keep."""

class Scorer:
    pass
'''
NOT_LOADED, BROKEN = "not loaded: ", "broken: "
HOOK = NOT_LOADED + "implements a hook "

# State, what takes the place of the plugin's module, of the module with the component, of the entry point and of METADATA.
WAYS: list[tuple[str, dict[str, str]]] = [
    (NOT_LOADED + "ModuleNotFoundError: No module named 'nowhere'", {"plugin": "import nowhere"}),
    (NOT_LOADED + "SyntaxError", {"plugin": "def broken(:"}),
    (NOT_LOADED + "ZeroDivisionError", {"plugin": "1 / 0"}),
    (NOT_LOADED + "SystemExit: 3", {"plugin": "raise SystemExit(3)"}),
    (NOT_LOADED + "RecursionError", {"plugin": "def f(): f()\nf()"}),
    (NOT_LOADED + "KeyError", {"plugin": HEAD + "@hookimpl\ndef register_scorer(register): {}[1]"}),
    (NOT_LOADED + "speaks api 2", {"plugin": PLUGIN.replace(":Config", ':Config", api=2, needs="')}),
    (NOT_LOADED + "name taken by gazecut", {"plugin": PLUGIN.replace("NAME", "object-score", 1)}),
    (HOOK, {"plugin": PLUGIN.replace("register_scorer", "register_scorrer")}),
    (NOT_LOADED + "register_scorer asks for", {"plugin": PLUGIN.replace("(register)", "(registered)", 1)}),
    (NOT_LOADED + "has a function register_scorer", {"plugin": PLUGIN.replace("@hookimpl", "")}),
    (NOT_LOADED + "implements no hook", {"plugin": ""}),
    (NOT_LOADED + "ModuleNotFoundError", {"entry_point": "nowhere.plugin"}),
    (NOT_LOADED + "AttributeError", {"entry_point": "plugin_NAME:nothing"}),
    (NOT_LOADED + 'its entry point "main" points to "!!"', {"entry_point": "!!"}),
    (NOT_LOADED + "the metadata of a distribution in", {"metadata": "Version: 1\n"}),
    (BROKEN + "NameError", {"parts": "gone"}),
    (BROKEN + "AttributeError", {"parts": "class Scorer: pass"}),
    (BROKEN + "it is the class Config", {"parts": "class Config: pass"}),
    (
        BROKEN + "its own defaults are refused",
        {"parts": PARTS + "class Config(Config):\n    weight: Annotated[float, Field(gt=9, validate_default=True)] = 1.0\n"},
    ),
]


def install(folder: Path, number: int, way: dict[str, str]) -> None:
    name = f"p{number:03}"
    info = folder / f"acme_{name}-1.0.dist-info"
    info.mkdir()
    readme = "A plugin with a readme.\n" * 200
    (info / "METADATA").write_text(way.get("metadata", f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.0\n\n{readme}"))
    (info / "entry_points.txt").write_text(f"[gazecut]\nmain = {way.get('entry_point', 'plugin_NAME').replace('NAME', name)}\n")
    (folder / f"plugin_{name}.py").write_text(way.get("plugin", PLUGIN).replace("NAME", name))
    (folder / f"parts_{name}.py").write_text(way.get("parts", PARTS))


def test_many_plugins_are_listed_quickly_and_rightly(tmp_path: Path, record_property: Any) -> None:
    broken = {10 * index + 7: way for index, way in enumerate(WAYS)}
    for number in range(PLUGINS):
        install(tmp_path, number, broken[number][1] if number in broken else {})

    def listing() -> tuple[float, str]:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-c", "from gazecut.cli import main; main()", "plugins"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GAZECUT")} | {"PYTHONPATH": str(tmp_path)}
        out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, out

    seconds, out = min(listing() for _ in range(2))
    record_property("seconds", seconds)
    rows = {line[line.index("acme-") :].split()[0]: line for line in out.splitlines() if "acme-" in line}
    for number in range(PLUGINS):
        if number not in broken:
            assert rows[f"acme-p{number:03}"].split() == ["scorer", f"p{number:03}", "1", f"acme-p{number:03}", "1.0", "ready"]
        elif "metadata" in broken[number][1]:
            assert len([line for line in out.splitlines() if broken[number][0] in line]) == 1
        else:
            assert rows[f"acme-p{number:03}"].partition(" 1.0 ")[2].strip().startswith(broken[number][0])
    assert seconds < ALLOWED
