"""Capture changes no number, keeps what attention really uses, and leaves nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from gazecut.errors import BackendError, WeightsError
from gazecut_mllm.capture import ATTENTION, capturing, is_capturing
from gazecut_mllm.hf import load
from gazecut_mllm.rollout import rollout_row

FAMILIES = ("qwen2-vl", "qwen2.5-vl", "qwen3-vl")


@pytest.fixture(params=FAMILIES)
def folder(request: pytest.FixtureRequest, checkpoint: Callable[[str], Path]) -> Path:
    return checkpoint(request.param)


def plain_model(folder: Path, attention: str = "sdpa", dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    return AutoModelForImageTextToText.from_pretrained(folder, attn_implementation=attention, dtype=dtype).eval()


def inputs_for(model: PreTrainedModel, slots: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    grid = torch.tensor([[slots, 6, 4]])
    visual = int(grid.prod()) // 4
    text = torch.randint(30, 300, (1, 12), generator=generator)
    ids = torch.cat([text[:, :5], torch.full((1, visual), model.config.video_token_id), text[:, 5:]], dim=1)
    pixels = torch.randn(int(grid.prod()), 3 * 2 * 8 * 8, generator=generator)
    return {"input_ids": ids, "pixel_values_videos": pixels, "video_grid_thw": grid}


def padded(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    ids = torch.nn.functional.pad(inputs["input_ids"], (3, 0), value=1)
    return {**inputs, "input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) >= 3).long()[None]}


@torch.inference_mode()
def logits(model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    positions = torch.arange(inputs["input_ids"].shape[1]).expand(3, 1, -1)
    return model(**inputs, position_ids=positions).logits


@torch.inference_mode()
def continued(model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    positions = torch.arange(inputs["input_ids"].shape[1]).expand(3, 1, -1)
    ids, cut = inputs["input_ids"], inputs["input_ids"].shape[1] - 4
    first = model(**{**inputs, "input_ids": ids[:, :cut]}, position_ids=positions[:, :, :cut], use_cache=True)
    return model(input_ids=ids[:, cut:], past_key_values=first.past_key_values, position_ids=positions[:, :, cut:]).logits


def test_hooked_logits_are_bit_identical(folder: Path) -> None:
    model = plain_model(folder)
    inputs = inputs_for(model)
    cases = [lambda: logits(model, inputs), lambda: logits(model, padded(inputs)), lambda: continued(model, inputs)]
    before = [case() for case in cases]
    with load(model):
        idle = [case() for case in cases]
        with capturing(range(4)) as captured:
            hooked = [case() for case in cases]
    assert sorted(captured.query) == [0, 1, 2, 3]
    for plain, still, kept in zip(before, idle, hooked, strict=True):
        assert torch.equal(plain, still)
        assert torch.equal(plain, kept)


def test_captured_attention_is_what_eager_attention_uses(folder: Path) -> None:
    inputs = inputs_for(plain_model(folder))
    with load(folder, device="cpu") as backend:
        trace = backend.trace(inputs)
        prepared = backend._prepare(inputs)
    with torch.inference_mode():
        eager = plain_model(folder, "eager")(**prepared, output_attentions=True).attentions
    assert len(eager) == len(trace.layers) == 4
    for layer, wanted in zip(trace.layers, eager, strict=True):
        assert layer.key.shape[0] == 2  # key heads are not repeated
        scores = layer.query @ layer.key.repeat_interleave(2, 0).mT * layer.scale
        found = scores.masked_fill(torch.ones_like(scores[0]).triu(1).bool(), -torch.inf).softmax(-1)
        torch.testing.assert_close(found, wanted[0], rtol=0, atol=5e-5)
        assert wanted[0].amax(-1).mean() > 0.3  # sharp enough for a mistake to show


def test_rollout_in_double_precision(folder: Path) -> None:
    model = plain_model(folder, dtype=torch.float64)
    with load(model) as backend:
        trace = backend.trace(inputs_for(model), 1)
    row = rollout_row(trace.layers, trace.visual_columns)
    assert row.dtype == torch.float64


def test_a_users_model_gets_its_own_setting_back(folder: Path) -> None:
    for attention in ("sdpa", "eager"):
        model = plain_model(folder, attention)
        backend = load(model)
        assert model.config.text_config._attn_implementation == ATTENTION
        assert model.config.vision_config._attn_implementation == attention
        backend.close()
        backend.close()
        assert model.config.text_config._attn_implementation == attention
        assert model.config._attn_implementation == attention
        with pytest.raises(BackendError, match="backend is closed"):
            backend.trace(inputs_for(model))


def test_vision_towers_are_never_kept(folder: Path) -> None:
    model = plain_model(folder)
    model.set_attn_implementation(ATTENTION)
    with capturing(range(99)) as captured:
        logits(model, inputs_for(model))
    assert sorted(captured.query) == [0, 1, 2, 3]
    assert {query.shape[2] for query in captured.query.values()} == {inputs_for(model)["input_ids"].shape[1]}


def test_a_capture_closes_after_errors_and_stays_in_its_thread() -> None:
    seen: list[bool] = []

    def fail() -> None:
        with capturing(range(2)):
            seen.append(is_capturing())
            thread = threading.Thread(target=lambda: seen.append(is_capturing()))
            thread.start()
            thread.join()
            raise RuntimeError("broke")

    with pytest.raises(RuntimeError, match="broke"):
        fail()
    assert seen == [True, False]
    assert not is_capturing()


def test_errors(folder: Path) -> None:
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    text = Qwen2ForCausalLM(Qwen2Config(vocab_size=20, **sizes))
    with pytest.raises(WeightsError, match="Qwen2ForCausalLM has no language model part"):
        load(text)
    model = plain_model(folder)
    model.config.text_config.layer_types = ["sliding_attention"] * 4
    with pytest.raises(WeightsError, match="sliding window in some layers"):
        load(model)

    model = plain_model(folder)
    changed = load(model)
    model.set_attn_implementation("eager")
    with pytest.raises(BackendError, match='attention was set to "eager" meanwhile'):
        changed.trace(inputs_for(model))

    backend = load(folder, device="cpu")
    inputs: dict[str, Any] = inputs_for(backend.model)
    with pytest.raises(BackendError, match="layers 2 to 4; the model has layers 0 to 3"):
        backend.trace(inputs, 2, 4)
    with pytest.raises(BackendError, match=r"input_ids have shape \(2, 24\); wanted \(1, N\)"):
        backend.trace({**inputs, "input_ids": inputs["input_ids"].expand(2, -1)})
    with pytest.raises(BackendError, match="inputs hold no input_ids, only pixel_values_videos, video_grid_thw; wanted what the processor"):
        backend.trace({name: value for name, value in inputs.items() if name.endswith(("videos", "thw"))})
    with pytest.raises(BackendError, match="the prompt has no visual tokens"):
        backend.trace({"input_ids": torch.tensor([[40, 41]])})
    with pytest.raises(BackendError, match="12 visual tokens in the prompt, 18 in the grids"):
        backend.trace({**inputs, "video_grid_thw": torch.tensor([[3, 6, 4]])})
    with pytest.raises(BackendError, match="images and videos"):
        backend.trace({**inputs, "image_grid_thw": torch.tensor([[1, 6, 4]])})
    assert not is_capturing()
