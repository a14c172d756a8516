"""The family from outside: installed and run by the commands of its README, and located to the cell by the house's own harness."""

from __future__ import annotations

import ast
import importlib.util
import json
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from gazecut.protocols import Runtime
from gazecut.values import Frames, Question, Steering, TraceSpec

ROOT = Path(__file__).parents[2]
SMOLVLM = ROOT / "examples" / "gazecut-smolvlm"
SOURCES = sorted((SMOLVLM / "src").rglob("*.py"))
COUNTS = (1, 2, 3, 16)


def module(path: Path) -> ModuleType:
    """The module of a file."""
    name = f"{path.stem}_beside"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = found = importlib.util.module_from_spec(spec)  # dataclasses look their module up there
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def smolvlm(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The backend on its tiny checkpoint, from the sources."""
    weights = module(SMOLVLM / "tests" / "tiny_smolvlm.py").build(tmp_path_factory.mktemp("smolvlm"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SMOLVLM / "src"))
        config, family = (importlib.import_module(f"gazecut_smolvlm.{name}") for name in ("config", "smolvlm"))
    return family.SmolVLMBackend(config.SmolVLMOptions(weights=str(weights), max_new_tokens=6), Runtime("cpu"))


@pytest.fixture(scope="module")
def locating() -> ModuleType:
    return module(ROOT / "tests" / "mllm" / "locating.py")


def noise(count: int, size: tuple[int, int]) -> Frames:
    images = np.random.default_rng(count).integers(0, 256, (count, *size, 3), dtype=np.uint8)
    return Frames(images, np.arange(count, dtype=np.int64) * 2, 4.0)


@pytest.mark.slow
def test_the_readme_works_as_written_and_removal_leaves_no_trace(workplace_of: Callable[[str], Any]) -> None:
    workplace = workplace_of(SMOLVLM.name)
    before = workplace.listing()
    trying, running = workplace.readme_blocks()
    said = workplace.run(trying)
    assert re.search(r"^=+ \d+ passed, 1 skipped", said, re.MULTILINE)  # skipped: it takes over no models of others
    assert "recipe.yaml: no problems" in said
    (ours,) = [row for row in workplace.listing() if row["distribution"] == "gazecut-smolvlm"]
    assert (ours["kind"], ours["name"], ours["state"]) == ("mllm", "smolvlm", "ready")

    workplace.run(running)
    manifest = json.loads((workplace.folder / "out" / "run.json").read_text())
    assert "gazecut-smolvlm" in json.dumps(manifest)
    assert len(list((workplace.folder / "out" / "masks").glob("*.png"))) == 12

    workplace.run("pip uninstall --yes gazecut-smolvlm")
    assert workplace.listing() == before


@pytest.mark.parametrize("view", ["video", "frame"])
def test_every_token_lies_where_the_layout_says(smolvlm: Any, locating: Any, view: str) -> None:
    for size in locating.SIZES:
        locating.locate(smolvlm, view, COUNTS[sum(size) % len(COUNTS)], size, cells=6).check()


def test_a_tile_in_the_wrong_place_does_not_pass(smolvlm: Any, locating: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from gazecut.values import GridLayout

    monkeypatch.setattr(GridLayout, "fold", lambda layout, tokens: tokens.reshape(layout.slots, layout.rows, layout.columns))
    with pytest.raises(AssertionError, match="changes under tokens"):
        locating.locate(smolvlm, "frame", 1, (64, 96)).check()


def test_a_soft_prompt_is_never_taken_for_a_visual_token(smolvlm: Any) -> None:
    """The model, given embeddings, knows visual tokens by their first number; others can begin with the same, in 16 bits above all."""
    soft = torch.zeros(3, smolvlm.width)
    soft[:, 0] = smolvlm.embed("<image>")[0, 0]
    with smolvlm.open(noise(2, (40, 60)), "video", prelude=soft) as session:
        (answer,) = session.ask([Question("red?", TraceSpec(0), Steering(soft, "before-vision"))])
    (trace,) = answer.traces
    assert len(trace.visual_columns) == len(session.layout)


def test_transformers_has_nothing_to_complain_of(smolvlm: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    for view in ("video", "frame"):
        with smolvlm.open(noise(2, (40, 60)), view) as session:
            session.ask([Question("red?", TraceSpec(0))])
    smolvlm.complete("red?")
    assert caplog.messages == []


def test_it_is_short_and_uses_public_names_of_gazecut_only() -> None:
    lines = [line for path in SOURCES for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 120
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert not any(part.startswith("_") for part in (*(node.module or "").split("."), *(each.name for each in node.names))[1:])
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_") or node.attr == "__init__", f"{path.name}: {node.attr}"


def test_its_files_are_as_its_readme_says() -> None:
    readme = (SMOLVLM / "README.md").read_text(encoding="utf-8")
    for path in re.findall(r"^\| `([^`]+\.\w+)`", readme, re.MULTILINE):
        assert (SMOLVLM / path).exists(), path
    text = (SMOLVLM / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    commands = [step["run"] for step in yaml.load(text, yaml.BaseLoader)["jobs"]["test"]["steps"] if "run" in step]
    assert commands
    assert all(command in readme for command in commands)
