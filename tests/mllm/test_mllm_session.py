"""Sessions against the plain way: every question a full prompt of its own, through the library's processor and generate."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gazecut.errors import BackendError
from gazecut.values import Frames, Question, Steering, Trace, TraceSpec
from gazecut_mllm import continuation
from gazecut_mllm.backend import Backend
from gazecut_mllm.prefix import joined
from gazecut_mllm.rollout import rollout_row

QUESTIONS = ("the red circle", "what is it on the left? a single word or a longer phrase.", "x", "describe the background")
NEW_TOKENS = 6
GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": NEW_TOKENS, "temperature": 1.0, "top_p": 1.0, "top_k": 50}


class PlainWay:
    """Full prompts through the library's own processor; positions are derived from its token types, one question at a time."""

    def __init__(self, backend: Backend, frames: Frames, view: str) -> None:
        self.backend, self.frames, self.view = backend, frames, view
        self.model, self.processor = backend._reader.hf.model, backend.family.processor
        self.layout = backend.family.layout(frames, view)

    def sequences(self, text: str) -> Iterator[dict[str, Any]]:
        size = (self.layout.columns * 16, self.layout.rows * 16)
        images = [Image.fromarray(image).resize(size, Image.Resampling.BICUBIC) for image in self.frames.images]
        kind = "video" if self.view == "video" else "image"
        messages = [{"role": "user", "content": [{"type": kind}, {"type": "text", "text": text}]}]
        prompt = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        for shown in [images] if kind == "video" else [[image] for image in images]:
            if kind == "video":
                video = np.stack([np.asarray(image) for image in shown])
                clock = {"fps": self.frames.fps, "frames_indices": self.frames.indices.tolist(), "total_num_frames": len(video)}
                given = {"videos": [video], "video_metadata": [clock], "do_resize": False, "do_sample_frames": False}
                inputs = self.processor(text=[prompt], **given, return_tensors="pt")
                if self.model.config.model_type == "qwen2_5_vl":
                    inputs["second_per_grid_ts"] = torch.tensor([self.backend.family.slot_step(self.frames) / 2])
                else:
                    inputs.pop("second_per_grid_ts", None)
            else:
                inputs = self.processor(text=[prompt], images=shown, do_resize=False, return_tensors="pt")
            yield self.backend._reader.hf._prepare(inputs)

    def answer(self, text: str) -> list[str]:
        texts = []
        for inputs in self.sequences(text):
            length = inputs["input_ids"].shape[1]
            tokens = self.model.generate(**inputs, **GREEDY)
            texts.append(self.processor.tokenizer.decode(tokens[0, length:], skip_special_tokens=True).strip())
        return texts

    def traces(self, text: str, first_layer: int, last_layer: int | None = None) -> list[Trace]:
        return [self.backend._reader.hf.trace(inputs, first_layer, last_layer) for inputs in self.sequences(text)]


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float(torch.linalg.norm(found - wanted) / torch.linalg.norm(wanted))


CASES = [("video", 4, (64, 96)), ("video", 5, (50, 91)), ("video", 1, (64, 64)), ("frame", 3, (50, 91)), ("frame", 1, (96, 40))]


@pytest.mark.parametrize(("view", "count", "size"), CASES)
def test_answers_and_rollouts_equal_full_prompts(
    backend: Backend, make_frames: Callable[..., Frames], view: str, count: int, size: tuple[int, int]
) -> None:
    frames = make_frames(count, size)
    plain = PlainWay(backend, frames, view)
    with backend.open(frames, view) as session:
        answers = session.ask([Question(text, TraceSpec(1)) for text in QUESTIONS])
    sequences = 1 if view == "video" else count
    assert session.layout.slots == (-(-count // 2) if view == "video" else count)
    for text, answer in zip(QUESTIONS, answers, strict=True):
        assert list(answer.texts) == plain.answer(text)
        assert len(answer.traces) == sequences
        for trace, wanted in zip(answer.traces, plain.traces(text, 1), strict=True):
            assert trace.visual_columns.tolist() == wanted.visual_columns.tolist()
            row, full = (rollout_row(each.layers, each.visual_columns) for each in (trace, wanted))
            assert relative(row, full) <= 1e-5
    assert len({answer.texts for answer in answers}) > 1  # the model does listen


def test_one_question_at_a_time_is_the_same(backend: Backend, make_frames: Callable[..., Frames]) -> None:
    with backend.open(make_frames(4), "video") as session:
        together = session.ask([Question(text, TraceSpec(0)) for text in QUESTIONS])
        for text, batched in zip(QUESTIONS, together, strict=True):
            alone = session.ask([Question(text, TraceSpec(0))])[0]
            assert alone.texts == batched.texts
            rows = [rollout_row(answer.traces[0].layers, answer.traces[0].visual_columns) for answer in (alone, batched)]
            assert relative(*rows) <= 1e-5


def test_questions_beyond_the_batch_take_turns(make_backend: Callable[..., Backend], make_frames: Callable[..., Frames]) -> None:
    views = {"video": {"tokens_per_frame": 16, "batch": 3}, "frame": {"scale": 1, "batch": 5}}
    backend = make_backend("qwen2.5-vl", views=views)
    views = {"video": {"tokens_per_frame": 16, "batch": 1}, "frame": {"scale": 1, "batch": 1}}
    small = make_backend("qwen2.5-vl", views=views)
    for view in ("video", "frame"):
        frames = make_frames(2)
        with backend.open(frames, view) as wide, small.open(frames, view) as narrow:
            questions = [Question(text) for text in QUESTIONS]
            assert [answer.texts for answer in wide.ask(questions)] == [answer.texts for answer in narrow.ask(questions)]


@pytest.mark.parametrize(("view", "batches"), [("video", [1]), ("frame", [2, 2, 1])])
def test_tower_and_prefix_run_once(qwen25: Backend, make_frames: Callable[..., Frames], view: str, batches: list[int]) -> None:
    tower: list[int] = []
    passes: list[tuple[int, int]] = []
    model = qwen25._reader.hf.model
    hooks = [
        model.model.visual.register_forward_hook(lambda _module, _inputs, output: tower.append(output.pooler_output.shape[0])),
        model.model.language_model.register_forward_pre_hook(
            lambda _module, _inputs, options: passes.append(tuple(options["inputs_embeds"].shape[:2])), with_kwargs=True
        ),
    ]
    with qwen25.open(make_frames(5, (50, 91)), view) as session:
        opened = passes[:]
        for _ in range(2):
            session.ask([Question(text, TraceSpec(1)) for text in QUESTIONS])
    for hook in hooks:
        hook.remove()
    placement = session._placement
    turns = [qwen25._reader.chat.turn(text, placement) for text in QUESTIONS]
    visual = session.layout.rows * session.layout.columns * (session.layout.slots if view == "video" else 1)
    assert tower == [batch * visual for batch in batches]  # every frame once
    assert (
        qwen25._reader.chat.opening(placement).ids.count(model.config.video_token_id if view == "video" else model.config.image_token_id)
        == visual
    )
    assert opened == [(batch, len(qwen25._reader.chat.opening(placement).ids)) for batch in batches]
    assert all(batch in batches for batch, _ in passes)  # whatever the number of questions, no sequence is there twice
    suffixes = sum(len(turn.after) for turn in turns)
    longest = NEW_TOKENS * len(QUESTIONS)
    asked = sum(batch * length for batch, length in passes[len(batches) :])
    assert 2 * sum(batches) * suffixes < asked <= 2 * sum(batches) * (suffixes + longest)  # only suffixes and answers follow


def test_positions_agree_with_the_library_where_it_is_right(backend: Backend, make_frames: Callable[..., Frames]) -> None:
    for view in ("video", "frame"):
        frames = make_frames(4)
        plain = PlainWay(backend, frames, view)
        for inputs in plain.sequences(QUESTIONS[0]):
            grids = {name: inputs[name] for name in ("image_grid_thw", "video_grid_thw", "second_per_grid_ts") if name in inputs}
            wanted, _ = plain.model.model.get_rope_index(inputs["input_ids"], mm_token_type_ids=inputs["mm_token_type_ids"], **grids)
            assert torch.equal(inputs["position_ids"], wanted)


def test_grid_of_the_frame_view_is_exactly_finer(qwen25: Backend, make_frames: Callable[..., Frames]) -> None:
    for size in ((50, 91), (480, 854), (17, 300), (64, 64)):
        video, frame = (qwen25.family.layout(make_frames(2, size), view) for view in ("video", "frame"))
        assert (frame.rows, frame.columns) == (2 * video.rows, 2 * video.columns)
        assert video.rows * video.columns <= 16


def test_traces_of_some_layers_and_of_the_first_answer(qwen25: Backend, make_frames: Callable[..., Frames]) -> None:
    frames = make_frames(4)
    plain = PlainWay(qwen25, frames, "video")
    questions = [Question(QUESTIONS[0], TraceSpec(0, 1)), Question(QUESTIONS[1], TraceSpec(2, 3, "first-answer")), Question(QUESTIONS[2])]
    with qwen25.open(frames, "video") as session:
        early, answered, untraced = session.ask(questions)
    assert untraced.traces == ()
    wanted = plain.traces(QUESTIONS[0], 0, 1)[0]
    assert len(early.traces[0].layers) == 2
    assert relative(*(rollout_row(trace.layers, trace.visual_columns) for trace in (early.traces[0], wanted))) <= 1e-5

    inputs = next(plain.sequences(QUESTIONS[1]))
    tokens = plain.model.generate(**inputs, **{**GREEDY, "max_new_tokens": 1})
    positions = torch.cat([inputs["position_ids"], inputs["position_ids"][:, :, -1:] + 1], dim=2)
    longer = {**inputs, "input_ids": tokens, "position_ids": positions, "attention_mask": torch.ones_like(tokens)}
    longer.pop("mm_token_type_ids")
    wanted = qwen25._reader.hf.trace(longer, 2, 3)
    assert relative(*(rollout_row(trace.layers, trace.visual_columns) for trace in (answered.traces[0], wanted))) <= 1e-5


def test_a_batch_of_traces_holds_no_more_than_its_suffixes(qwen25: Backend, make_frames: Callable[..., Frames]) -> None:
    with qwen25.open(make_frames(4), "video") as session:
        traces = [answer.traces[0] for answer in session.ask([Question(text, TraceSpec(0)) for text in QUESTIONS])]
    for trace in traces:
        for query, key in trace.layers._pieces:  # type: ignore[attr-defined]
            assert query.untyped_storage().nbytes() == query.nbytes
            assert key.untyped_storage().nbytes() == key.nbytes


def embedded(backend: Backend, text: str) -> torch.Tensor:
    ids = torch.tensor(backend.family.processor.tokenizer(text)["input_ids"])
    return backend._reader.hf.model.get_input_embeddings()(ids).detach()


@pytest.mark.parametrize("view", ["video", "frame"])
@pytest.mark.parametrize(
    ("place", "words", "text"), [("before-text", "the red circle", " what is it?"), ("after-text", " the red circle", "what is it?")]
)
def test_steering_with_the_embeddings_of_words_is_those_words(
    backend: Backend, make_frames: Callable[..., Frames], view: str, place: Any, words: str, text: str
) -> None:
    spelt = words + text if place == "before-text" else text + words
    steering = Steering(embedded(backend, words), place)
    with backend.open(make_frames(2), view) as session:
        spec = TraceSpec(0)
        wanted, found, plain = session.ask([Question(spelt, spec), Question(text, spec, steering), Question(text, spec)])
    for want, found_trace, without in zip(wanted.traces, found.traces, plain.traces, strict=True):
        rows = [rollout_row(trace.layers, trace.visual_columns) for trace in (found_trace, want)]
        assert relative(*rows) <= 1e-5
        assert len(rows[0]) == len(rollout_row(without.layers, without.visual_columns)) + len(steering.embeddings)


def test_a_prelude_stands_before_the_visual_tokens(backend: Backend, make_frames: Callable[..., Frames]) -> None:
    frames, words = make_frames(2), "the red circle"
    soft = embedded(backend, words)
    question = Question("what is it?", TraceSpec(0), Steering(soft.numpy(), "before-vision"))
    with backend.open(frames, "video", prelude=soft.numpy()) as session:
        answer = session.ask([question])[0]
    plain = PlainWay(backend, frames, "video")
    inputs = next(plain.sequences("what is it?"))
    start = int((inputs["input_ids"][0] == backend._reader.hf.model.config.vision_start_token_id).nonzero()[0])
    spelt = torch.tensor([backend.family.processor.tokenizer(words)["input_ids"]])
    full = {name: value for name, value in inputs.items() if name not in ("position_ids", "attention_mask", "mm_token_type_ids")}
    full["input_ids"] = torch.cat([inputs["input_ids"][:, :start], spelt, inputs["input_ids"][:, start:]], dim=1)
    wanted = backend._reader.hf.trace(full, 0)
    found = answer.traces[0]
    assert found.visual_columns.tolist() == wanted.visual_columns.tolist()
    assert relative(*(rollout_row(trace.layers, trace.visual_columns) for trace in (found, wanted))) <= 1e-5
    with (
        backend.open(frames, "video", prelude=soft.numpy()) as session,
        pytest.raises(
            BackendError, match=r"steered by other embeddings .* than the session was opened with\. Open it with them as prelude"
        ),
    ):
        session.ask([question, Question("x", steering=Steering(soft.flip(0), "before-vision"))])
    with backend.open(frames, "video") as session, pytest.raises(BackendError, match=r"steered by 3 .* opened with 0"):
        session.ask([Question("x", steering=Steering(soft[:3], "before-vision"))])


def test_keys_of_a_read_prefix_are_free_before_they_are_joined(
    qwen25: Backend, make_frames: Callable[..., Frames], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    def note(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        read.extend(weakref.ref(part) for layer in output.past_key_values.layers for part in (layer.keys, layer.values))

    def counted(caches: Sequence[Any]) -> Any:
        alive.append(sum(part() is not None for part in read))
        return joined(caches)

    with qwen25.open(make_frames(4), "video") as session:
        monkeypatch.setattr(continuation, "joined", counted)
        hook = qwen25._reader.hf.model.register_forward_hook(note)
        try:
            session.ask([Question(text, TraceSpec(0)) for text in QUESTIONS])
        finally:
            hook.remove()
    assert read
    assert set(alive) == {0}
