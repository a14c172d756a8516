"""Training of the pocket model: the fast forward pass is the stock one, and a run can be interrupted anywhere."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from gazecut.prompts import parse_attributes, prompt_set, render
from gazecut.world import HELD_OUT, Plan, expressions, plan
from gazecut_training import data
from gazecut_training.config import POCKET, TRAINING_SEEDS, Config, Stage
from gazecut_training.data import PocketData, scene_batch, text_batch
from gazecut_training.model import build_model, build_processor, export
from gazecut_training.packing import hidden_states, patch_windows, prefix_positions, vision_tokens
from gazecut_training.questions import attribute_answer
from gazecut_training.tokenizer import SYSTEM, build_tokenizer, phrases, words
from gazecut_training.train import Trainer, batch_loss

TINY = Config(
    stages=(Stage(3, {"pair": 1.0}, {"pair": 2}, text=2), Stage(3, {"frame": 0.5, "clip": 0.5}, {"frame": 1, "clip": 1})),
    layers=2,
    depth=1,
    warmup=2,
)


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


@pytest.mark.parametrize(
    "text",
    [
        "the largest red object on the left.",
        "Reasoning: the circle fits.\n\nAttributes: red, large, on the left, moving right",
        "Ünïcode → 象 zebra\n\n  x\t",
        "please look\nthe red object. \nWhat now?",
        *(
            render(t, expression="the star.", category="cross", candidates="star,cross", attributes="red")
            for n in ("decaf", "steerseg")
            for t in prompt_set(n).templates.values()
        ),
    ],
)
def test_text_comes_back(tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_words_and_phrases_are_single_tokens(tokenizer) -> None:
    for word in words():
        assert len(tokenizer(word).input_ids) == 1
        assert len(tokenizer(f" {word}").input_ids) == 1
    assert all(len(tokenizer(phrase).input_ids) == 1 for phrase in phrases())
    for template in (t for n in ("decaf", "steerseg") for t in prompt_set(n).templates.values()):
        filled = render(template, expression="the star.", category="cross", candidates="star", attributes="red")
        assert len(tokenizer(filled).input_ids) <= 12


@pytest.mark.parametrize("view", ["frame", "clip"])
def test_packed_equals_stock(tokenizer, view: str) -> None:
    model = build_model(tokenizer, seed=0, layers=2, depth=2).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
    rng = np.random.default_rng(0)
    pad = "<|image_pad|>" if view == "frame" else "<|video_pad|>"
    frames = rng.integers(0, 256, (1, 256, 256, 3) if view == "frame" else (8, 128, 128, 3), np.uint8)
    text = [f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<|vision_start|>{pad}<|vision_end|>"]
    processor = build_processor(tokenizer)
    if view == "frame":
        inputs, grid, times = processor(images=[frames[0]], text=text, return_tensors="pt"), (1, 16, 16), 1
    else:
        meta = [{"fps": 2.0, "total_num_frames": 8, "frames_indices": list(range(8))}]
        inputs = processor(videos=[frames], text=text, return_tensors="pt", do_sample_frames=False, video_metadata=meta)
        grid, times = (4, 8, 8), 2
    prefix = inputs.pop("input_ids")[0]
    types = inputs.pop("mm_token_type_ids")
    inputs.pop("attention_mask")
    asked = [tokenizer(q).input_ids for q in ("the largest red object. hello", "the star.")]
    ids = torch.zeros(1, 2, max(map(len, asked)), dtype=torch.long)
    for k, tokens in enumerate(asked):
        ids[0, k, : len(tokens)] = torch.tensor(tokens)
    with torch.no_grad():
        size = frames.shape[1]
        visual = vision_tokens(model, patch_windows(torch.from_numpy(frames).view(-1, times, size, size, 3)), grid[1:], half=False)
        embedded = model.model.language_model.embed_tokens(prefix)[None].clone()
        before = len(prefix) - 257
        embedded[:, before:-1] = visual.reshape(1, 256, -1)
        packed = model.lm_head(hidden_states(model, embedded, prefix_positions(before, grid, 1), [ids], half=False)[0])
        for k, tokens in enumerate(asked):
            full = torch.cat([prefix, torch.tensor(tokens)])[None]
            kinds = torch.cat([types, torch.zeros(1, len(tokens), dtype=torch.long)], 1)
            stock = model(input_ids=full, mm_token_type_ids=kinds, **inputs).logits[0, len(prefix) :]
            torch.testing.assert_close(packed[0, k, : len(tokens)], stock, atol=1e-5, rtol=1e-5)


def test_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = Trainer(TINY, tmp_path / "whole")
    whole.run(minutes=math.inf, save_every=math.inf, workers=0)
    first = Trainer(TINY, tmp_path / "parts")
    first.run(minutes=0, save_every=math.inf, workers=0)  # stops after one step
    assert first.step == 1
    second = Trainer(TINY, tmp_path / "parts")
    second.load()
    second.run(minutes=math.inf, save_every=math.inf, workers=0)
    assert second.step == whole.step == TINY.steps
    for one, other in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_exported_checkpoint_generates(tokenizer, tmp_path: Path) -> None:
    export(build_model(tokenizer, seed=0, layers=1, depth=1), tokenizer, tmp_path)
    processor = AutoProcessor.from_pretrained(tmp_path, local_files_only=True)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path, local_files_only=True)
    turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "the star."}]}]
    text = processor.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
    assert text.startswith(f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<|vision_start|>")
    inputs = processor(text=[text], images=[np.zeros((64, 80, 3), np.uint8)], return_tensors="pt")
    length = inputs["input_ids"].shape[1]
    assert length < model.generate(**inputs, max_new_tokens=2).shape[1] <= length + 2


def test_answers_are_learned_and_nothing_else() -> None:
    batch = scene_batch(np.random.default_rng(5), replace(POCKET.stages[-1], views={"clip": 1.0}, batch={"clip": 2}))
    tokenizer = build_tokenizer()
    for block in batch.blocks:
        for ids, weights in zip(block.ids.flatten(0, 1), block.weights.flatten(0, 1), strict=True):
            first, last = int(weights.nonzero()[0, 0]), int(weights.nonzero()[-1, 0])
            assert tokenizer.decode(ids[: first + 1]).endswith("<|im_start|>assistant\n")
            assert int(ids[last + 1]) == tokenizer.eos_token_id


def test_loss_is_finite_and_gives_gradients(tokenizer) -> None:
    model = build_model(tokenizer, seed=0, layers=1, depth=1)
    for batch in PocketData(TINY)[0]:
        loss = batch_loss(model, batch)
        assert loss.isfinite()
        loss.backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert missing == []


def test_attribute_answers_parse() -> None:
    expression = expressions(plan(4))[0]
    assert parse_attributes(attribute_answer(expression, ("red", "large"))) == "red, large"


def test_no_scene_beyond_the_training_seeds_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def drawing(seed: int, **wanted: object) -> Plan:
        drawn.append(seed)
        return plan(0)

    monkeypatch.setattr(data, "plan", drawing)
    stage = Stage(1, {"pair": 1.0}, {"pair": 2}, short=1, long=0)
    for seed in range(200):
        scene_batch(np.random.default_rng(seed), stage)
        text_batch(np.random.default_rng([seed, 1]), 2)
    assert len(drawn) >= 800
    assert 0.9 * TRAINING_SEEDS < max(drawn) < TRAINING_SEEDS < HELD_OUT
