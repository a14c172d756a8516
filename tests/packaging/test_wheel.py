"""What ships: every package with its data and types, and nothing of the workshop."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gazecut", "gazecut_plugins", "gazecut_mllm", "gazecut_segmenter", "gazecut_fusion")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    # Hatchling is called as pip calls it, without an environment of its own to download it into.
    code = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_packages_with_their_types_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(wheel.namelist())


def test_data_goes_along(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for folder in ("gazecut/recipes", "gazecut/prompts"):
        data = {f"{folder}/{path.name}" for path in (ROOT / "core" / folder).glob("*.yaml")}
        assert data
        assert data <= names


def test_the_pocket_weights_go_along_and_stay_small(wheel: zipfile.ZipFile) -> None:
    weights = [info for info in wheel.infolist() if info.filename.startswith("gazecut_mllm/pocket/")]
    assert any(info.filename.endswith(".safetensors") for info in weights)
    assert sum(info.file_size for info in weights) <= 12 * 2**20


def test_no_cache_and_no_test_goes_along(wheel: zipfile.ZipFile) -> None:
    assert [name for name in wheel.namelist() if "__pycache__" in name or "/tests/" in name or name.endswith((".pt", ".ckpt"))] == []


def test_licence_extras_and_entry_points(wheel: zipfile.ZipFile) -> None:
    (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    metadata = message_from_bytes(wheel.read(f"{info}/METADATA"))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("Provides-Extra")) == {"mllm", "sam2", "scenes", "flash", "quantized", "all", "test"}
    base = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert not any(line.startswith(("torch", "transformers")) for line in base)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["gazecut"]
    table = wheel.read(f"{info}/entry_points.txt").decode()
    assert all(f"{name} = {module}" in table for name, module in declared.items())
    assert "gazecut = gazecut.cli:main" in table
