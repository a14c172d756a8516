"""LLaVA-OneVision: wrong weights, files, options and clips are refused in words; whatever else comes is answered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlavaOnevisionConfig as ModelConfig

from gazecut.errors import BackendError, ClipError, PromptError, RequestError, WeightsError
from gazecut.protocols import Runtime
from gazecut.values import Frames, Question, TraceSpec
from gazecut_mllm.config import LlavaOnevisionConfig, Qwen25VLConfig
from gazecut_mllm.llava_onevision import LlavaOnevision, LlavaOnevisionBackend
from gazecut_mllm.qwen2_5_vl import Qwen25VLBackend
from gazecut_mllm.rollout import rollout_row


@pytest.fixture(scope="module")
def make(checkpoint: Callable[[str], Path]) -> Callable[..., LlavaOnevisionBackend]:
    def build(**given: Any) -> LlavaOnevisionBackend:
        given = {"weights": str(checkpoint("llava-onevision")), "views": {"frame": {"max_tiles": 4}}, "max_new_tokens": 3, **given}
        return LlavaOnevisionBackend(LlavaOnevisionConfig(**given), Runtime("cpu"))

    return build


@pytest.fixture(scope="module")
def llava(make: Callable[..., LlavaOnevisionBackend]) -> LlavaOnevisionBackend:
    return make()


@pytest.fixture
def copy(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """A checkpoint that a test may break."""
    return Path(shutil.copytree(checkpoint("llava-onevision"), tmp_path / "copy"))


def test_weights_of_another_family(checkpoint: Callable[[str], Path], make: Callable[..., LlavaOnevisionBackend]) -> None:
    with pytest.raises(WeightsError, match=r'of type "qwen2_5_vl"; wanted "llava_onevision". Set mllm.use to "qwen2.5-vl"') as caught:
        make(weights=str(checkpoint("qwen2.5-vl")))
    assert caught.value.exit_status == 2
    with pytest.raises(WeightsError, match=r'of type "llava_onevision"; wanted "qwen2_5_vl". Set mllm.use to "llava-onevision"'):
        Qwen25VLBackend(Qwen25VLConfig(weights=str(checkpoint("llava-onevision"))), Runtime("cpu"))


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (("processor_config.json",), "cannot load processor and tokenizer files|has no"),
        (("chat_template.jinja",), "has no chat template"),
        (("tokenizer.json", "tokenizer_config.json"), "cannot load processor and tokenizer files|does not know <image>"),
        (("model.safetensors",), "cannot load weights in safetensors form"),
    ],
)
def test_missing_files(copy: Path, make: Callable[..., LlavaOnevisionBackend], missing: tuple[str, ...], message: str) -> None:
    for name in missing:
        (copy / name).unlink()
    with pytest.raises(WeightsError, match=message) as caught:
        make(weights=str(copy))
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("ratio", ["pad", "anyres", "anyres_max_", "anyres_max_0", "anyres_max_x", "square"])
def test_checkpoints_of_older_models(copy: Path, make: Callable[..., LlavaOnevisionBackend], ratio: str) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "vision_aspect_ratio": ratio}))
    with pytest.raises(WeightsError, match=f'vision_aspect_ratio of the checkpoint is "{ratio}"; wanted "anyres_max_" and a number'):
        make(weights=str(copy))


def test_fewer_tiles_than_the_model_knows() -> None:
    model = ModelConfig(image_grid_pinpoints=[[768, 384], [384, 1152]])
    options: Any = {"weights": "x", "views": {"frame": {"max_tiles": 1}}}
    with pytest.raises(WeightsError, match=r"mllm\.views\.frame\.max_tiles is 1; wanted 2 or more, the fewest tiles"):
        LlavaOnevision(LlavaOnevisionConfig(**options), None, model)


def test_a_processor_of_another_tile_size(make: Callable[..., LlavaOnevisionBackend], make_frames: Callable[..., Frames]) -> None:
    backend = make()
    backend.family.processor.image_processor.size = {"height": 15, "width": 15}
    backend.family.processor.video_processor.size = {"height": 15, "width": 15}
    with pytest.raises(BackendError, match=r"made tiles \(1, 2, 3, 15, 15\); wanted \(1, 2, 3, 30, 30\): sequences, tiles of each"):
        backend.open(make_frames(2), "video")
    with pytest.raises(BackendError, match=r"made tiles \(2, .*15, 15\); wanted \(2, 5, 3, 30, 30\)"):
        backend.open(make_frames(2), "frame")


def test_a_processor_that_knows_other_arrangements_is_told_those_of_the_model(
    make: Callable[..., LlavaOnevisionBackend], make_frames: Callable[..., Frames]
) -> None:
    backend = make()
    with backend.open(make_frames(1), "frame") as session:
        before = session.ask([Question("x")])[0].texts
    backend.family.processor.image_processor.image_grid_pinpoints = [[30, 30]]
    with backend.open(make_frames(1), "frame") as session:
        assert session.ask([Question("x")])[0].texts == before


def test_questions_with_visual_tokens(llava: LlavaOnevisionBackend, make_frames: Callable[..., Frames]) -> None:
    with llava.open(make_frames(1), "video") as session, pytest.raises(PromptError, match="leave <image> and <video> out"):
        session.ask([Question("look <image>")])


def test_a_side_of_one_pixel(llava: LlavaOnevisionBackend, make_frames: Callable[..., Frames]) -> None:
    with pytest.raises(ClipError, match=r"frames are 90x1 px; .* one side is less than a patch\. Crop the clip"):
        llava.open(make_frames(1, (1, 90)), "frame")


def test_a_context_that_is_too_long(llava: LlavaOnevisionBackend) -> None:
    frames = Frames(np.zeros((130, 30, 30, 3), np.uint8), np.arange(130), 4.0)  # 16 tokens each
    with pytest.raises(RequestError, match="2048"), llava.open(frames, "video") as session:
        session.ask([Question("x")])
    with llava.open(Frames(frames.images[:100], frames.indices[:100], 4.0), "video") as session:
        assert session.layout.slots == 100


def test_larger_views_say_what_to_lower(llava: LlavaOnevisionBackend, make: Callable[..., LlavaOnevisionBackend]) -> None:
    assert llava.family.larger("frame") == ["mllm.views.frame.max_tiles (now 4)"]
    assert make(views={}).family.larger("frame") == ["mllm.views.frame.max_tiles (now as the model has it)"]
    assert llava.family.larger("video") == []


def test_the_frames_lie_on_no_more_tiles_than_asked(llava: LlavaOnevisionBackend) -> None:
    family: Any = llava.family
    assert family.tiling((300, 300)).tiles == (2, 2)
    assert family.tiling((30, 300)).tiles == (1, 4)


@settings(max_examples=6)
@given(st.tuples(st.integers(1, 70), st.integers(1, 70)), st.integers(1, 3), st.sampled_from(["video", "frame"]))
def test_any_size_is_answered_or_refused(llava: LlavaOnevisionBackend, size: tuple[int, int], count: int, view: str) -> None:
    frames = Frames(np.random.default_rng(count).integers(0, 256, (count, *size, 3), dtype=np.uint8), np.arange(count), 4.0)
    try:
        session = llava.open(frames, view)
    except ClipError:
        assert view == "frame"
        assert max(size) >= 7 * min(size)
        return
    with session:
        (answer,) = session.ask([Question("x", TraceSpec(3))])
    rows = [np.asarray(rollout_row(trace.layers, trace.visual_columns)[trace.visual_columns]) for trace in answer.traces]
    maps = session.layout.fold(np.concatenate(rows))
    assert maps.shape == (count, session.layout.rows, session.layout.columns)
    assert np.isfinite(maps).all()
