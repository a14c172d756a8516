"""A family from outside: Idefics3, which knows no video, shows every frame as an image of its own, and counts positions one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AddedToken, Idefics3Config, Idefics3ForConditionalGeneration, Idefics3ImageProcessor, Idefics3Processor

from gazecut.errors import PromptError
from gazecut.protocols import Runtime
from gazecut.values import Frames, GridLayout, Question, Steering, TraceSpec
from gazecut_mllm.backend import Backend
from gazecut_mllm.config import MLLMOptions
from gazecut_mllm.family import Family, Placement, View
from gazecut_mllm.rollout import rollout_row

TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}:{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}<image>{% else %}{{ content['text'] }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
SIDE, PATCH, SCALE = 64, 8, 2
QUESTIONS = ("the red circle", "what is it on the left?")


class Idefics3(Family):
    """Every frame is one square image."""

    model_type = "idefics3"
    parts = ("tokenizer", "image_processor")

    def layout(self, frames: Frames, view: View) -> GridLayout:
        vision = self.model_config.vision_config
        side = vision.image_size // vision.patch_size // self.model_config.scale_factor
        return GridLayout(len(frames), side, side)

    def placement(self, frames: Frames, view: View, layout: GridLayout) -> Placement:
        image = self.processor.replace_image_token({"rows": [[0]], "cols": [[0]]}, 0)
        return Placement("image", (image,) * (len(frames) if view == "video" else 1), self.processor.image_token)

    def pixels(self, images: np.ndarray, view: View, layout: GridLayout) -> dict[str, torch.Tensor]:
        squares = [list(sequence) for sequence in images]
        size = {"longest_edge": self.model_config.vision_config.image_size}
        shown = self.processor.image_processor(squares, do_image_splitting=False, size=size, max_image_size=size, return_tensors="pt")
        return {"pixel_values": shown["pixel_values"], "pixel_attention_mask": shown["pixel_attention_mask"]}


class Idefics3Backend(Backend):
    """As any third party writes it."""

    family_class = Idefics3


@pytest.fixture(scope="module")
def idefics(tiny_parts: Any, tmp_path_factory: pytest.TempPathFactory) -> Backend:
    folder = tmp_path_factory.mktemp("idefics3")
    tokenizer = tiny_parts.tiny_tokenizer()
    tokenizer.add_tokens([AddedToken("<global-img>", special=True)], special_tokens=True)
    size = {"longest_edge": SIDE}
    images = Idefics3ImageProcessor(size=size, max_image_size=size, do_image_splitting=False)
    processor = Idefics3Processor(images, tokenizer, image_seq_len=(SIDE // PATCH // SCALE) ** 2, chat_template=TEMPLATE)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4}
    text = {**sizes, "model_type": "llama", "vocab_size": len(tokenizer), "num_hidden_layers": 4, "num_key_value_heads": 2}
    text |= {"max_position_embeddings": 2048, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    vision = {**sizes, "hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "image_size": SIDE, "patch_size": PATCH}
    token = tokenizer.convert_tokens_to_ids("<image>")
    pad = tokenizer.pad_token_id
    config = Idefics3Config(text_config=text, vision_config=vision, scale_factor=SCALE, image_token_id=token, pad_token_id=pad)
    model = Idefics3ForConditionalGeneration(config).eval()
    tiny_parts.sharpen(model, seed=5)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return Idefics3Backend(MLLMOptions(weights=str(folder), max_new_tokens=6), Runtime("cpu"))


def plainly(backend: Backend, frames: Frames, view: str, text: str) -> list[tuple[str, torch.Tensor]]:
    """The answer and the rollout of every sequence, by the library's own processor and `generate`."""
    processor, model = backend.family.processor, backend._reader.hf.model
    found = []
    for shown in [list(frames.images)] if view == "video" else [[image] for image in frames.images]:
        content = [*({"type": "image"} for _ in shown), {"type": "text", "text": text}]
        prompt = processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True)
        inputs = processor(text=[prompt], images=[shown], return_tensors="pt", add_special_tokens=False)
        tokens = model.generate(**inputs, do_sample=False, max_new_tokens=6)[0, inputs["input_ids"].shape[1] :]
        trace = backend._reader.hf.trace(inputs)
        found.append(
            (processor.tokenizer.decode(tokens, skip_special_tokens=True).strip(), rollout_row(trace.layers, trace.visual_columns))
        )
    return found


@pytest.mark.parametrize("view", ["video", "frame"])
def test_several_images_in_one_turn(idefics: Backend, make_frames: Callable[..., Frames], view: str) -> None:
    frames = make_frames(3, (SIDE, SIDE))
    with idefics.open(frames, view) as session:
        answers = session.ask([Question(text, TraceSpec(0)) for text in QUESTIONS])
    for text, answer in zip(QUESTIONS, answers, strict=True):
        wanted = plainly(idefics, frames, view, text)
        assert list(answer.texts) == [words for words, _ in wanted]
        for trace, (_, row) in zip(answer.traces, wanted, strict=True):
            assert len(trace.visual_columns) * len(answer.traces) == len(session.layout)
            found = rollout_row(trace.layers, trace.visual_columns)
            assert torch.linalg.norm(found - row) <= 1e-5 * torch.linalg.norm(row)
            spoken = trace.prompt
            assert spoken is not None
            assert "".join(spoken.texts) == text


@pytest.mark.parametrize("view", ["video", "frame"])
def test_every_token_lies_where_the_layout_says(idefics: Backend, locating: Any, view: View) -> None:
    for size in ((SIDE, SIDE), (40, 40), (128, 128)):
        locating.locate(idefics, view, 3, size).check()


def test_a_prelude_stands_before_all_images(idefics: Backend, make_frames: Callable[..., Frames]) -> None:
    frames, soft = make_frames(2, (SIDE, SIDE)), np.ones((3, 64), np.float32)
    with idefics.open(frames, "video", prelude=soft) as session:
        opening = session._prefixes[0].opening if session._prefixes else None
        answer = session.ask([Question("x", TraceSpec(0), Steering(soft, "before-vision"))])[0]
    assert opening is not None
    assert opening.positions.tolist() == [list(range(len(opening.ids)))]
    said = idefics.family.processor.tokenizer.decode(opening.ids[: opening.prelude_at])
    assert said == "user:"
    assert opening.ids[opening.prelude_at + 3] != idefics.family.model_config.image_token_id  # what opens the first image
    assert answer.traces[0].visual_columns.tolist() == opening.visual.tolist()


def test_text_turns_and_questions_with_visual_tokens(idefics: Backend, make_frames: Callable[..., Frames]) -> None:
    alone = [idefics.complete(text) for text in QUESTIONS]
    assert list(idefics.complete_many(QUESTIONS)) == alone
    with idefics.open(make_frames(1, (SIDE, SIDE)), "video") as session, pytest.raises(PromptError, match="leave <image> out of the text"):
        session.ask([Question("an <image>")])
