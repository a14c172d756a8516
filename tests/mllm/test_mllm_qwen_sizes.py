"""What the Qwen families are shown: grids and numbers of tokens by the checkpoints' own limits, and when slots are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor, Qwen3VLVideoProcessor

from gazecut.errors import ClipError, ShapeError
from gazecut.recipe import load_recipe
from gazecut.values import Frames, Question, TraceSpec
from gazecut_mllm import config as options
from gazecut_mllm.backend import Backend
from gazecut_mllm.positions import mrope_positions
from gazecut_mllm.qwen import QwenVL
from gazecut_mllm.qwen2_5_vl import Qwen25VL
from gazecut_mllm.qwen2_vl import Qwen2VL
from gazecut_mllm.qwen3_vl import Qwen3VL

# Limits in pixels as the checkpoints' files have them: images, videos.
CHECKPOINTS: dict[str, tuple[Any, Any, int, tuple[int, int], tuple[int, int]]] = {
    "qwen2-vl": (Qwen2VL, options.Qwen2VLConfig, 14, (3136, 12_845_056), (100_352, 602_112)),
    "qwen2.5-vl": (Qwen25VL, options.Qwen25VLConfig, 14, (3136, 12_845_056), (100_352, 602_112)),
    "qwen3-vl": (Qwen3VL, options.Qwen3VLConfig, 16, (65_536, 16_777_216), (4096, 25_165_824)),
}
# (H, W) of the clip; rows and columns of the video view at 28 px per token, and at 32. The frame view has twice as many each way.
GRIDS = [
    ((480, 854), (14, 26), (14, 26)),
    ((720, 1280), (14, 26), (15, 26)),
    ((1080, 1920), (14, 26), (15, 26)),
    ((480, 910), (14, 27), (14, 27)),
    ((480, 640), (17, 23), (15, 20)),
    ((360, 640), (13, 23), (11, 20)),
    ((1280, 720), (26, 14), (26, 15)),
]
TOKENS = {(14, 26): (2912, 1456), (14, 27): (3024, 1512), (17, 23): (3128, 1564), (13, 23): (2392, 1196), (26, 14): (2912, 1456)}
"""Of eight slots and of one frame, as the authors of DecAF have them."""


@pytest.fixture(scope="module", params=CHECKPOINTS)
def family(request: pytest.FixtureRequest, checkpoint: Callable[[str], Path]) -> QwenVL:
    """A family with the sizes of its published checkpoints; none of its layers is needed."""
    kind, config, patch, image, video = CHECKPOINTS[request.param]
    processor: Any = AutoProcessor.from_pretrained(checkpoint(request.param))
    sizes = [{"shortest_edge": least, "longest_edge": most} for least, most in (image, video)]
    patches = {"patch_size": patch, "merge_size": 2, "temporal_patch_size": 2}
    videos = Qwen3VLVideoProcessor if kind is Qwen3VL else Qwen2VLVideoProcessor
    processor.image_processor = Qwen2VLImageProcessor(size=sizes[0], **patches)
    processor.video_processor = videos(size=sizes[1], cap_pixels_per_frame=False, **patches)
    vision = SimpleNamespace(patch_size=patch, spatial_merge_size=2, temporal_patch_size=2, tokens_per_second=2)
    start = processor.tokenizer.convert_tokens_to_ids("<|vision_start|>")
    return kind(config(weights="x"), processor, SimpleNamespace(vision_config=vision, vision_start_token_id=start))


def black(count: int, size: tuple[int, int], fps: float = 8.0, every: int = 4) -> Frames:
    return Frames(np.zeros((count, *size, 3), np.uint8), np.arange(count, dtype=np.int64) * every, fps)


@pytest.mark.parametrize(("size", "of_28", "of_32"), GRIDS)
def test_grids_and_numbers_of_tokens(family: QwenVL, size: tuple[int, int], of_28: tuple[int, int], of_32: tuple[int, int]) -> None:
    grid = of_28 if family.cell == 28 else of_32
    frames = black(16, size)
    video, frame = family.layout(frames, "video"), family.layout(frames, "frame")
    assert (video.slots, video.rows, video.columns, video.frames_per_slot) == (8, *grid, 2)
    assert (frame.slots, frame.rows, frame.columns, frame.frames_per_slot) == (16, 2 * grid[0], 2 * grid[1], 1)
    found = [
        placement.texts[0].count(placement.token)
        for placement in (family.placement(frames, "video", video), family.placement(frames, "frame", frame))
    ]
    assert found == [len(video), len(frame) // 16]
    if family.cell == 28:
        assert tuple(found) == TOKENS[grid]


@pytest.mark.parametrize("size", [(480, 854), (1280, 720), (17, 300)])
def test_the_processors_limits_change_no_size(family: QwenVL, size: tuple[int, int]) -> None:
    frames = black(5, size)
    video, frame = family.layout(frames, "video"), family.layout(frames, "frame")
    shown = family.pixels(frames.images[None], "video", video)
    assert shown["video_grid_thw"].tolist() == [[3, 2 * video.rows, 2 * video.columns]]
    assert len(shown["pixel_values_videos"]) == 4 * len(video)
    shown = family.pixels(frames.images[:2, None], "frame", frame)
    assert shown["image_grid_thw"].tolist() == [[1, 2 * frame.rows, 2 * frame.columns]] * 2


def times(kind: type[QwenVL], family: QwenVL, given: Any, frames: Frames) -> tuple[list[list[int]], str]:
    """Positions of all visual tokens, and the text around them, of the video view."""
    placement = kind(given, family.processor, family.model_config)
    shown = placement.placement(frames, "video", placement.layout(frames, "video"))
    visual = torch.ones(sum(map(len, shown.blocks)), dtype=torch.bool)
    return mrope_positions(visual, shown.blocks).tolist(), shown.texts[0]


@pytest.mark.parametrize("name", ["decaf-qwen2-vl-2b", "decaf-qwen2-vl-7b", "decaf-qwen2.5-vl-3b", "decaf-qwen2.5-vl-7b"])
def test_positions_of_the_papers_recipes_do_not_know_the_clips_speed(name: str, family: QwenVL) -> None:
    stage = load_recipe(name).mllm
    kind = CHECKPOINTS[stage.use][0]
    found = [times(kind, family, stage.options, black(16, (48, 64), fps, every)) for fps, every in ((24.0, 3), (8.0, 1), (1.5, 7))]
    assert found[0] == found[1] == found[2]
    steps = sorted(set(found[0][0][0]))
    assert steps == [slot * (2 if stage.use == "qwen2.5-vl" else 1) for slot in range(8)]


@pytest.mark.parametrize("family", ["qwen2.5-vl", "qwen3-vl"], indirect=True)
def test_slots_of_a_fraction_of_a_second_stay_apart(family: QwenVL) -> None:
    config = CHECKPOINTS["qwen3-vl" if family.cell == 32 else "qwen2.5-vl"][1]
    frames = black(8, (48, 64), fps=8.0, every=2)  # half a second per slot
    for asked in (config(weights="x"), config(weights="x", seconds_per_slot=0.5), config(weights="x", seconds_per_slot=1.9)):
        positions, text = times(type(family), family, asked, frames)
        assert len(set(positions[0])) == 4
        assert len(set(text.split("<|vision_start|>"))) == (5 if family.cell == 32 else 1)


@pytest.mark.parametrize("family", ["qwen3-vl"], indirect=True)
def test_qwen3_vl_is_told_when_frames_are(family: QwenVL) -> None:
    def said(seconds: Any, frames: Frames) -> list[str]:
        _, text = times(Qwen3VL, family, options.Qwen3VLConfig(weights="x", seconds_per_slot=seconds), frames)
        return [part.rpartition("<")[2] for part in text.split(" seconds>")[:-1]]

    clip = Frames(np.zeros((5, 48, 64, 3), np.uint8), np.array([0, 4, 10, 20, 32]), 8.0)
    assert said("auto", clip) == ["0.2", "1.9", "4.0"]  # the mean of a slot's frames; the last one stands alone
    assert said(1.0, clip) == ["0.2", "1.2", "2.0"]
    assert said(4.0, clip) == ["1.0", "5.0", "8.0"]


@settings(max_examples=25)
@given(st.tuples(st.integers(1, 300), st.integers(1, 300)), st.integers(1, 3), st.sampled_from(["video", "frame"]))
def test_any_size_is_answered_or_refused(backend: Backend, size: tuple[int, int], count: int, view: str) -> None:
    frames = Frames(np.random.default_rng(count).integers(0, 256, (count, *size, 3), dtype=np.uint8), np.arange(count), 4.0)
    if max(size) > 200 * min(size):
        with pytest.raises(ClipError, match="aspect of up to 200:1"):
            backend.open(frames, view)
        return
    with backend.open(frames, view, trace=TraceSpec(2)) as session:
        answer = session.ask([Question("x", TraceSpec(2))])[0]
    tokens = sum(len(trace.visual_columns) for trace in answer.traces)
    assert tokens == len(session.layout)


def test_no_frames_and_a_side_of_one_pixel(qwen25: Backend, make_frames: Callable[..., Frames]) -> None:
    with pytest.raises(ShapeError, match="wanted one or more") as caught:
        Frames(np.zeros((0, 8, 8, 3), np.uint8), np.zeros(0, np.int64), 4.0)
    assert caught.value.exit_status == 2
    with pytest.raises(ClipError, match=r"frames are 201x1 px; the model takes an aspect of up to 200:1\. Crop the clip") as caught_clip:
        qwen25.open(make_frames(1, (1, 201)), "video")
    assert caught_clip.value.exit_status == 2
    with qwen25.open(make_frames(2, (1, 60)), "frame") as session:
        assert len(session.ask([Question("x")])[0].texts) == 2
