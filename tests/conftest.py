"""Fixtures that every test may use."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

SHARED = Path(__file__).parents[1].parent / "shared"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a test computes is kept for it alone, in subprocesses too."""
    folder = tmp_path_factory.getbasetemp() / "cache" / uuid4().hex
    monkeypatch.setenv("GAZECUT_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """A path in the folder of shared test data next to the project; the test is skipped where it is absent."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"no test data at ../shared/{name}; lay it beside the project to run this test")
        return path

    return find


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's tiny checkpoint, made when it is first asked for."""
    made: dict[str, Path] = {}

    def find(family: str) -> Path:
        if family not in made:
            made[family] = _maker("mllm/tiny_checkpoints.py").build_checkpoint(tmp_path_factory.mktemp(family), family)
        return made[family]

    return find


@pytest.fixture(scope="session")
def make_tiny_sam2(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """A `TinySam2` with random weights, see `segmenters/tiny_sam2.py`; "2" or "2.1", made when it is first asked for."""
    made: dict[str, Any] = {}

    def find(generation: str = "2.1") -> Any:
        if generation not in made:
            made[generation] = _maker("segmenters/tiny_sam2.py").build_tiny_sam2(tmp_path_factory.mktemp("sam2"), generation)
        return made[generation]

    return find


def _maker(file: str) -> ModuleType:
    """A module of the tests by its path, for test modules cannot import each other; late, for it imports torch."""
    path = Path(__file__).parent / file
    if path.stem not in sys.modules:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[path.stem] = importlib.util.module_from_spec(spec)  # dataclasses look their module up there
        spec.loader.exec_module(sys.modules[path.stem])
    return sys.modules[path.stem]


@pytest.fixture(scope="session")
def tiny_sam2(make_tiny_sam2: Callable[..., Any]) -> Any:
    """The one of SAM 2.1, in both forms."""
    return make_tiny_sam2("2.1")


@pytest.fixture(scope="session")
def sam2_folder(tiny_sam2: Any) -> Path:
    """The same as transformers saves it."""
    return tiny_sam2.folder


class PluginFolder:
    """A folder that counts as installed packages, for made-up plugins."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, name: str, modules: Mapping[str, str], entry_points: Mapping[str, str], version: str = "1.0") -> None:
        """Install a distribution: modules by name, entry points of the group `gazecut` by name."""
        info = self.path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = [f"{entry} = {target}" for entry, target in entry_points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[gazecut]", *lines, ""]))
        for module, text in modules.items():
            (self.path / f"{module}.py").write_text(text)

    def distributions(self) -> Iterator[metadata.Distribution]:
        """What is installed in this folder, and nothing else."""
        return iter(metadata.distributions(path=[str(self.path)]))


@pytest.fixture
def plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginFolder]:
    """Made-up plugins that can be imported, and are forgotten after the test."""
    folder = PluginFolder(tmp_path / "site")
    folder.path.mkdir()
    monkeypatch.syspath_prepend(str(folder.path))
    yield folder
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(folder.path)):
            del sys.modules[name]
