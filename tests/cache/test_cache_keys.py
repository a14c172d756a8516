"""Keys name everything that a result depends on, and nothing is kept where that is not known."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gazecut.clip import ArrayClip
from gazecut.components import ComponentSpec, hookimpl
from gazecut.keys import code_in_use, device_class, versions
from gazecut.pipeline import Pipeline
from gazecut.testing import fake_pipeline, moving_square
from gazecut.testing.fakes import FakeMean, FakeSegmenter
from gazecut.testing.options import FakeSegmenterOptions
from gazecut.values import Query, Steering


def looked_up(pipeline: Pipeline, clip: object) -> tuple[int, int]:
    """How much was found, and how much in vain; what has no key is not looked for."""
    work = pipeline.segment(clip, "the square").manifest["measured"]["work"]
    return work["cache_hits"], work["cache_misses"]


@pytest.fixture
def square() -> np.ndarray:
    return moving_square().images


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Path]]:
    """written("package/module.py", code) -> the file, in a folder that Python imports from."""
    monkeypatch.syspath_prepend(str(tmp_path))
    known = set(sys.modules)

    def write(name: str, code: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        return path

    yield write
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_code_is_known_by_every_file_of_its_package(written: Callable[[str, str], Path]) -> None:
    written("own_package_a/__init__.py", "")
    written("own_package_a/plugin.py", "one = 1")
    first = code_in_use("own_package_a.plugin")
    assert first is not None
    assert code_in_use("own_package_a.other") == first
    assert code_in_use("own_package_a") == first


def test_a_package_in_a_namespace_is_known_by_its_own_files(written: Callable[[str, str], Path]) -> None:
    written("shared_namespace/one/__init__.py", "")
    written("shared_namespace/one/plugin.py", "a = 1")
    written("shared_namespace/two/__init__.py", "b = 1")
    one, two = code_in_use("shared_namespace.one.plugin"), code_in_use("shared_namespace.two")
    assert one is not None
    assert two is not None
    assert one != two


def test_code_that_was_edited_while_the_process_runs_is_unknown(written: Callable[[str, str], Path]) -> None:
    path = written("own_module_b.py", "one = 1")
    before = code_in_use("own_module_b")
    path.write_text("one = 2")
    assert code_in_use("own_module_b") is None  # the old code may be loaded, or the new
    path.write_text("one = 1")
    assert code_in_use("own_module_b") == before


def test_code_that_is_in_no_file_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "typed_in_a_notebook", ModuleType("typed_in_a_notebook"))
    gone = ModuleType("own_module_gone")
    gone.__file__ = str(tmp_path / "gone.zip" / "own_module_gone.py")
    monkeypatch.setitem(sys.modules, "own_module_gone", gone)
    assert code_in_use("typed_in_a_notebook") is None
    assert code_in_use("own_module_gone") is None
    assert code_in_use("there_is_no_such_module") is None


def plugin_of(name: str, segmenter: type, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A plugin that is in no file, with a segmenter."""
    module = ModuleType(name)

    @hookimpl
    def register_segmenter(register: Callable[[ComponentSpec], None]) -> None:
        register(ComponentSpec("mine", "mine", f"{name}:Mine", "gazecut.testing.options:FakeSegmenterOptions"))

    vars(module).update(register_segmenter=register_segmenter, Mine=segmenter)
    monkeypatch.setitem(sys.modules, name, module)
    return module


def test_what_a_notebook_redefines_is_computed_anew(square: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing(FakeSegmenter):
        def __init__(self, config: FakeSegmenterOptions | None = None, runtime: object = None) -> None:
            super().__init__(FakeSegmenterOptions(contrast=0.99))

    masks = []
    for version in (FakeSegmenter, Nothing):
        plugin = plugin_of("notebook_plugin", version, monkeypatch)
        masks.append(fake_pipeline({"segmenter": "mine"}, plugins=[plugin]).segment(square, "the square").masks)
    alone = fake_pipeline({"segmenter.contrast": 0.99}, cache=False).segment(square, "the square").masks
    np.testing.assert_array_equal(masks[1], alone)
    assert (masks[0] != masks[1]).any()


def test_without_keys_no_frame_is_decoded_for_them(square: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    change = {"segmenter": "attention"}
    plain = fake_pipeline(change, cache=False).segment(square, "the square").manifest["measured"]["work"]
    monkeypatch.setattr("gazecut.keys.source_digest", lambda package: None if package == "gazecut" else package)
    assert fake_pipeline(change).segment(square, "the square").manifest["measured"]["work"] == plain


def test_libraries_are_known_by_the_module_that_they_bring() -> None:
    found = versions(["numpy", "PIL", "yaml.nodes", "there-is-no-such"])
    assert found["numpy"] == np.__version__
    assert found["PIL"].startswith("pillow ")
    assert found["yaml.nodes"].startswith("PyYAML ")
    assert found["there-is-no-such"] == "-"


@pytest.mark.parametrize("variable", ["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"])
def test_another_choice_of_gpus_is_another_device(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(variable, raising=False)
    before = device_class("auto")
    monkeypatch.setenv(variable, "")
    assert device_class("auto") != before
    assert device_class("cuda:1") == "cuda"


def test_a_segmenter_may_go_by_the_time_between_frames(square: np.ndarray) -> None:
    heat = square[:1, ::8, ::8, 0] / 255
    found = []
    for fps in (8.0, 8.0, 4.0):
        result = fake_pipeline().segment_maps(ArrayClip(square, fps=fps), heat, np.array([0]))
        found.append(result.manifest["measured"]["work"]["cache_hits"])
    assert found == [0, 2, 0]  # tracklets and tracks


class Mirrored:
    """A clip of somebody else, whose frames are views that run backwards."""

    def __init__(self, images: np.ndarray) -> None:
        self.name, self.length, self.fps, self.size = "mirrored", len(images), 8.0, images.shape[1:3]
        self._images = images

    def frames(self, indices: Sequence[int] | None = None) -> Iterator[np.ndarray]:
        return (self._images[index][:, ::-1] for index in (range(self.length) if indices is None else indices))


def test_frames_may_lie_in_memory_as_they_like(square: np.ndarray) -> None:
    pipeline = fake_pipeline()
    mirrored = pipeline.segment(Mirrored(square), "the square")
    straight = fake_pipeline().segment(ArrayClip(np.ascontiguousarray(square[:, :, ::-1]), fps=8.0), "the square")
    np.testing.assert_array_equal(mirrored.masks, straight.masks)
    assert straight.manifest["measured"]["work"]["cache_misses"] == 0


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_steering_may_be_a_tensor_that_learns(dtype: str, square: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    soft = torch.full((2, 8), 0.5, dtype=getattr(torch, dtype), requires_grad=True)
    plan = FakeMean.plan

    def steered(self: FakeMean, queries: Sequence[Query]) -> Sequence[Query]:
        return [Query(one.role, one.view, one.prompt, Steering(soft)) for one in plan(self, queries)]

    monkeypatch.setattr(FakeMean, "plan", steered)
    assert looked_up(fake_pipeline(), square)[0] == 0
    assert looked_up(fake_pipeline(), square)[1] == 0
