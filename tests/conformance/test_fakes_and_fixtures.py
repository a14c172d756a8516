"""The synthetic clip, the fakes as a pipeline, and the fixtures that pytest has wherever Gazecut is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gazecut.testing
from gazecut.testing import fake_pipeline, moving_square
from gazecut.testing.compare import difference, fingerprint
from gazecut.values import TraceSpec

USES_FIXTURES = """
def test_they_are_there(clip, scene, fake_mllm, pipeline):
    result = pipeline.segment(clip, "the bright square")
    assert (result.masks == clip.truth).all()
    assert scene.frames.shape == (4, 64, 64, 3)
    assert fake_mllm.complete("what is it?") == "square"
"""


@pytest.mark.parametrize(("frames", "size"), [(8, (64, 80)), (1, (64, 80)), (3, (37, 91)), (2, (1, 1)), (2, (300, 5))])
def test_the_square_moves_within_the_picture(frames: int, size: tuple[int, int]) -> None:
    square = moving_square(frames, size)
    assert square.images.shape == (frames, *size, 3)
    assert square.truth.shape == (frames, *size)
    assert (square.length, square.size) == (frames, size)
    areas = {int(mask.sum()) for mask in square.truth}
    assert areas == {max(1, 3 * min(size) // 8) ** 2}
    lefts = [int(np.nonzero(mask)[1].min()) for mask in square.truth]
    assert lefts == sorted(lefts)


def test_a_pipeline_of_fakes_finds_the_square(tmp_path: Path) -> None:
    square = moving_square()
    with fake_pipeline().open(square) as session:
        first, second = session.segment_many(["the bright square", "the background"])
    np.testing.assert_array_equal(first.masks, square.truth)
    assert first.category == "square"
    assert [record.role for record in first.answers] == ["object", "object", "category", "background", "background"]
    assert second.masks.shape == square.truth.shape
    assert (first.save(tmp_path / "out") / "fake.json").exists()


def test_a_stage_of_the_fake_pipeline_can_be_real() -> None:
    result = fake_pipeline({"scorer": "object-score", "selector.k": 2}).segment(moving_square(), "the square")
    assert {judged.consistency for judged in result.tracklets} == {None}


def test_pipelines_of_fakes_need_no_torch() -> None:
    code = (
        "import sys; from gazecut.testing import fake_pipeline, moving_square;"
        "fake_pipeline().segment(moving_square(), 'it'); print(sorted({'torch', 'transformers', 'pytest'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_the_fake_model_looks_where_it_is_told(fake_look: tuple) -> None:
    told, found = fake_look
    np.testing.assert_allclose(found, told, atol=1e-9)


@pytest.fixture
def fake_look() -> tuple[np.ndarray, np.ndarray]:
    from gazecut.testing.conformance.models import noise
    from gazecut.testing.fakes import FakeAttribution, FakeMLLM
    from gazecut.values import Question

    told = np.random.default_rng(0).random((2, 3, 4)) / 30
    backend = FakeMLLM(maps={("object", "video"): told})
    with backend.open(noise(4), "video") as session:
        trace = session.ask([Question("what is it?", TraceSpec())])[0].traces[0]
        return told, session.layout.fold(FakeAttribution().scores(trace))


def test_fixtures_are_there_in_any_project(tmp_path: Path) -> None:
    installed = tmp_path / "site" / "elsewhere-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[pytest11]\ngazecut = gazecut.testing.pytest_plugin\n")
    (tmp_path / "test_uses.py").write_text(USES_FIXTURES)
    environment = {**os.environ, "PYTHONPATH": str(installed.parent)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_uses.py"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_pytest_plugin_imports_next_to_nothing() -> None:
    code = "import pytest, sys; before = set(sys.modules); import gazecut.testing.pytest_plugin;print(*sorted(set(sys.modules) - before))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [name for name in ended.stdout.split() if "." not in name] == ["gazecut"]
    assert {name for name in ended.stdout.split() if "." in name} == {"gazecut.testing", "gazecut.testing.pytest_plugin"}


def test_without_pytest_the_kit_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("gazecut.testing.conformance")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(ImportError) as caught:
        gazecut.testing.ScorerConformance  # noqa: B018
    message = 'gazecut.testing.ScorerConformance needs pytest, which is not installed. Install it: pip install "gazecut[test]"'
    assert str(caught.value) == message


def test_the_kit_lists_what_it_has() -> None:
    assert all(getattr(gazecut.testing, name) is not None for name in gazecut.testing.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        gazecut.testing.nothing  # noqa: B018


def test_a_difference_is_named_by_its_path() -> None:
    first, second = moving_square(2).truth, moving_square(2).truth.copy()
    before = fingerprint({"masks": [first, 1]}, "result")
    assert difference(before, fingerprint({"masks": [second, 1]}, "result")) is None
    second[0, 0, 0] = True
    assert difference(before, fingerprint({"masks": [second, 1]}, "result")) == "result['masks'][0]"
    assert difference(before, fingerprint({"masks": [first]}, "result")) == "result['masks']"
