"""Models whose parts are on several devices, or wait on the disk: the same answers, and every tensor where it is needed."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.hooks import attach_align_device_hook_on_blocks
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from gazecut.errors import DeviceError
from gazecut.protocols import Runtime
from gazecut.values import Frames, Question, TraceSpec
from gazecut.work import Work
from gazecut_mllm.config import LlavaOnevisionConfig
from gazecut_mllm.continuation import Continuation, Suffix
from gazecut_mllm.differentiable import Constant
from gazecut_mllm.hf import HFBackend
from gazecut_mllm.llava_onevision import LlavaOnevisionBackend
from gazecut_mllm.prefix import Opening, Prefix, prefill
from gazecut_mllm.rollout import rollout_row
from gazecut_mllm.shelf import Shelf

CPU, FIRST, SECOND = (torch.device(name) for name in ("cpu", "cuda:0", "cuda:1"))
QUESTIONS = [Question("the red circle", TraceSpec(1)), Question("what is it?")]
HERE = dict.fromkeys(("model.visual", "model.language_model", "lm_head"), "cpu")
PARTS = {
    "vision tower": HERE | {"model.visual": "disk"},
    "embeddings": {
        **dict.fromkeys(("model.visual", *(f"model.language_model.{part}" for part in ("layers", "norm", "rotary_emb")), "lm_head"), "cpu"),
        "model.language_model.embed_tokens": "disk",
    },
    "everything": {"": "disk"},
}


def same_on(kind: type[Any], config: Any, device_map: dict[str, str], frames: Frames) -> None:
    whole, spread = (kind(config.model_copy(update={"device_map": places}), Runtime("cpu")) for places in (None, device_map))
    assert spread.describe() == whole.describe()
    assert spread.complete("the red circle") == whole.complete("the red circle")
    with whole.open(frames, "frame") as wanted, spread.open(frames, "frame") as found:
        for want, have in zip(wanted.ask(QUESTIONS), found.ask(QUESTIONS), strict=True):
            assert have.texts == want.texts
            for left, right in zip(have.traces, want.traces, strict=True):
                rows = [rollout_row(trace.layers, trace.visual_columns) for trace in (left, right)]
                torch.testing.assert_close(*rows)


@pytest.mark.filterwarnings("ignore:You are calling .generate")  # transformers looks at the device of the first part alone
@pytest.mark.parametrize("waiting", PARTS)
def test_what_waits_on_the_disk_answers_the_same(qwen25: Any, make_frames: Callable[..., Frames], waiting: str) -> None:
    same_on(type(qwen25), qwen25._config, PARTS[waiting], make_frames(2))


@pytest.mark.filterwarnings("ignore:You are calling .generate")
def test_so_does_a_vision_tower_that_we_call_ourselves(checkpoint: Callable[[str], Any], make_frames: Callable[..., Frames]) -> None:
    config = LlavaOnevisionConfig(weights=str(checkpoint("llava-onevision")), max_new_tokens=4)
    same_on(LlavaOnevisionBackend, config, PARTS["everything"], make_frames(2))


@pytest.mark.parametrize("place", ["cuda:99", "tpu"])
def test_a_device_that_is_not_here(qwen25: Any, place: str) -> None:
    config = qwen25._config.model_copy(update={"device_map": {"model.visual": "cpu", "model.language_model": place, "lm_head": "disk"}})
    with pytest.raises(DeviceError, match=rf'device "{place}" is not here; this machine has: .*cpu') as caught:
        type(qwen25)(config, Runtime("cpu"))
    assert caught.value.exit_status == 2


class Somewhere(SimpleNamespace):
    """A tensor that knows where it is."""

    def to(self, device: torch.device) -> Somewhere:
        return Somewhere(device=device, nbytes=1)

    def cpu(self) -> Somewhere:
        return self.to(CPU)


def prefix_on(*homes: torch.device) -> Prefix:
    cache: Any = SimpleNamespace(
        layers=[SimpleNamespace(keys=Somewhere(device=home, nbytes=1), values=Somewhere(device=home, nbytes=1)) for home in homes]
    )
    queries: Any = {1: Somewhere(device=homes[1], nbytes=1)}
    return Prefix(Opening(torch.zeros(1), torch.zeros(1, 1), torch.zeros(1)), 1, cache, queries, {}, range(1, 2), homes)


@pytest.mark.parametrize("homes", [(FIRST, SECOND), (SECOND, FIRST), (SECOND, SECOND)])
def test_layers_come_back_to_where_they_compute(homes: tuple[torch.device, ...]) -> None:
    shelf = Shelf(FIRST, 5, 100, Work())
    prefixes = [prefix_on(*homes) for _ in range(2)]
    first, second = [shelf.hold(prefix, lambda: pytest.fail("it fits into host memory")) for prefix in prefixes]
    assert second.take() is prefixes[1]  # the model's first layer need not be on the model's first device
    waits: Any = first.prefix
    assert {waits.keys(0).device, waits.keys(1).device, waits.queries[1].device} == {CPU}
    back: Any = first.take()
    assert (back.keys(0).device, back.keys(1).device, back.queries[1].device) == (*homes, homes[1])
    assert second.prefix is not None
    assert second.prefix.keys(0).device == CPU


def test_visual_embeddings_go_to_where_token_embeddings_are() -> None:
    class Model(torch.nn.Module):
        """A language model on the second device; the vision tower, and what is given, are on the first."""

        def get_input_embeddings(self) -> Any:
            return lambda ids: torch.zeros(*ids.shape, 8, device=SECOND)

        def forward(self, inputs_embeds: torch.Tensor, **_given: Any) -> Any:
            layers = [SimpleNamespace(keys=inputs_embeds, values=inputs_embeds)]
            return SimpleNamespace(past_key_values=SimpleNamespace(layers=layers))

    backend: Any = SimpleNamespace(model=Model())
    with FakeTensorMode():
        ids, visual = torch.zeros(5, dtype=torch.long, device=FIRST), torch.zeros(3, dtype=torch.long, device=FIRST)
        opening = Opening(ids, ids[None], visual)
        found = prefill(backend, opening, torch.zeros(2, 3, 8, device=FIRST), 2, range(0))
        assert found.keys(0).device == SECOND
        assert found.keys(0).shape == (2, 5, 8)


class IndicesAtHome(TorchDispatchMode):
    """What a CUDA device asks of indices, and tensors that are not really there do not: they are on the CPU, or with what they index."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_):
            for index in args[1]:
                assert index is None or index.device in (CPU, args[0].device), "indices are on another device than what they index"
        return func(*args, **(kwargs or {}))


def spread_over_two(model: torch.nn.Module) -> Any:
    """The model, not really there, with its parts on two devices as accelerate spreads them; tokens come in on the first."""
    layers = {f"model.language_model.layers.{at}": str((SECOND, FIRST)[at % 2]) for at in range(4)}
    homes = {"model.visual": str(FIRST), "model.language_model.embed_tokens": str(SECOND), **layers}
    homes |= {"model.language_model.rotary_emb": str(FIRST), "model.language_model.norm": str(SECOND), "lm_head": str(SECOND)}
    for name, home in homes.items():
        for part in model.get_submodule(name).modules():  # not by to(): it cannot swap parameters that are not really there
            for own, kind in ((part._parameters, torch.nn.Parameter), (part._buffers, torch.Tensor.contiguous)):
                own.update({each: kind(value.detach().to(home)) for each, value in own.items() if value is not None})  # type: ignore[operator]
    whole = {**homes, "": str(FIRST)}
    attach_align_device_hook_on_blocks(model, execution_device=whole, offload=dict.fromkeys(homes, False), skip_keys="past_key_values")
    model.hf_device_map = homes  # type: ignore[assignment]
    return model


def test_a_model_that_was_moved_after_it_was_loaded_computes_where_it_is(tiny_parts: Any) -> None:
    model_class, config = tiny_parts.CLASSES["qwen2.5-vl"][0], tiny_parts.tiny_config("qwen2.5-vl", tiny_parts.tiny_tokenizer())
    model = model_class(config).eval()
    model.hf_device_map = {"": str(FIRST)}
    assert HFBackend(model).device == CPU


def test_questions_are_read_over_two_devices(tiny_parts: Any) -> None:
    model_class, config = tiny_parts.CLASSES["qwen2.5-vl"][0], tiny_parts.tiny_config("qwen2.5-vl", tiny_parts.tiny_tokenizer())
    with FakeTensorMode(), IndicesAtHome(), torch.no_grad():
        backend = HFBackend(spread_over_two(model_class(config).eval()))
        assert backend.device == FIRST
        ids, positions = torch.zeros(9, dtype=torch.long, device=FIRST), torch.arange(9, device=FIRST).expand(3, -1)
        opening = Opening(ids, positions, torch.arange(2, 6, device=FIRST))
        vars(opening)["following"] = 9  # no number can be read from positions that are not really there
        prefix = prefill(backend, opening, torch.zeros(2, 4, 64, device=FIRST), 2, range(4))
        assert prefix.homes == (SECOND, FIRST, SECOND, FIRST)
        back = prefix.waiting().home()
        assert tuple(back.keys(layer).device for layer in range(4)) == prefix.homes
        soft = torch.zeros(1, 64, device=FIRST)
        suffixes = [Suffix((1, 2, 3), range(4), steering=soft, steering_at=1), Suffix((1, 2), range(1, 3), row="first-answer")]
        logits, traces = Continuation(backend, Constant(prefix), prefix, suffixes).traced()
        assert logits.device == FIRST
        for trace in (trace for of_suffix in traces for trace in of_suffix):
            assert {part.device for layer in trace.layers for part in layer[:2]} == {FIRST}
