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
from hypothesis import HealthCheck, settings

settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", settings.get_profile("default"), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")
"""Hypothesis draws the same examples in every run, however slow the machine, so that a test which fails is the change's own failure. New
examples are looked for with `--hypothesis-profile=search`."""

SHARED = Path(__file__).parents[1].parent / "shared"


@pytest.fixture(autouse=True, scope="session")
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is made for several tests keeps nothing in the user's cache, and finds nothing there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAZECUT_CACHE", str(tmp_path_factory.getbasetemp() / "cache" / "several"))
        yield


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a test computes is kept for it alone, in subprocesses too."""
    folder = tmp_path_factory.getbasetemp() / "cache" / uuid4().hex
    monkeypatch.setenv("GAZECUT_CACHE", str(folder))
    if "gazecut.keys" in sys.modules:  # somebody who edits while tests run makes known results unknown for one test, not for all others
        monkeypatch.setattr("gazecut.keys._first_seen", {})
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
            common, own = _maker("mllm/tiny_checkpoints.py"), f"mllm/tiny_{family.replace('-', '_')}.py"
            folder = tmp_path_factory.mktemp(family)
            has_own = (Path(__file__).parent / own).exists()
            made[family] = _maker(own).build_checkpoint(folder) if has_own else common.build_checkpoint(folder, family)
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


@pytest.fixture(scope="session")
def make_soft_prompts(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """make_soft_prompts(width=8, tokens=4, **record) -> a folder with soft prompts of both views in video/ and frame/."""

    def make(width: int = 8, tokens: int = 4, **record: Any) -> Path:
        import numpy as np

        from gazecut_fusion.soft_prompt_files import Backbone, SoftPrompt, SoftPromptRecord, save_soft_prompt

        folder = tmp_path_factory.mktemp("soft_prompts")
        draw = np.random.default_rng(len(str(folder)))
        about = {"backbone": Backbone(mllm="fake", weights="fake"), "prompts": "steerseg", "normalization": "per-frame", **record}
        for view in ("video", "frame"):
            embeddings = draw.normal(size=(tokens, width)).astype(np.float32)
            found = SoftPromptRecord(**{"view": view, "attribution": {"use": "rollout"}, **about})
            save_soft_prompt(SoftPrompt(embeddings, found), folder / view)
        return folder

    return make


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


@pytest.fixture(scope="session")
def make_videos(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """make_videos(videos=3, frames=4) -> a folder of made-up videos with expressions and masks, see `fusion/train_data.py`."""
    return lambda **wanted: _maker("fusion/train_data.py").build_videos(tmp_path_factory.mktemp("videos"), **wanted)


@pytest.fixture(scope="session")
def tiny_training(checkpoint: Callable[[str], Path]) -> dict[str, Any]:
    """A recipe on a tiny checkpoint that soft prompts can be trained through in a moment."""
    views = {"video": {"tokens_per_frame": 16}, "frame": {"scale": 1, "batch": 4}}
    weights = str(checkpoint("qwen2.5-vl"))
    return {
        "version": 1,
        "extends": "pocket",
        "sampler": {"use": "uniform", "frames": 4},
        "mllm": {"use": "qwen2.5-vl", "weights": weights, "dtype": "float32", "views": views, "seconds_per_slot": 1.0},
        "prompts": {"object": "{expression} what is it?"},  # the tiny tokenizer makes hundreds of tokens of the usual questions
        "fusion": [{"use": "complementary"}],
        "attribution": {"use": "rollout", "head_weighting": "mean", "first_layer": 1},
    }
