"""Example packages, used as a newcomer uses them: by the commands of their READMEs, each in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = ("gazecut", "pip", "pytest")


class Workplace:
    """An environment that sees everything installed here, offline, with a copy of an example in its working directory."""

    def __init__(self, example: str, folder: Path) -> None:
        venv.create(folder / "env", symlinks=True)
        self.bin = folder / "env" / "bin"
        here = sysconfig.get_path("purelib")
        site = sysconfig.get_path("purelib", "venv", {"base": str(folder / "env")})
        (Path(site) / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
        for name in SCRIPTS:
            script = (Path(sysconfig.get_path("scripts")) / name).read_text()
            (self.bin / name).write_text(re.sub(r"\A#!.*", f"#!{self.bin / 'python'}", script))
            (self.bin / name).chmod(0o755)
        self.source, self.folder = EXAMPLES / example, folder / example
        shutil.copytree(self.source, self.folder, ignore=shutil.ignore_patterns("__pycache__", ".*_cache", "*.egg-info"))

    def readme_blocks(self) -> list[str]:
        """Commands, block by block."""
        text = (self.source / "README.md").read_text(encoding="utf-8")
        return re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)

    def run(self, script: str) -> str:
        """What a script says on standard output; it must succeed."""
        offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "GAZECUT", "VIRTUAL"))}
        environment = kept | offline | {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}
        command = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, f"{script}\nexit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def listing(self) -> list[dict[str, str]]:
        """What `gazecut plugins` lists."""
        rows: list[dict[str, str]] = json.loads(self.run("gazecut plugins --json"))
        return rows


@pytest.fixture
def workplace_of(tmp_path: Path) -> Callable[[str], Workplace]:
    """A workplace for an example, by the name of its folder."""
    return lambda example: Workplace(example, tmp_path)
