"""InternVL3: what the model is shown, against the library's own processor; sessions, against full prompts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForImageTextToText, GotOcr2ImageProcessor, InternVLConfig

from gazecut.errors import BackendError, PromptError, WeightsError
from gazecut.protocols import Runtime
from gazecut.values import Frames, Question, Steering, Trace, TraceSpec
from gazecut.work import Work
from gazecut_mllm.capture import ATTENTION, capturing
from gazecut_mllm.config import InternVL3Config, Qwen25VLConfig
from gazecut_mllm.continuation import Continuation, Suffix
from gazecut_mllm.generation import Decoder
from gazecut_mllm.hf import HFBackend, load
from gazecut_mllm.internvl3 import InternVL3, InternVL3Backend
from gazecut_mllm.prefix import Opening, prefill
from gazecut_mllm.qwen2_5_vl import Qwen25VLBackend
from gazecut_mllm.rollout import rollout_row
from gazecut_mllm.shelf import Shelf
from gazecut_mllm.weights import load_processor, locate

# The library's whole processor, which only tests call, hands a tensor to NumPy.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context:DeprecationWarning")

QUESTIONS = ("the red circle", "what is it on the left? a single word or a longer phrase.", "x", "describe the background")
NEW_TOKENS = 6
GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": NEW_TOKENS, "temperature": 1.0, "top_p": 1.0, "top_k": 50}
VIEWS = {"video": {"batch": 3}, "frame": {"max_tiles": 6, "batch": 2}}


@pytest.fixture(scope="module")
def make(checkpoint: Callable[[str], Path]) -> Callable[..., InternVL3Backend]:
    def build(**given: Any) -> InternVL3Backend:
        given = {"weights": str(checkpoint("internvl3")), "views": VIEWS, "max_new_tokens": NEW_TOKENS, **given}
        return InternVL3Backend(InternVL3Config(**given), Runtime("cpu"))

    return build


@pytest.fixture(scope="module")
def internvl(make: Callable[..., InternVL3Backend]) -> InternVL3Backend:
    return make()


class PlainWay:
    """Full prompts through the library's own processor, its small copy of the frame switched off inside it, one question at a time."""

    def __init__(self, backend: InternVL3Backend, frames: Frames, view: str) -> None:
        self.backend, self.frames, self.view = backend, frames, view
        self.model, self.processor = backend._reader.hf.model, load_again(backend)
        self.config = backend.family.options

    def prompt(self, text: str, *shown: dict[str, str]) -> str:
        messages = [
            {"role": "system", "content": [{"type": "text", "text": self.config.system}]},
            {"role": "user", "content": [*shown, {"type": "text", "text": text}]},
        ]
        return str(self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def sequences(self, text: str) -> Iterator[dict[str, Any]]:
        if self.view == "video":
            prompt = self.prompt(text, {"type": "video"})
            yield self.processor(text=[prompt], videos=[self.frames.images], do_sample_frames=False, return_tensors="pt")
            return
        for image in self.frames.images:
            prompt = self.prompt(text, {"type": "image"})
            limits = {"min_patches": 1, "max_patches": self.config.views.frame.max_tiles}
            options = {"input_data_format": "channels_last", "return_tensors": "pt"}
            yield self.processor(text=[prompt], images=[image], crop_to_patches=True, **limits, **options)

    def answer(self, text: str) -> list[str]:
        texts = []
        for inputs in self.sequences(text):
            tokens = self.model.generate(**inputs, **GREEDY)
            texts.append(self.processor.tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip())
        return texts

    def traces(self, text: str, first_layer: int) -> list[Trace]:
        return [self.backend._reader.hf.trace(inputs, first_layer) for inputs in self.sequences(text)]


def load_again(backend: InternVL3Backend) -> Any:
    processor = load_processor(locate(backend._config.weights))
    images = processor.image_processor
    images.crop_image_to_patches = partial(images.crop_image_to_patches, use_thumbnail=False)
    return processor


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float(torch.linalg.norm(found - wanted) / torch.linalg.norm(wanted))


CASES = [("video", 4, (64, 96)), ("video", 1, (50, 91)), ("frame", 3, (50, 91)), ("frame", 1, (96, 40)), ("frame", 2, (20, 20))]


@pytest.mark.parametrize(("view", "count", "size"), CASES)
def test_answers_and_rollouts_equal_full_prompts(
    internvl: InternVL3Backend, make_frames: Callable[..., Frames], view: str, count: int, size: tuple[int, int]
) -> None:
    frames = make_frames(count, size)
    plain = PlainWay(internvl, frames, view)
    with internvl.open(frames, view) as session:
        answers = session.ask([Question(text, TraceSpec(1)) for text in QUESTIONS])
    assert session.layout.slots == count
    for text, answer in zip(QUESTIONS, answers, strict=True):
        assert list(answer.texts) == plain.answer(text)
        assert len(answer.traces) == (1 if view == "video" else count)
        for trace, wanted in zip(answer.traces, plain.traces(text, 1), strict=True):
            assert trace.visual_columns.tolist() == wanted.visual_columns.tolist()
            row, full = (rollout_row(each.layers, each.visual_columns) for each in (trace, wanted))
            assert relative(row, full) <= 1e-5
    assert len({answer.texts for answer in answers}) > 1  # the model does listen


@pytest.mark.parametrize(("view", "count", "size"), CASES)
def test_tokens_and_pixels_are_those_of_the_processor(
    internvl: InternVL3Backend, make_frames: Callable[..., Frames], view: Any, count: int, size: tuple[int, int]
) -> None:
    frames, family, chat = make_frames(count, size), internvl.family, internvl._reader.chat
    layout = family.layout(frames, view)
    placement = family.placement(frames, view, layout)
    images = frames.images[None] if view == "video" else frames.images[:, None]
    wanted = list(PlainWay(internvl, frames, view).sequences(QUESTIONS[1]))
    found = family.pixels(images, view, layout)["pixel_values"]
    assert torch.equal(found, torch.cat([inputs["pixel_values"] for inputs in wanted]))
    ids = [*chat.opening(placement).ids, *chat.turn(QUESTIONS[1], placement).after]
    assert all(inputs["input_ids"][0].tolist() == ids for inputs in wanted)
    assert sum(token == chat.opening(placement).visual for token in ids) == len(layout) // (1 if view == "video" else count)


def test_frames_of_a_video_stand_in_numbered_lines(internvl: InternVL3Backend, make_frames: Callable[..., Frames]) -> None:
    frames = make_frames(2)
    placement = internvl.family.placement(frames, "video", internvl.family.layout(frames, "video"))
    opened = internvl._reader.chat.opening(placement)
    words = internvl.family.processor.tokenizer.decode(opened.ids).replace("<IMG_CONTEXT>" * 16, "*")
    assert (
        words
        == f"<|im_start|>system\n{InternVL3Config(weights='x').system}<|im_end|>\n<|im_start|>user\nFrame1: <img>*</img>\nFrame2: <img>*"
    )
    assert internvl.family.processor.tokenizer.decode(opened.ids[: opened.prelude_at]).endswith("user\n")
    with internvl.open(frames, "video") as session:
        columns = session.ask([Question("x", TraceSpec(0))])[0].traces[0].visual_columns.tolist()
    assert len(columns) == 32
    assert columns[-1] - columns[0] + 1 > 32  # text stands between the frames


def test_the_system_message_is_that_of_the_method(make: Callable[..., InternVL3Backend], shared: Callable[[str], Path]) -> None:
    message = json.loads(shared("parity/prompts.json").read_text(encoding="utf-8"))["system_messages"]["internvl3"]
    default = InternVL3Config(weights="x").system
    assert message == {"role": "system", "content": [{"type": "text", "text": default}]}
    backend = make(system=None)
    assert "system" not in backend.family.processor.tokenizer.decode(backend._reader.chat.text("x"))


def test_text_only_turns(internvl: InternVL3Backend, make_frames: Callable[..., Frames]) -> None:
    plain = PlainWay(internvl, make_frames(1), "video")
    tokenizer, wanted = plain.processor.tokenizer, []
    for text in QUESTIONS:
        ids = tokenizer(plain.prompt(text), return_tensors="pt")["input_ids"]
        tokens = plain.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **GREEDY)
        wanted.append(tokenizer.decode(tokens[0, ids.shape[1] :], skip_special_tokens=True).strip())
    assert internvl.complete_many(QUESTIONS) == wanted
    assert internvl.complete(QUESTIONS[0]) == wanted[0]


# The limits of the real checkpoints: tiles of 448 px, 16 x 16 visual tokens each.
FULL_SIZE = InternVL3(InternVL3Config(weights="x"), None, InternVLConfig())


def empty(count: int, size: tuple[int, int]) -> Frames:
    return Frames(np.broadcast_to(np.uint8(0), (count, *size, 3)), np.arange(count), 25.0)


@pytest.mark.parametrize(
    ("size", "tiles", "grid", "tokens"),
    [
        ((480, 854), (1, 2), (16, 32), 512),
        ((480, 910), (1, 2), (16, 32), 512),
        ((360, 640), (1, 2), (16, 32), 512),
        ((720, 1280), (2, 4), (32, 64), 2048),
        ((1080, 1920), (2, 4), (32, 64), 2048),
        ((480, 640), (3, 4), (48, 64), 3072),
        ((1280, 720), (4, 2), (64, 32), 2048),
        # of one aspect, the larger arrangement where the frame has more than half of its pixels
        ((448, 448), (1, 1), (16, 16), 256),
        ((633, 633), (1, 1), (16, 16), 256),
        ((634, 634), (2, 2), (32, 32), 1024),
        ((1000, 1000), (3, 3), (48, 48), 2304),
        ((1, 1), (1, 1), (16, 16), 256),
        ((100, 2000), (1, 12), (16, 192), 3072),
        ((1000, 1), (12, 1), (192, 16), 3072),
    ],
)
def test_grids_of_the_method(size: tuple[int, int], tiles: tuple[int, int], grid: tuple[int, int], tokens: int) -> None:
    layout = FULL_SIZE.layout(empty(3, size), "frame")
    assert (layout.tiles, (layout.rows, layout.columns), len(layout)) == (tiles, grid, 3 * tokens)


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_a_video_has_256_tokens_a_frame(count: int) -> None:
    layout = FULL_SIZE.layout(empty(count, (480, 854)), "video")
    assert (layout.slots, layout.rows, layout.columns, layout.frames_per_slot, layout.tiles) == (count, 16, 16, 1, (1, 1))
    assert len(layout) == 256 * count


@given(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), st.integers(1, 12))
def test_as_many_tiles_as_the_processor_says(size: tuple[int, int], most: int) -> None:
    options = InternVL3Config(weights="x", views={"frame": {"max_tiles": most}})  # type: ignore[arg-type]
    layout = InternVL3(options, None, InternVLConfig()).layout(empty(1, size), "frame")
    limits = {"crop_to_patches": True, "min_patches": 1, "max_patches": most}
    with_copy = GotOcr2ImageProcessor(size={"height": 448, "width": 448}).get_number_of_image_patches(*size, limits)
    count = layout.tiles[0] * layout.tiles[1]
    assert count + (count > 1) == with_copy
    assert count <= most


def test_rollout_of_the_official_code_through_sessions(shared: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copy(shared("parity/rollout_internvl.config.json"), tmp_path / "config.json")
    shutil.copy(shared("parity/rollout_internvl.safetensors"), tmp_path / "model.safetensors")
    data = np.load(shared("parity/rollout_internvl.npz"))
    hf, ids = load(tmp_path, device="cpu"), torch.from_numpy(data["input_ids"][0])
    visual = hf.is_visual(ids).nonzero()[:, 0]
    cut, layers = int(visual[-1]) + 1, range(int(data["start_layer"]), hf.layers)
    make = partial(
        prefill,
        hf,
        Opening(ids[:cut], torch.arange(cut)[None], visual),
        {"pixel_values": torch.from_numpy(data["pixel_values"])},
        1,
        layers,
    )
    tokenizer = SimpleNamespace(decode=lambda *_args, **_options: "", eos_token_id=0, pad_token_id=0)
    with torch.inference_mode():
        prefix, work = make(), Work()
        held = Shelf(hf.device, 2**30, 0, work).hold(prefix, make)
        continued = Continuation(hf, held, prefix, [Suffix(tuple(ids[cut:].tolist()), layers)])
        trace = continued.replies(Decoder(hf.model, tokenizer, 1, work))[0][0].trace
    assert trace is not None
    row = rollout_row(trace.layers, trace.visual_columns).numpy()
    assert np.linalg.norm(row - data["rollout"][0]) / np.linalg.norm(data["rollout"][0]) <= 1e-5


def test_captured_attention_is_that_of_the_eager_model(
    internvl: InternVL3Backend, checkpoint: Callable[[str], Path], make_frames: Callable[..., Frames]
) -> None:
    inputs = dict(next(PlainWay(internvl, make_frames(2), "video").sequences(QUESTIONS[0])))
    eager = AutoModelForImageTextToText.from_pretrained(checkpoint("internvl3"), attn_implementation="eager").eval()
    with torch.inference_mode():
        wanted = eager(**inputs, output_attentions=True).attentions
        trace = internvl._reader.hf.trace(inputs)
    assert len(trace.layers) == len(wanted) == 4
    for (query, key, scale), attention in zip(trace.layers, wanted, strict=True):
        scores = query @ key.repeat_interleave(len(query) // len(key), 0).mT * scale
        blocked = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        assert (scores.masked_fill(blocked, -torch.inf).softmax(-1) - attention[0]).abs().max() <= 5e-5


def test_hooked_logits_are_bit_identical(
    internvl: InternVL3Backend, checkpoint: Callable[[str], Path], make_frames: Callable[..., Frames]
) -> None:
    hf = internvl._reader.hf
    plain = AutoModelForImageTextToText.from_pretrained(checkpoint("internvl3"), attn_implementation="sdpa").eval()
    assert hf.model.config.text_config._attn_implementation == ATTENTION
    for view in ("video", "frame"):
        inputs = next(PlainWay(internvl, make_frames(2), view).sequences(QUESTIONS[0]))
        padded = {
            "pixel_values": inputs["pixel_values"],
            "input_ids": torch.nn.functional.pad(inputs["input_ids"], (3, 0), value=1),
            "attention_mask": torch.nn.functional.pad(inputs["attention_mask"], (3, 0)),
        }
        with torch.inference_mode():
            for prompt in (inputs, padded):
                with capturing(range(hf.layers)):
                    found = hf.model(**prompt).logits
                assert torch.equal(found, plain(**prompt).logits)


def embedded(backend: InternVL3Backend, text: str) -> torch.Tensor:
    ids = torch.tensor(backend.family.processor.tokenizer(text)["input_ids"])
    return backend._reader.hf.model.get_input_embeddings()(ids).detach()


@pytest.mark.parametrize("view", ["video", "frame"])
def test_a_prelude_stands_before_all_that_is_shown(internvl: InternVL3Backend, make_frames: Callable[..., Frames], view: str) -> None:
    frames, words = make_frames(2), "the red circle"
    soft = embedded(internvl, words)
    with internvl.open(frames, view, prelude=soft) as session:
        found = session.ask([Question("what is it?", TraceSpec(0), Steering(soft, "before-vision"))])[0]
    tokenizer = internvl.family.processor.tokenizer
    spelt = torch.tensor([tokenizer(words)["input_ids"]])
    for trace, inputs in zip(found.traces, PlainWay(internvl, frames, view).sequences("what is it?"), strict=True):
        start = inputs["input_ids"][0].tolist().index(tokenizer.convert_tokens_to_ids("<img>")) - len(
            tokenizer("Frame1: " if view == "video" else "")["input_ids"]
        )
        ids = torch.cat([inputs["input_ids"][:, :start], spelt, inputs["input_ids"][:, start:]], dim=1)
        wanted = internvl._reader.hf.trace({"input_ids": ids, "pixel_values": inputs["pixel_values"]})
        assert trace.visual_columns.tolist() == wanted.visual_columns.tolist()
        assert relative(*(rollout_row(each.layers, each.visual_columns) for each in (trace, wanted))) <= 1e-5


@pytest.mark.parametrize(("place", "text"), [("before-text", " what is it?"), ("after-text", "what is it?")])
def test_steering_with_the_embeddings_of_words_is_those_words(
    internvl: InternVL3Backend, make_frames: Callable[..., Frames], place: Any, text: str
) -> None:
    words = "the red circle" if place == "before-text" else " the red circle"
    spelt = words + text if place == "before-text" else text + words
    with internvl.open(make_frames(2), "video") as session:
        asked = session.ask([Question(spelt, TraceSpec(0)), Question(text, TraceSpec(0), Steering(embedded(internvl, words), place))])
    rows = [rollout_row(answer.traces[0].layers, answer.traces[0].visual_columns) for answer in asked]
    assert relative(*rows) <= 1e-5


def test_small_batches_change_nothing(
    make: Callable[..., InternVL3Backend], internvl: InternVL3Backend, make_frames: Callable[..., Frames]
) -> None:
    small = make(views={"video": {"batch": 1}, "frame": {"max_tiles": 6, "batch": 1, "questions": 1}})
    for view in ("video", "frame"):
        with internvl.open(make_frames(3), view) as wide, small.open(make_frames(3), view) as narrow:
            questions = [Question(text) for text in QUESTIONS]
            assert [answer.texts for answer in wide.ask(questions)] == [answer.texts for answer in narrow.ask(questions)]


def test_the_vision_tower_sees_every_tile_once(internvl: InternVL3Backend, make_frames: Callable[..., Frames]) -> None:
    tiles: list[int] = []
    hook = internvl._reader.hf.model.model.vision_tower.register_forward_pre_hook(
        lambda _module, _inputs, options: tiles.append(len(options["pixel_values"])), with_kwargs=True
    )
    with internvl.open(make_frames(3, (20, 60)), "frame") as session:
        session.ask([Question(text, TraceSpec(1)) for text in QUESTIONS])
    hook.remove()
    assert session.layout.tiles == (1, 3)
    assert tiles == [2 * 3, 3]


def test_files_of_older_checkpoints(checkpoint: Callable[[str], Path], tmp_path: Path, make_frames: Callable[..., Frames]) -> None:
    """Before video processors had files of their own, frames of videos went by the image processor's."""
    folder = Path(shutil.copytree(checkpoint("internvl3"), tmp_path / "copy"))
    whole = json.loads((folder / "processor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(whole["image_processor"]))
    kept = {name: value for name, value in whole.items() if name not in ("image_processor", "video_processor")}
    (folder / "processor_config.json").write_text(json.dumps(kept))
    answers = []
    for weights in (folder, checkpoint("internvl3")):
        backend = InternVL3Backend(InternVL3Config(weights=str(weights), max_new_tokens=NEW_TOKENS), Runtime("cpu"))
        with backend.open(make_frames(2), "video") as video, backend.open(make_frames(2), "frame") as frame:
            answers.append([session.ask([Question(QUESTIONS[0])])[0].texts for session in (video, frame)])
    assert answers[0] == answers[1]


def test_another_family(checkpoint: Callable[[str], Path], make: Callable[..., InternVL3Backend]) -> None:
    with pytest.raises(
        WeightsError, match=r'holds a model of type "qwen2_5_vl"; wanted "internvl". Set mllm.use to "qwen2.5-vl"'
    ) as caught:
        make(weights=str(checkpoint("qwen2.5-vl")))
    assert caught.value.exit_status == 2
    with pytest.raises(WeightsError, match=r'holds a model of type "internvl"; wanted "qwen2_5_vl". Set mllm.use to "internvl3"'):
        Qwen25VLBackend(Qwen25VLConfig(weights=str(checkpoint("internvl3"))), Runtime("cpu"))


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (("processor_config.json",), "cannot load processor and tokenizer files|has no"),
        (("chat_template.jinja",), "has no chat template"),
        (("tokenizer.json", "tokenizer_config.json"), "cannot load processor and tokenizer files|does not know <IMG_CONTEXT>"),
        (("model.safetensors",), "cannot load weights in safetensors form"),
    ],
)
def test_missing_files(
    checkpoint: Callable[[str], Path], make: Callable[..., InternVL3Backend], tmp_path: Path, missing: tuple[str, ...], message: str
) -> None:
    folder = Path(shutil.copytree(checkpoint("internvl3"), tmp_path / "copy"))
    for name in missing:
        (folder / name).unlink()
    with pytest.raises(WeightsError, match=message):
        make(weights=str(folder))


def test_a_processor_of_another_tile_size(make: Callable[..., InternVL3Backend], make_frames: Callable[..., Frames]) -> None:
    backend = make()
    backend.family.processor.image_processor.size = {"height": 16, "width": 16}
    backend.family.processor.video_processor.size = {"height": 16, "width": 16}
    with pytest.raises(BackendError, match=r"made tiles \(1, 2, 3, 16, 16\); wanted \(1, 2, 3, 32, 32\): sequences, tiles of each"):
        backend.open(make_frames(2), "video")
    with pytest.raises(BackendError, match=r"made tiles \(.*16, 16\); wanted \(2, 7, 3, 32, 32\)"):
        backend.open(make_frames(2), "frame")


def test_a_context_that_is_too_long(make: Callable[..., InternVL3Backend], make_frames: Callable[..., Frames]) -> None:
    backend = make(max_new_tokens=1950)  # of 2048 positions
    with pytest.raises(PromptError, match=r"a prompt of \d+ positions and an answer of up to 1950 tokens .* context of 2048") as caught:
        backend.open(make_frames(3), "video")
    assert str(caught.value).endswith("Lower sampler.frames (now 3) or mllm.max_new_tokens (now 1950).")
    assert caught.value.exit_status == 2
    with pytest.raises(PromptError, match=r"Lower mllm\.views\.frame\.max_tiles \(now 6\) or mllm\.max_new_tokens \(now 1950\)\.$"):
        backend.open(make_frames(3), "frame")


def test_questions_with_visual_tokens(internvl: InternVL3Backend, make_frames: Callable[..., Frames]) -> None:
    with internvl.open(make_frames(1), "video") as session, pytest.raises(PromptError, match="leave <IMG_CONTEXT> and <video> out"):
        session.ask([Question("look <IMG_CONTEXT>")])


@settings(max_examples=6)
@given(st.tuples(st.integers(1, 70), st.integers(1, 70)), st.integers(1, 3), st.sampled_from(["video", "frame"]))
def test_any_size_can_be_asked(internvl: InternVL3Backend, size: tuple[int, int], count: int, view: str) -> None:
    frames = Frames(np.random.default_rng(count).integers(0, 256, (count, *size, 3), dtype=np.uint8), np.arange(count), 4.0)
    with internvl.open(frames, view) as session:
        (answer,) = session.ask([Question("x", TraceSpec(3))])
        maps = session.layout.fold(
            torch.cat([rollout_row(trace.layers, trace.visual_columns)[trace.visual_columns] for trace in answer.traces])
        )
    assert tuple(maps.shape) == (count, session.layout.rows, session.layout.columns)
    assert bool(maps.isfinite().all())


def test_what_to_lower_is_named(internvl: InternVL3Backend) -> None:
    assert list(internvl.family.larger("frame")) == ["mllm.views.frame.max_tiles (now 6)"]
    assert list(internvl.family.larger("video")) == []


def test_hf_models_need_no_backend(checkpoint: Callable[[str], Path]) -> None:
    with load(checkpoint("internvl3"), device="cpu") as hf:
        assert isinstance(hf, HFBackend)
        assert hf.layers == 4
