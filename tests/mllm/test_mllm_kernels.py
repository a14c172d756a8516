"""Attention by another kernel, weights in fewer bits, models over several devices: what cannot run here, up to the call."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from gazecut.errors import PluginError, RecipeError
from gazecut.values import Answer, Frames, Question, TraceSpec
from gazecut_mllm import backend as backends
from gazecut_mllm import weights
from gazecut_mllm.backend import Backend
from gazecut_mllm.capture import NAMES
from gazecut_mllm.checkpoint import Checkpoint
from gazecut_mllm.kernels import eager, resolve_attention
from gazecut_mllm.rollout import rollout_row
from gazecut_mllm.weights import Loading, load_model

QUESTIONS = [Question(text, TraceSpec(0)) for text in ("the red circle", "what is it on the left?")]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class FlashAttention(ModuleType):
    """The one function of flash-attn that is called, by torch."""

    def __init__(self) -> None:
        super().__init__("flash_attn")
        self.__spec__ = ModuleSpec("flash_attn", None)
        self.calls: list[tuple[tuple[int, ...], ...]] = []

    def flash_attn_func(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, softmax_scale: float, causal: bool) -> torch.Tensor:
        assert causal
        assert k.shape == v.shape
        self.calls.append((tuple(q.shape), tuple(k.shape)))
        query, key, value = (tensor.transpose(1, 2) for tensor in (q, k, v))
        seen = torch.ones(q.shape[1], k.shape[1], dtype=torch.bool).tril(k.shape[1] - q.shape[1])  # the last row sees everything
        output = torch.nn.functional.scaled_dot_product_attention(query, key, value, seen, scale=softmax_scale, enable_gqa=True)
        return output.transpose(1, 2)


@pytest.fixture
def flash_attn(monkeypatch: pytest.MonkeyPatch) -> FlashAttention:
    module = FlashAttention()
    monkeypatch.setitem(sys.modules, "flash_attn", module)
    return module


def asked(backend: Backend, frames: Frames, view: str) -> list[Answer]:
    with backend.open(frames, view) as session:
        return [*session.ask(QUESTIONS), *session.ask(QUESTIONS[:1])]


def agree(found: list[Answer], wanted: list[Answer]) -> None:
    assert [answer.texts for answer in found] == [answer.texts for answer in wanted]
    for have, want in zip(found, wanted, strict=True):
        for trace, other in zip(have.traces, want.traces, strict=True):
            for layer, same in zip(trace.layers, other.layers, strict=True):
                assert layer.scale == same.scale
                torch.testing.assert_close(layer.query, same.query, rtol=1e-4, atol=1e-4)
                torch.testing.assert_close(layer.key, same.key, rtol=1e-4, atol=1e-4)
            rows = [rollout_row(each.layers, each.visual_columns) for each in (trace, other)]
            assert torch.linalg.norm(rows[0] - rows[1]) <= 1e-5 * torch.linalg.norm(rows[1])


@pytest.mark.parametrize("view", ["video", "frame"])
def test_whole_matrices_give_the_same_traces(
    backend: Backend, make_backend: Callable[..., Backend], make_frames: Callable[..., Frames], view: str
) -> None:
    by_matrices = type(backend)(backend._config.model_copy(update={"attention": "eager"}), backends.Runtime("cpu"))
    assert by_matrices._reader.hf.model.config.text_config._attn_implementation == NAMES["eager"]
    frames = make_frames(3)
    agree(asked(by_matrices, frames, view), asked(backend, frames, view))


@pytest.mark.parametrize("view", ["video", "frame"])
def test_flash_attn_reads_the_prefix_and_sdpa_what_needs_a_mask(
    backend: Backend, make_frames: Callable[..., Frames], flash_attn: FlashAttention, monkeypatch: pytest.MonkeyPatch, view: str
) -> None:
    monkeypatch.setattr(backends, "resolve_attention", lambda *_given: "flash")
    by_flash = type(backend)(backend._config, backends.Runtime("cpu"))
    frames = make_frames(3)
    with by_flash.open(frames, view) as session:
        prefixes = [(held.sequences, len(held)) for held in session._prefixes or ()]
    text = by_flash._reader.hf.model.config.text_config
    heads, groups, width = text.num_attention_heads, text.num_key_value_heads, text.hidden_size // text.num_attention_heads
    wanted = [((many, tokens, heads, width), (many, tokens, groups, width)) for many, tokens in prefixes for _ in range(4)]
    assert flash_attn.calls == wanted  # once per layer and batch, key heads as they are
    flash_attn.calls.clear()
    agree(asked(by_flash, frames, view), asked(backend, frames, view))
    assert {shapes[0][1] for shapes in flash_attn.calls} == {1, *(tokens for _, tokens in prefixes)}  # prefixes, single answers


def test_which_kernel_an_option_means(flash_attn: FlashAttention, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_attention("auto", torch.bfloat16, CUDA) == "flash"
    assert resolve_attention("flash", torch.float16, CUDA) == "flash"
    assert resolve_attention("auto", torch.float32, CUDA) == resolve_attention("auto", torch.bfloat16, CPU) == "sdpa"
    assert [resolve_attention(name, torch.bfloat16, CUDA) for name in ("sdpa", "eager")] == ["sdpa", "eager"]
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    assert resolve_attention("auto", torch.bfloat16, CUDA) == "sdpa"


def test_a_flash_attn_that_was_built_for_another_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "flash_attn.py").write_text('raise ImportError("flash_attn_2_cuda.so: undefined symbol: _ZN3c105ErrorE")')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "flash_attn", raising=False)
    with caplog.at_level(logging.WARNING):
        assert resolve_attention("auto", torch.bfloat16, CUDA) == "sdpa"
    assert caplog.messages == [
        "attention is computed by torch, for flash-attn cannot be imported: "
        "flash_attn_2_cuda.so: undefined symbol: _ZN3c105ErrorE. Traces are the same."
    ]
    with pytest.raises(PluginError, match=r"no-build-isolation, beside the torch that is here \(flash_.* undefined symbol: \w+\)\."):
        resolve_attention("flash", torch.bfloat16, CUDA)


def test_what_flash_attn_needs(make_backend: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    with pytest.raises(PluginError, match=r'needs package flash-attn: pip install "gazecut\[flash\]"') as missing:
        resolve_attention("flash", torch.bfloat16, CUDA)
    with pytest.raises(RecipeError, match=r"bfloat16 or float16 on a CUDA device only; the model is torch.float32 on cpu") as unfit:
        make_backend("qwen2.5-vl", attention="flash")
    assert missing.value.exit_status == unfit.value.exit_status == 2


def test_rows_that_see_nothing_stay_finite() -> None:
    query, key = torch.randn(1, 4, 3, 8), torch.randn(1, 2, 3, 8)
    mask = torch.ones(3, 3, dtype=torch.bool).tril()[None, None] & torch.tensor([False, True, True])
    output, _ = eager(torch.nn.Module(), query, key, key, mask)
    wanted = torch.nn.functional.scaled_dot_product_attention(query, key, key, mask, enable_gqa=True).transpose(1, 2)
    assert output.isfinite().all()
    torch.testing.assert_close(output[:, 1:], wanted[:, 1:])


class Model(SimpleNamespace):
    """What loading returns, as far as we touch it."""

    def eval(self) -> Model:
        return self


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments of the next call of transformers' own loading."""
    given: dict[str, Any] = {}

    def load(folder: Path, **arguments: Any) -> tuple[Model, dict[str, Any]]:
        given.update(arguments, folder=folder)
        return Model(), {"missing_keys": []}

    monkeypatch.setattr(weights.AutoModelForImageTextToText, "from_pretrained", load)
    return given


def test_fewer_bits_up_to_the_call(loaded: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, loading = Checkpoint(Path("somewhere")), Loading(CUDA, torch.bfloat16, quantization="4bit")
    with pytest.raises(
        PluginError, match=r'quantization is 4bit, which needs package bitsandbytes: pip install "gazecut\[quantized\]"'
    ) as error:
        load_model(checkpoint, None, loading)
    assert error.value.exit_status == 2
    monkeypatch.setattr(weights, "find_spec", lambda name: ModuleSpec(name, None))
    load_model(checkpoint, None, loading)
    bits = loaded["quantization_config"]
    assert (bits.load_in_4bit, bits.bnb_4bit_quant_type, bits.bnb_4bit_compute_dtype) == (True, "nf4", torch.bfloat16)
    assert loaded["device_map"] == {"": "cuda"}  # quantised weights cannot be moved afterwards
    assert loaded["attn_implementation"] == {"text_config": NAMES["sdpa"]}
    load_model(checkpoint, None, replace(loading, quantization="8bit", attention="flash"))
    assert loaded["quantization_config"].load_in_8bit
    assert loaded["attn_implementation"] == {"text_config": NAMES["flash"]}
    load_model(checkpoint, None, replace(loading, quantization="none", device_map="balanced"))
    assert loaded["device_map"] == "balanced"


def test_a_package_that_loading_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(folder: Path, **_arguments: Any) -> None:
        raise ImportError("Using `bitsandbytes` 4-bit quantization requires bitsandbytes: `pip install -U bitsandbytes>=0.46.1`")

    monkeypatch.setattr(weights.AutoModelForImageTextToText, "from_pretrained", load)
    with pytest.raises(
        PluginError, match=r"folder somewhere cannot be loaded without a package: .* `pip install -U bitsandbytes>=0.46.1`\.$"
    ):
        load_model(Checkpoint(Path("somewhere")), None, Loading(CPU, torch.float32))


def test_a_device_map_answers_the_same(backend: Backend, make_frames: Callable[..., Frames]) -> None:
    spread = type(backend)(backend._config.model_copy(update={"device_map": {"": "cpu"}}), backends.Runtime("cpu"))
    frames = make_frames(2)
    agree(asked(spread, frames, "video"), asked(backend, frames, "video"))
