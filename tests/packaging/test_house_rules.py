"""Rules of the house that no linter checks: sizes, plugin modules, pins."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = ("core", "plugins", "plugins_mllm", "plugins_segmenter", "plugins_fusion", "training")
LONGEST_FILE = 300
LONGEST_FUNCTION = 60


def modules() -> Iterator[Path]:
    for root in ROOTS:
        yield from sorted((ROOT / root).rglob("*.py"))


@pytest.mark.parametrize("root", ROOTS)
def test_a_source_root_holds_exactly_one_package(root: str) -> None:
    inside = [path for path in (ROOT / root).iterdir() if path.name != "__pycache__"]
    packages = [path for path in inside if (path / "__init__.py").is_file()]
    assert len(packages) == 1
    assert not [path for path in inside if path.suffix == ".py"]
    assert (packages[0] / "py.typed").is_file() or root == "training"


def test_files_and_functions_can_be_read_at_a_sitting() -> None:
    long = []
    for path in modules():
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > LONGEST_FILE:
            long.append(f"{path.relative_to(ROOT)}: {len(text.splitlines())} lines")
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        over = [node for node in functions if (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION]
        long += [f"{path.relative_to(ROOT)}:{node.lineno} {node.name}" for node in over]
    assert long == []


@pytest.mark.parametrize("package", ["gazecut_plugins", "gazecut_mllm", "gazecut_segmenter", "gazecut_fusion"])
def test_declarations_and_options_import_nothing_heavy(package: str) -> None:
    code = (
        f"import sys, {package}.plugin, {package}.config; "
        "sys.exit(' '.join(n for n in ('torch', 'transformers', 'numpy', 'cv2', 'av', 'PIL') if n in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_every_dependency_is_pinned_within_its_range() -> None:
    from packaging.requirements import Requirement

    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    pins = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = [line for lines in project["project"]["optional-dependencies"].values() for line in lines]
    wanted = [Requirement(line) for line in (*project["project"]["dependencies"], *extras, *project["dependency-groups"]["dev"])]
    loose = [
        str(each)
        for each in wanted
        if each.name != "gazecut" and pins.get(re.sub(r"[-_.]+", "-", each.name).lower(), "") not in each.specifier
    ]
    assert loose == []


def test_the_version_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert metadata.version("gazecut") == project["version"]
