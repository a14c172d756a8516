"""Backends beside their sessions: text-only turns, options, errors, and what batches are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gazecut.errors import BackendError, ClipError, PromptError
from gazecut.values import Frames, Question, Steering, TraceSpec
from gazecut_mllm.backend import Backend
from gazecut_mllm.capture import is_capturing
from gazecut_mllm.continuation import Continuation
from gazecut_mllm.family import Placement

VIDEO = Placement("video", ("<|video_pad|>",), "<|video_pad|>", "<|vision_start|>")
QUESTIONS = ("the red circle", "what is it?")


def test_text_only_turns(backend: Backend) -> None:
    processor, model = backend.family.processor, backend._reader.hf.model
    for text in QUESTIONS:
        messages = [{"role": "user", "content": [{"type": "text", "text": text}]}]
        prompt = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = processor.tokenizer(prompt, return_tensors="pt")["input_ids"]
        tokens = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=6, temperature=1.0, top_p=1.0, top_k=50
        )
        assert backend.complete(text) == processor.tokenizer.decode(tokens[0, ids.shape[1] :], skip_special_tokens=True).strip()


def test_a_system_message_replaces_the_templates_own(make_backend: Callable[..., Backend]) -> None:
    chat = make_backend("qwen2.5-vl", system="Look at the circle.")._reader.chat
    tokenizer = chat._processor.tokenizer
    before = tokenizer.decode(chat.opening(VIDEO).ids)
    assert before == "<|im_start|>system\nLook at the circle.<|im_end|>\n<|im_start|>user\n<|vision_start|><|video_pad|>"
    assert "helpful" not in tokenizer.decode(chat.text("x"))


def test_seconds_per_slot(make_backend: Callable[..., Backend], make_frames: Callable[..., Frames]) -> None:
    frames = make_frames(4, every=2)  # 4 fps: half a second between frames, a second per slot
    assert make_backend("qwen2.5-vl").family.slot_step(frames) == 2.0
    assert make_backend("qwen2.5-vl", seconds_per_slot=0.5).family.slot_step(frames) == 1.0
    assert make_backend("qwen2-vl").family.slot_step(frames) == 1.0


def test_errors(qwen25: Backend, make_backend: Callable[..., Backend], make_frames: Callable[..., Frames]) -> None:
    frames = make_frames(2)
    with pytest.raises(BackendError, match='no view "sound"; wanted one of: video, frame'):
        qwen25.open(frames, "sound")
    with pytest.raises(BackendError, match=r"prelude embeddings have shape \(2, 5\); wanted \(P, 64\)"):
        qwen25.open(frames, "video", prelude=np.zeros((2, 5), np.float32))
    with pytest.raises(ClipError, match="aspect of up to 200:1"):
        qwen25.open(make_frames(1, (1, 300)), "video")
    with qwen25.open(frames, "video") as session:
        with pytest.raises(BackendError, match="layers 3 to 4; the model has layers 0 to 3"):
            session.ask([Question("x", TraceSpec(3, 4))])
        with pytest.raises(BackendError, match=r"steering embeddings have shape \(2, 5\)"):
            session.ask([Question("x", steering=Steering(np.zeros((2, 5), np.float32)))])
        with pytest.raises(PromptError, match="holds a visual token of the model"):
            session.ask([Question("look <|video_pad|>")])
    session.close()
    with pytest.raises(BackendError, match="session is closed"):
        session.ask([Question("x")])
    with pytest.raises(BackendError, match="layers 9 to the last"):
        qwen25.open(frames, "video", trace=TraceSpec(9))
    with (
        qwen25.open(frames, "video", trace=TraceSpec(2)) as session,
        pytest.raises(BackendError, match="traces layers 1 to 3, the session was opened for layers 2 to 3"),
    ):
        session.ask([Question("x", TraceSpec(1))])


def test_processor_of_another_patch_size(make_backend: Callable[..., Backend], make_frames: Callable[..., Frames]) -> None:
    backend = make_backend("qwen2.5-vl")
    backend.family.processor.video_processor.patch_size = 4
    with pytest.raises(BackendError, match="the checkpoint's processor laid out patches"):
        backend.open(make_frames(2), "video")


def test_nothing_stays_open_after_an_error(qwen25: Backend, make_frames: Callable[..., Frames]) -> None:
    with qwen25.open(make_frames(2), "video") as session:
        before = session.ask([Question("x")])[0].texts

        def fail(*_args: object, **_options: object) -> None:
            assert is_capturing()
            raise RuntimeError("the language model broke")

        handle = qwen25._reader.hf.model.model.language_model.layers[2].register_forward_pre_hook(fail)
        with pytest.raises(RuntimeError, match="broke"):
            session.ask([Question("x", TraceSpec(0))])
        handle.remove()
        assert not is_capturing()
        assert session.ask([Question("x")])[0].texts == before


def test_provenance_and_memory(qwen25: Backend) -> None:
    found = qwen25.describe()
    assert (found.device, found.dtype, found.revision) == ("cpu", "float32", None)
    assert Path(found.weights or "").is_dir()
    assert qwen25.peak_memory() == 0


def test_padding_brings_no_token_that_the_prompt_lacks(qwen25: Backend, make_frames: Callable[..., Frames]) -> None:
    # A repetition penalty looks at all ids of a row, padding and the places of steering included.
    with qwen25.open(make_frames(2), "video") as session:
        assert session._prefixes is not None
        questions = [Question("x"), Question(QUESTIONS[1]), Question("x", steering=Steering(np.ones((3, 64), np.float32)))]
        suffixes = [session._suffix(question) for question in questions]
        held = session._prefixes[0]
        prompts = Continuation(qwen25._reader.hf, held, held.take(), suffixes).prompts().tolist()
        for row, question in enumerate(questions):
            turn = qwen25._reader.chat.turn(question.text, VIDEO)
            assert set(prompts[row]) == {*qwen25._reader.chat.opening(VIDEO).ids, *turn.after}
            assert prompts[row][-len(turn.after) :] == list(turn.after) or question.steering is not None


def test_words_end_where_the_answer_does(qwen25: Backend) -> None:
    tokenizer = qwen25.family.processor.tokenizer
    ids = tokenizer(" the red circle <|im_end|>the left<|endoftext|>")["input_ids"]
    assert qwen25._reader.decoder.words(torch.tensor(ids)) == "the red circle"
    assert qwen25._reader.decoder.words(torch.tensor(ids[ids.index(tokenizer.eos_token_id) + 1 :])) == "the left"
    assert qwen25._reader.decoder.words(torch.tensor([tokenizer.eos_token_id])) == ""


def test_a_context_that_is_too_long(make_backend: Callable[..., Backend], make_frames: Callable[..., Frames]) -> None:
    views = {"video": {"tokens_per_frame": 400}, "frame": {"scale": 9}}
    backend = make_backend("qwen2.5-vl", views=views, max_new_tokens=1900)  # of 2048 positions
    with pytest.raises(PromptError, match=r"a prompt of \d+ positions and an answer of up to 1900 tokens .* context of 2048") as caught:
        backend.open(make_frames(200), "video")
    said = "Lower mllm.views.video.tokens_per_frame (now 400), sampler.frames (now 200) or mllm.max_new_tokens (now 1900)."
    assert str(caught.value).endswith(said)
    assert caught.value.exit_status == 2
    with pytest.raises(PromptError, match=r"Lower .*frame\.scale \(now 9\) or mllm\.max_new_tokens \(now 1900\)\.$"):
        backend.open(make_frames(1, (2000, 1600)), "frame")
    with pytest.raises(PromptError, match=r"Shorten the text, or lower mllm\.max_new_tokens \(now 1900\)"):
        backend.complete("the red circle " * 40)
    with backend.open(make_frames(1), "video") as session, pytest.raises(PromptError, match=r"Shorten the question, or lower"):
        session.ask([Question("x"), Question("the red circle " * 40)])
