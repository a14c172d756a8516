"""The plugin template, used as a newcomer uses it: by the commands of its README, in an environment of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

TEMPLATE = Path(__file__).parents[2] / "examples" / "gazecut-plugin-template"
COMPONENTS = {("scorer", "heat-gain"), ("fusion", "geometric-mean")}


@pytest.fixture
def workplace(workplace_of: Callable[[str], Any]) -> Any:
    return workplace_of(TEMPLATE.name)


def test_the_readme_works_as_written_and_removal_leaves_no_trace(workplace: Any) -> None:
    before = workplace.listing()
    trying, running = workplace.readme_blocks()
    said = workplace.run(trying)
    assert re.search(r"^=+ \d+ passed", said, re.MULTILINE)
    assert "recipe.yaml: no problems" in said

    ours = [row for row in workplace.listing() if row["distribution"] == "gazecut-template"]
    assert {(row["kind"], row["name"]) for row in ours} == COMPONENTS
    assert {row["state"] for row in ours} == {"ready"}

    workplace.run(running)
    assert overlap(workplace.folder, "the green triangle") > 0.5
    manifest = json.loads((workplace.folder / "out" / "run.json").read_text())
    assert "gazecut-template" in json.dumps(manifest)

    workplace.run("pip uninstall --yes gazecut-template")
    assert workplace.listing() == before


def overlap(folder: Path, expression: str) -> float:
    """Mean intersection over union of what was found with what the expression names."""
    (scene,) = folder.glob("world/*/scene.json")
    (ids,) = [each["object_ids"] for each in json.loads(scene.read_text())["expressions"] if each["text"] == expression]
    shares = []
    for truth, found in zip(sorted(scene.parent.glob("masks/*.png")), sorted(folder.glob("out/masks/*.png")), strict=True):
        wanted, got = np.isin(np.array(Image.open(truth)), [each + 1 for each in ids]), np.array(Image.open(found)) > 0
        shares.append((wanted & got).sum() / max((wanted | got).sum(), 1))
    return float(np.mean(shares))


def test_a_renamed_copy_is_a_package_of_its_own(workplace: Any, tmp_path: Path) -> None:
    (workplace.folder / "src" / "gazecut_template").rename(workplace.folder / "src" / "acme_gaze")
    for path in workplace.folder.rglob("*.*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8").replace("gazecut_template", "acme_gaze").replace("gazecut-template", "acme-gaze")
            path.write_text(re.sub(r"^template =", "gaze =", text, flags=re.MULTILINE), encoding="utf-8")
    workplace.run("pip install .")  # as a wheel, this time
    ours = [row for row in workplace.listing() if row["distribution"] == "acme-gaze"]
    assert {(row["kind"], row["name"]) for row in ours} == COMPONENTS
    assert {(row["entry_point"], row["state"]) for row in ours} == {("gaze", "ready")}
    (package,) = tmp_path.glob("env/lib/*/site-packages/acme_gaze")
    assert {path.name for path in (workplace.folder / "src" / "acme_gaze").iterdir()} <= {path.name for path in package.iterdir()}


def test_its_ci_runs_the_commands_of_its_readme(workplace: Any) -> None:
    text = (TEMPLATE / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 15
    steps = yaml.load(text, yaml.BaseLoader)["jobs"]["test"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    assert commands
    assert set(commands) <= set(workplace.readme_blocks()[0].splitlines())


def test_its_files_say_the_names_of_its_components() -> None:
    readme = (TEMPLATE / "README.md").read_text(encoding="utf-8")
    recipe = yaml.safe_load((TEMPLATE / "recipe.yaml").read_text(encoding="utf-8"))
    assert recipe["scorer"] == {"use": "heat-gain"}
    assert recipe["fusion"][-1] == {"use": "geometric-mean"}
    for path in re.findall(r"^\| `([^`]+)`", readme, re.MULTILINE):
        assert (TEMPLATE / path).exists()
