"""Requests that cannot be met: exit 2, one message that says what to do, and nothing written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gazecut.world import render
from gazecut.world.files import write_video

GOOD = ("clip.mp4", "the red circle")


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs, one good and the others each wrong in one way."""
    folder = tmp_path_factory.mktemp("material")
    write_video(folder / "clip.mp4", render(90_001, frames=12, size=64).frames, fps=12)
    content = (folder / "clip.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(content[: len(content) // 2])
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(4000))
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "no_images").mkdir()
    (folder / "no_images" / "notes.txt").write_text("nothing to see")
    (folder / "taken").write_text("mine")
    _write_audio(folder / "audio.mp4")
    return folder


def _write_audio(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture
def inputs(material: Path, workdir: Path) -> Path:
    shutil.copytree(material, workdir, dirs_exist_ok=True)
    return workdir


def everything(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        yield str(path), path.read_bytes() if path.is_file() else b""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("missing.mp4", "a"), ["missing.mp4"]),
        (("clip.mp5", "a"), ["clip.mp5", "clip.mp4"]),
        (("no_images", "a"), ["no_images", "image"]),
        (("truncated.mp4", "a"), ["truncated.mp4"]),
        (("noise.mp4", "a"), ["noise.mp4"]),
        (("empty.mp4", "a"), ["empty.mp4"]),
        (("audio.mp4", "a"), ["audio.mp4", "video"]),
        (("clip.mp4", ""), ["the expression is empty"]),
        (("clip.mp4", "the red circle", "  "), ["the expression is empty"]),
        ((*GOOD, "--recipe", "poket"), ['no recipe is called "poket"', 'did you mean "pocket"?']),
        ((*GOOD, "--recipe", "nowhere.yaml"), ["there is no recipe file nowhere.yaml", "gazecut recipes"]),
        ((*GOOD, "--set", "segmenter=clasical"), ['no segmenter is called "clasical"', 'did you mean "classical"?', "gazecut plugins"]),
        ((*GOOD, "--set", "selector.treshold=1"), ["has no such option", 'did you mean "threshold"?', "gazecut show selector threshold"]),
        ((*GOOD, "--set", "selector.threshold=high"), ['found "high"', "should be a valid number"]),
        ((*GOOD, "--set", "sampler.frames=0"), ["found 0", "greater than or equal to 1"]),
        ((*GOOD, "--set", "fusion.contrastve.sigma=1"), ['fusion has no entry "contrastve"', 'did you mean "contrastive"?']),
        ((*GOOD, "--set", "threshold"), ['wanted "stage.option=value"']),
        ((*GOOD, "--device", "gpu"), ['no device is called "gpu"', "cuda"]),
        ((*GOOD, "--device", "cuda:99"), ["cuda:99"]),
        ((*GOOD, "--output", "taken"), ['"taken" is a file']),
        ((*GOOD, "--output", "taken/deeper"), ["which is a file"]),
        ((*GOOD, "the star", "--output", "taken"), ["which is a file"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input(gazecut: Any, inputs: Path, arguments: tuple[str, ...], words: list[str]) -> None:
    before = list(everything(inputs))
    ended = gazecut("segment", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.count("gazecut: ") == 1
    assert [word for word in words if word not in ended.err] == []
    assert "Traceback" not in ended.err
    assert list(everything(inputs)) == before


NAMES = st.from_regex(r"[a-z][a-z.=\[\]{}:,-]{0,20}", fullmatch=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES)
def test_no_override_whatsoever_ends_in_a_traceback(gazecut: Any, text: str) -> None:
    ended = gazecut("recipe", "check", "pocket", "--set", text)
    assert ended.status in (0, 2)
    assert "this should not happen" not in ended.err
