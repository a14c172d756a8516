"""Every visual token lies where the layout says, and the model reads what transformers writes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gazecut.errors import BackendError
from gazecut.protocols import Runtime
from gazecut.values import Frames, Question
from gazecut_mllm.family import View
from tiny_smolvlm import TILE
from transformers import AutoModelForImageTextToText
from transformers.video_utils import VideoMetadata

from gazecut_smolvlm.config import SmolVLMOptions
from gazecut_smolvlm.smolvlm import SmolVLMBackend

SIZES = {  # (H, W) in pixels: tiles from top to bottom and from left to right
    (64, 64): (4, 4),
    (20, 20): (4, 4),
    (60, 121): (2, 4),
    (160, 90): (4, 3),
    (33, 300): (1, 4),
    (101, 67): (4, 3),
}


def backend(weights: Path, tiles: int = 4) -> SmolVLMBackend:
    views: Any = {"frame": {"tiles": tiles}}
    options = SmolVLMOptions(weights=str(weights), views=views, max_new_tokens=6)
    return SmolVLMBackend(options, Runtime("cpu"))


@pytest.fixture(scope="module")
def smolvlm(weights: Path) -> SmolVLMBackend:
    return backend(weights)


@pytest.fixture(scope="module")
def model(weights: Path) -> Any:
    return AutoModelForImageTextToText.from_pretrained(weights)


def noise(count: int, size: tuple[int, int]) -> Frames:
    draw = np.random.default_rng([count, *size])
    images = draw.integers(0, 100, (count, *size, 3), dtype=np.uint8)
    return Frames(images, np.arange(count, dtype=np.int64) * 2, 4.0)


def cells(size: tuple[int, int], rows: int, columns: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Some cells, and which pixels of a frame have their centres in them."""
    y, x = ((np.arange(length) + 0.5) / length for length in size)
    for row in {0, rows // 2, rows - 1}:
        for column in {0, columns // 3, columns - 1}:
            inside = (y * rows // 1 == row)[:, None] & (x * columns // 1 == column)
            if inside.any():
                yield row, column, inside


@pytest.mark.parametrize("view", ["video", "frame"])
@pytest.mark.parametrize("size", SIZES)
@torch.inference_mode()
def test_the_token_of_a_cell_moves_most(
    smolvlm: SmolVLMBackend, model: Any, view: View, size: tuple[int, int]
) -> None:
    frames = noise(3 if view == "video" else 1, size)
    layout = smolvlm.family.layout(frames, view)
    assert layout.tiles == (SIZES[size] if view == "frame" else (1, 1))
    tokens = layout.fold(np.arange(len(layout)))  # (T, h, w)
    before = embeddings(smolvlm, model, frames.images, view, layout)
    for row, column, inside in cells(size, layout.rows, layout.columns):
        changed = frames.images.copy()
        changed[-1][inside] = 255 - changed[-1][inside]
        moved = (embeddings(smolvlm, model, changed, view, layout) - before).norm(dim=-1)
        assert moved.argmax() == tokens[-1, row, column]


def embeddings(
    smolvlm: SmolVLMBackend, model: Any, images: np.ndarray, view: View, layout: Any
) -> torch.Tensor:
    """(V, d) of one sequence."""
    return smolvlm.family.embeddings(model, smolvlm.family.pixels(images[None], view, layout))[0]


@pytest.mark.parametrize("view", ["video", "frame"])
def test_answers_are_those_of_transformers(weights: Path, model: Any, view: View) -> None:
    mine, frames = backend(weights, tiles=1), noise(2, (48, 80))  # cut, an image would have a copy
    with mine.open(frames, view) as session:
        found = session.ask([Question("what is it?")])[0].texts
    processor = mine.family.processor
    times = VideoMetadata(2, fps=frames.fps, frames_indices=frames.indices.tolist())
    clip = {"videos": [[frames.images]], "video_metadata": [[times]], "do_sample_frames": False}
    small = {"size": {"longest_edge": TILE}, "do_image_splitting": False}
    shown = [clip] if view == "video" else [{"images": [[im]], **small} for im in frames.images]
    kind = "video" if view == "video" else "image"
    content = [{"type": kind}, {"type": "text", "text": "what is it?"}]
    turn = [{"role": "user", "content": content}]
    text = processor.apply_chat_template(
        turn, add_generation_prompt=True, processor_kwargs={"a": 0}
    )
    wanted = []
    for given in shown:
        inputs = processor(text=[text], return_tensors="pt", add_special_tokens=False, **given)
        ids = model.generate(**inputs, do_sample=False, max_new_tokens=6)[0]
        said = ids[inputs["input_ids"].shape[1] :]
        wanted.append(processor.tokenizer.decode(said, skip_special_tokens=True).strip())
    assert list(found) == wanted
    assert all(wanted)


def test_tiles_in_a_prompt_name_their_places_and_no_copy(smolvlm: SmolVLMBackend) -> None:
    frames = noise(1, (60, 121))
    layout = smolvlm.family.layout(frames, "frame")
    (text,) = smolvlm.family.placement(frames, "frame", layout).texts
    assert text.count("<image>") == len(layout)
    places = [f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2, 3, 4)]
    assert sorted(places, key=text.index) == places
    assert "<row_3" not in text
    assert "<global-img>" not in text


def test_another_tile_size_is_refused(smolvlm: SmolVLMBackend, weights: Path) -> None:
    other = backend(weights)
    other.family.processor.video_processor.max_image_size = {"longest_edge": TILE // 2}
    with pytest.raises(BackendError, match=r"made tiles \(1, 2, 3, 16, 16\); wanted"):
        other.open(noise(2, (64, 64)), "video")
