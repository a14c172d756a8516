"""The plugin template, used as a newcomer uses it: by the commands of its README, in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

TEMPLATE = Path(__file__).parents[2] / "examples" / "gazecut-plugin-template"
COMPONENTS = {("scorer", "heat-gain"), ("fusion", "geometric-mean")}
SCRIPTS = ("gazecut", "pip", "pytest")


def readme_blocks() -> list[str]:
    return re.findall(r"^```bash\n(.*?)^```", (TEMPLATE / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


class Workplace:
    """An environment that sees everything installed here, offline, with a copy of the template in its working directory."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder / "env", symlinks=True)
        self.bin = folder / "env" / "bin"
        here = sysconfig.get_path("purelib")
        site = sysconfig.get_path("purelib", "venv", {"base": str(folder / "env")})
        (Path(site) / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
        for name in SCRIPTS:
            script = (Path(sysconfig.get_path("scripts")) / name).read_text()
            (self.bin / name).write_text(re.sub(r"\A#!.*", f"#!{self.bin / 'python'}", script))
            (self.bin / name).chmod(0o755)
        self.folder = folder / "gazecut-plugin-template"
        shutil.copytree(TEMPLATE, self.folder, ignore=shutil.ignore_patterns("__pycache__", ".*_cache", "*.egg-info"))

    def run(self, script: str) -> str:
        offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "GAZECUT", "VIRTUAL"))}
        environment = kept | offline | {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}
        command = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, f"{script}\nexit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def listing(self) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = json.loads(self.run("gazecut plugins --json"))
        return rows


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def test_the_readme_works_as_written_and_removal_leaves_no_trace(workplace: Workplace) -> None:
    before = workplace.listing()
    trying, running = readme_blocks()
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


def test_a_renamed_copy_is_a_package_of_its_own(workplace: Workplace, tmp_path: Path) -> None:
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


def test_its_ci_runs_the_commands_of_its_readme() -> None:
    text = (TEMPLATE / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 15
    steps = yaml.load(text, yaml.BaseLoader)["jobs"]["test"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    assert commands
    assert set(commands) <= set(readme_blocks()[0].splitlines())


def test_its_files_say_the_names_of_its_components() -> None:
    readme = (TEMPLATE / "README.md").read_text(encoding="utf-8")
    recipe = yaml.safe_load((TEMPLATE / "recipe.yaml").read_text(encoding="utf-8"))
    assert recipe["scorer"] == {"use": "heat-gain"}
    assert recipe["fusion"][-1] == {"use": "geometric-mean"}
    for path in re.findall(r"^\| `([^`]+)`", readme, re.MULTILINE):
        assert (TEMPLATE / path).exists()
