"""LLaVA-OneVision: what the model is shown, against the library's own features; sessions, against full prompts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText

from gazecut.protocols import Runtime
from gazecut.values import Frames, Question, Steering, TraceSpec
from gazecut_mllm.capture import ATTENTION, capturing
from gazecut_mllm.config import LlavaOnevisionConfig
from gazecut_mllm.llava_onevision import LlavaOnevisionBackend
from gazecut_mllm.rollout import rollout_row

QUESTIONS = ("the red circle", "what is it on the left? a single word or a longer phrase.", "x", "describe the background")
NEW_TOKENS = 6
GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": NEW_TOKENS, "temperature": 1.0, "top_p": 1.0, "top_k": 50}
VIEWS = {"video": {"batch": 3}, "frame": {"batch": 2}}
SIDE = 7  # features along each side of a tile
CASES = [
    ("video", 4, (64, 96)),
    ("video", 1, (50, 91)),
    ("frame", 3, (50, 91)),
    ("frame", 1, (96, 40)),
    ("frame", 2, (20, 20)),
    ("frame", 2, (150, 151)),  # shrunk
]


@pytest.fixture(scope="module")
def make(checkpoint: Callable[[str], Path]) -> Callable[..., LlavaOnevisionBackend]:
    def build(**given: Any) -> LlavaOnevisionBackend:
        given = {"weights": str(checkpoint("llava-onevision")), "views": VIEWS, "max_new_tokens": NEW_TOKENS, **given}
        return LlavaOnevisionBackend(LlavaOnevisionConfig(**given), Runtime("cpu"))

    return build


@pytest.fixture(scope="module")
def llava(make: Callable[..., LlavaOnevisionBackend]) -> LlavaOnevisionBackend:
    return make()


class PlainWay:
    """Full prompts, one question at a time, with the library's own features: its copy of the frame and its newlines taken out again."""

    def __init__(self, backend: LlavaOnevisionBackend, frames: Frames, view: str) -> None:
        self.frames, self.view = frames, view
        self.model, self.processor = backend._reader.hf.model, backend.family.processor
        self.system = {"role": "system", "content": [{"type": "text", "text": backend.family.options.system}]}

    @torch.inference_mode()
    def features(self) -> list[torch.Tensor]:
        """Visual embeddings (V, d) of each sequence."""
        if self.view == "video":
            pixels = self.processor.video_processor([self.frames.images], do_sample_frames=False, return_tensors="pt")
            return list(self.model.get_video_features(pixels["pixel_values_videos"]).pooler_output)
        found = []
        for image in self.frames.images:
            inputs = self.processor.image_processor([image], return_tensors="pt", input_data_format="channels_last")
            packed = self.model.get_image_features(inputs["pixel_values"], inputs["image_sizes"]).pooler_output[0][SIDE**2 :]
            newline = (packed == self.model.model.image_newline).all(-1)
            assert newline[-1]
            assert not newline[0]
            found.append(packed[~newline])
        return found

    def prompt(self, text: str, *shown: dict[str, str]) -> str:
        messages = [self.system, {"role": "user", "content": [*shown, {"type": "text", "text": text}]}]
        return str(self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def sequences(self, text: str) -> Iterator[dict[str, torch.Tensor]]:
        """Ids and embeddings of whole prompts."""
        kind, token = ("video", "<video>") if self.view == "video" else ("image", "<image>")
        for features in self.features():
            whole = self.prompt(text, {"type": kind}).replace(token, token * len(features))
            ids = self.processor.tokenizer(whole, return_tensors="pt")["input_ids"]
            embeddings = self.model.get_input_embeddings()(ids).detach().clone()
            embeddings[0, ids[0] == self.processor.tokenizer.convert_tokens_to_ids(token)] = features
            yield {"input_ids": ids, "inputs_embeds": embeddings, "attention_mask": torch.ones_like(ids)}

    def answer(self, text: str) -> list[str]:
        texts = []
        for inputs in self.sequences(text):
            tokens = self.model.generate(**inputs, **GREEDY)[0, inputs["input_ids"].shape[1] :]
            texts.append(self.processor.tokenizer.decode(tokens, skip_special_tokens=True).strip())
        return texts

    @torch.inference_mode()
    def rows(self, text: str, first_layer: int) -> list[torch.Tensor]:
        """Rollout of whole prompts."""
        found = []
        for inputs in self.sequences(text):
            ids = inputs.pop("input_ids")[0]
            with capturing(range(first_layer, 4)) as captured:
                self.model(**inputs)
            layers = [(captured.query[at][0], captured.key[at][0], captured.scale[at]) for at in range(first_layer, 4)]
            tokens = self.processor.tokenizer.convert_tokens_to_ids(["<image>", "<video>"])
            found.append(rollout_row(layers, torch.isin(ids, torch.tensor(tokens)).nonzero()[:, 0]))
        return found


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float(torch.linalg.norm(found - wanted) / torch.linalg.norm(wanted))


@pytest.mark.parametrize(("view", "count", "size"), CASES)
def test_embeddings_are_the_librarys_own(
    llava: LlavaOnevisionBackend, make_frames: Callable[..., Frames], view: Any, count: int, size: tuple[int, int]
) -> None:
    frames, family = make_frames(count, size), llava.family
    layout = family.layout(frames, view)
    images = frames.images[None] if view == "video" else frames.images[:, None]
    with torch.inference_mode():
        found = family.embeddings(llava._reader.hf.model, family.pixels(images, view, layout))
    wanted = torch.stack(PlainWay(llava, frames, view).features())
    assert found is not None
    assert found.shape == wanted.shape == (len(images), len(layout) // len(images), 64)
    assert (found - wanted).abs().max() <= 1e-5


@pytest.mark.parametrize(("view", "count", "size"), CASES)
def test_answers_and_rollouts_equal_full_prompts(
    llava: LlavaOnevisionBackend, make_frames: Callable[..., Frames], view: str, count: int, size: tuple[int, int]
) -> None:
    frames = make_frames(count, size)
    plain = PlainWay(llava, frames, view)
    with llava.open(frames, view) as session:
        answers = session.ask([Question(text, TraceSpec(1)) for text in QUESTIONS])
    assert session.layout.slots == count
    for text, answer in zip(QUESTIONS, answers, strict=True):
        assert list(answer.texts) == plain.answer(text)
        for trace, wanted in zip(answer.traces, plain.rows(text, 1), strict=True):
            assert relative(rollout_row(trace.layers, trace.visual_columns), wanted) <= 1e-5
    assert len({answer.texts for answer in answers}) > 1  # the model does listen


@pytest.mark.parametrize("view", ["video", "frame"])
def test_prompts_are_those_of_the_chat_template(llava: LlavaOnevisionBackend, make_frames: Callable[..., Frames], view: Any) -> None:
    frames, chat = make_frames(2), llava._reader.chat
    placement = llava.family.placement(frames, view, llava.family.layout(frames, view))
    wanted = next(PlainWay(llava, frames, view).sequences(QUESTIONS[1]))["input_ids"][0].tolist()
    assert [*chat.opening(placement).ids, *chat.turn(QUESTIONS[1], placement).after] == wanted
    before = llava.family.processor.tokenizer.decode(chat.opening(placement).ids[: chat.opening(placement).prelude_at])
    assert before == "<|im_start|>system \nYou are a helpful assistant.<|im_end|><|im_start|>user "


def test_the_system_message_is_that_of_the_method(make: Callable[..., LlavaOnevisionBackend], shared: Callable[[str], Path]) -> None:
    message = json.loads(shared("parity/prompts.json").read_text(encoding="utf-8"))["system_messages"]["llava-onevision"]
    assert message == {"role": "system", "content": [{"type": "text", "text": LlavaOnevisionConfig(weights="x").system}]}
    backend = make(system=None)
    assert "system" not in backend.family.processor.tokenizer.decode(backend._reader.chat.text("x"))


def test_text_only_turns(llava: LlavaOnevisionBackend, make_frames: Callable[..., Frames]) -> None:
    plain, wanted = PlainWay(llava, make_frames(1), "video"), []
    for text in QUESTIONS:
        ids = plain.processor.tokenizer(plain.prompt(text), return_tensors="pt")["input_ids"]
        tokens = plain.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **GREEDY)
        wanted.append(plain.processor.tokenizer.decode(tokens[0, ids.shape[1] :], skip_special_tokens=True).strip())
    assert llava.complete_many(QUESTIONS) == wanted
    assert llava.complete(QUESTIONS[0]) == wanted[0]


@pytest.mark.parametrize("view", ["video", "frame"])
def test_captured_attention_is_that_of_the_eager_model(
    llava: LlavaOnevisionBackend, checkpoint: Callable[[str], Path], make_frames: Callable[..., Frames], view: str
) -> None:
    frames = make_frames(2, (40, 60))
    eager = AutoModelForImageTextToText.from_pretrained(checkpoint("llava-onevision"), attn_implementation="eager").eval()
    with llava.open(frames, view) as session:
        traces = session.ask([Question(QUESTIONS[0], TraceSpec(0))])[0].traces
    for trace, inputs in zip(traces, PlainWay(llava, frames, view).sequences(QUESTIONS[0]), strict=True):
        with torch.inference_mode():
            wanted = eager(inputs_embeds=inputs["inputs_embeds"], output_attentions=True).attentions
        assert len(trace.layers) == len(wanted) == 4
        for (query, key, scale), attention in zip(trace.layers, wanted, strict=True):
            query, key = torch.as_tensor(query), torch.as_tensor(key)
            scores = query @ key.repeat_interleave(len(query) // len(key), 0).mT * scale
            blocked = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
            assert (scores.masked_fill(blocked, -torch.inf).softmax(-1) - attention[0]).abs().max() <= 5e-5


def test_hooked_logits_are_bit_identical(
    llava: LlavaOnevisionBackend, checkpoint: Callable[[str], Path], make_frames: Callable[..., Frames]
) -> None:
    hf = llava._reader.hf
    plain = AutoModelForImageTextToText.from_pretrained(checkpoint("llava-onevision"), attn_implementation="sdpa").eval()
    assert hf.model.config.text_config._attn_implementation == ATTENTION
    for view in ("video", "frame"):
        whole = next(PlainWay(llava, make_frames(2), view).sequences(QUESTIONS[0]))
        del whole["input_ids"]
        padded = {
            "inputs_embeds": torch.nn.functional.pad(whole["inputs_embeds"], (0, 0, 3, 0), value=0.1),
            "attention_mask": torch.nn.functional.pad(whole["attention_mask"], (3, 0)),
        }
        with torch.inference_mode():
            for prompt in (whole, padded):
                with capturing(range(hf.layers)):
                    found = hf.model(**prompt).logits
                assert torch.equal(found, plain(**prompt).logits)


def embedded(backend: LlavaOnevisionBackend, text: str) -> torch.Tensor:
    ids = torch.tensor(backend.family.processor.tokenizer(text)["input_ids"])
    return backend._reader.hf.model.get_input_embeddings()(ids).detach()


@pytest.mark.parametrize("view", ["video", "frame"])
def test_a_prelude_stands_before_all_that_is_shown(llava: LlavaOnevisionBackend, make_frames: Callable[..., Frames], view: str) -> None:
    frames = make_frames(2)
    soft = embedded(llava, "the red circle")
    with llava.open(frames, view, prelude=soft) as session:
        found = session.ask([Question("what is it?", TraceSpec(0), Steering(soft, "before-vision"))])[0]
    hf = llava._reader.hf
    for trace, inputs in zip(found.traces, PlainWay(llava, frames, view).sequences("what is it?"), strict=True):
        where = hf.is_visual(inputs["input_ids"][0]).nonzero()[:, 0]
        start = int(where[0])
        whole = torch.cat([inputs["inputs_embeds"][:, :start], soft[None], inputs["inputs_embeds"][:, start:]], dim=1)
        with torch.inference_mode(), capturing(range(4)) as captured:
            hf.model(inputs_embeds=whole)
        layers = [(captured.query[at][0], captured.key[at][0], captured.scale[at]) for at in range(4)]
        assert trace.visual_columns.tolist() == (where + len(soft)).tolist()
        rows = (rollout_row(each, where + len(soft)) for each in (trace.layers, layers))
        assert relative(*rows) <= 1e-5


@pytest.mark.parametrize(("place", "text"), [("before-text", " what is it?"), ("after-text", "what is it?")])
def test_steering_with_the_embeddings_of_words_is_those_words(
    llava: LlavaOnevisionBackend, make_frames: Callable[..., Frames], place: Any, text: str
) -> None:
    words = "the red circle" if place == "before-text" else " the red circle"
    spelt = words + text if place == "before-text" else text + words
    with llava.open(make_frames(2), "video") as session:
        asked = session.ask([Question(spelt, TraceSpec(0)), Question(text, TraceSpec(0), Steering(embedded(llava, words), place))])
    assert relative(*(rollout_row(answer.traces[0].layers, answer.traces[0].visual_columns) for answer in asked)) <= 1e-5


def test_small_batches_change_nothing(
    make: Callable[..., LlavaOnevisionBackend], llava: LlavaOnevisionBackend, make_frames: Callable[..., Frames], monkeypatch: Any
) -> None:
    def asked(backend: LlavaOnevisionBackend) -> list[tuple[str, ...]]:
        found = []
        for view in ("video", "frame"):
            with backend.open(make_frames(3), view) as session:
                found += [answer.texts for answer in session.ask([Question(text) for text in QUESTIONS])]
        return found

    wide = asked(llava)
    monkeypatch.setattr("gazecut_mllm.llava_onevision.TILES", 1)
    assert asked(make(views={"video": {"batch": 1}, "frame": {"batch": 1, "questions": 1}})) == wide


def test_the_vision_tower_sees_every_tile_once_and_no_copy(llava: LlavaOnevisionBackend, make_frames: Callable[..., Frames]) -> None:
    tiles: list[int] = []
    hook = llava._reader.hf.model.model.vision_tower.register_forward_pre_hook(lambda _module, inputs: tiles.append(len(inputs[0])))
    with llava.open(make_frames(3, (20, 60)), "frame") as session:
        session.ask([Question(text, TraceSpec(1)) for text in QUESTIONS])
    with llava.open(make_frames(3, (20, 60)), "video"):
        pass
    hook.remove()
    assert tiles == [2 * 2, 2, 3]
