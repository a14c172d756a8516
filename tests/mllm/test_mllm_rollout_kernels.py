"""The chunked kernel against whole matrices: shapes, padding, masks, batches, several prompts, gradients."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from gazecut.errors import BackendError, ShapeError
from gazecut_mllm.rollout import Masking, Method, rollout_row, rollout_rows

WEIGHTINGS = ("vision-max", "max", "mean")

Layers = list[tuple[torch.Tensor, torch.Tensor, float]]


@dataclasses.dataclass
class Case:
    """Random layers, and columns and masks to go with them."""

    layers: Layers
    columns: torch.Tensor
    masking: Masking | None


@st.composite
def cases(draw: st.DrawFn, most_tokens: int = 600, batches: bool = True) -> Case:
    heads, groups = draw(st.sampled_from([(1, 1), (4, 2), (8, 2), (6, 1), (7, 7)]))
    width, tokens = draw(st.sampled_from([1, 8, 64, 80])), draw(st.integers(1, most_tokens))
    batch = draw(st.sampled_from([(), (1,), (3,)])) if batches else ()
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    layers = [
        (
            torch.randn(*batch, heads, tokens, width, generator=generator, dtype=torch.float64),
            torch.randn(*batch, groups, tokens, width, generator=generator, dtype=torch.float64),
            width**-0.5,
        )
        for _ in range(draw(st.integers(1, 4)))
    ]
    real = torch.rand(*batch, tokens, generator=generator) < draw(st.sampled_from([0.5, 0.9]))
    real[..., draw(st.integers(0, tokens - 1))] = True
    mask = torch.rand(*batch, tokens, tokens, generator=generator) < draw(st.sampled_from([0.2, 0.9]))
    masked = draw(st.sampled_from(["not", "padding", "mask", "both"]))
    masking = Masking(real if masked in ("padding", "both") else None, mask if masked in ("mask", "both") else None)
    columns = draw(st.sampled_from(["some", "range"]))
    chosen = torch.rand(*batch, tokens, generator=generator) < 0.4
    if columns == "range":
        chosen[..., tokens // 3 : 2 * tokens // 3] = True
    chosen &= real
    return Case(layers, torch.where(chosen.any(-1, keepdim=True), chosen, real), None if masked == "not" else masking)


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found.double() - wanted.double()).norm() / wanted.double().norm())


def converted(layers: Layers, dtype: torch.dtype) -> Layers:
    return [(query.to(dtype), key.to(dtype), scale) for query, key, scale in layers]


@settings(max_examples=60)
@given(case=cases(), weighting=st.sampled_from(WEIGHTINGS), chunk=st.sampled_from([None, 1, 7, 64, 1000]))
def test_equals_the_reference(case: Case, weighting: Any, chunk: int | None) -> None:
    options: dict[str, Any] = {"head_weighting": weighting, "masking": case.masking}
    wanted = rollout_row(case.layers, case.columns, kernel="reference", **options)
    found = rollout_row(case.layers, case.columns, kernel="chunked", chunk=chunk, **options)
    assert found.dtype == torch.float64
    assert found.shape == wanted.shape == case.layers[0][0].shape[:-3] + case.layers[0][0].shape[-2:-1]
    assert relative(found, wanted) <= 1e-12
    for dtype, bar in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
        less = rollout_row(converted(case.layers, dtype), case.columns, chunk=chunk, **options)
        assert less.dtype == torch.float32
        assert relative(less, wanted) <= bar


@settings(max_examples=40)
@given(
    case=cases(most_tokens=150, batches=False),
    branches=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    weighting=st.sampled_from(WEIGHTINGS),
    kernel=st.sampled_from(["chunked", "reference"]),
    chunk=st.sampled_from([None, 3]),
)
def test_branches_equal_each_prompt_on_its_own(case: Case, branches: list[int], weighting: Any, kernel: Any, chunk: int | None) -> None:
    total = case.layers[0][0].shape[1]
    trunk = total - sum(branches)
    columns = case.columns.clone()
    columns[max(trunk, 0) :] = False
    masking = case.masking or Masking()
    tokens = masking.tokens
    if masking.mask is not None:
        masking.mask[:trunk, max(trunk, 0) :] = False  # a trunk that saw a branch would not be shared
    if trunk < 1 or not columns.any() or (tokens is not None and not tokens[:trunk].any()):
        return
    method = Method(weighting, kernel, chunk)
    together = rollout_rows(case.layers, columns, branches, method=method, masking=case.masking)
    start = trunk
    for own, found in zip(branches, together, strict=True):
        prompt = torch.cat([torch.arange(trunk), torch.arange(start, start + own)])
        start += own
        alone = rollout_row(
            [(query[:, prompt], key[:, prompt], scale) for query, key, scale in case.layers],
            columns[prompt],
            head_weighting=weighting,
            kernel="reference",
            masking=Masking(None if tokens is None else tokens[prompt], None if masking.mask is None else masking.mask[prompt][:, prompt]),
        )
        assert relative(found, alone) <= 1e-12


def some_layers(tokens: int, *, batch: tuple[int, ...] = (), count: int = 3, dtype: torch.dtype = torch.float64) -> Layers:
    generator = torch.Generator().manual_seed(tokens)
    shape = (*batch, 4, tokens, 8), (*batch, 2, tokens, 8)
    made = [[torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype) for size in shape] for _ in range(count)]
    return [(query, key, 0.4) for query, key in made]


@pytest.mark.parametrize("kernel", ["chunked", "reference"])
@pytest.mark.parametrize("side", ["left", "right", "both", "inside"])
def test_padding_changes_nothing(kernel: Any, side: str) -> None:
    real = torch.ones(50, dtype=torch.bool)
    if side in ("left", "both"):
        real[:7] = False
    if side in ("right", "both"):
        real[-5:] = False
    if side == "inside":
        real[20:24] = False
    layers = some_layers(50)
    for query, key, _ in layers:
        query[:, ~real] = 1e4
        key[:, ~real] = 1e4
    columns = torch.zeros(50, dtype=torch.bool)
    columns[10:20] = True
    found = rollout_row(layers, columns, kernel=kernel, masking=Masking(real))
    alone = rollout_row([(query[:, real], key[:, real], scale) for query, key, scale in layers], columns[real], kernel="reference")
    assert relative(found[real], alone) <= 1e-12
    assert (found[~real] == 0).all()


@pytest.mark.parametrize("kernel", ["chunked", "reference"])
def test_a_batch_equals_its_sequences(kernel: Any) -> None:
    layers = some_layers(30, batch=(3,))
    columns = torch.rand(3, 30, generator=torch.Generator().manual_seed(0)) < 0.5
    real = torch.ones(3, 30, dtype=torch.bool)
    real[1, :4] = False
    together = rollout_row(layers, columns & real, kernel=kernel, masking=Masking(real))
    for at in range(3):
        alone = rollout_row([(q[at], k[at], s) for q, k, s in layers], (columns & real)[at], kernel=kernel, masking=Masking(real[at]))
        assert torch.equal(together[at], alone)
    shared = rollout_row(layers, torch.arange(5, 9), kernel=kernel)
    assert torch.equal(shared[2], rollout_row([(q[2], k[2], s) for q, k, s in layers], torch.arange(5, 9), kernel=kernel))
    numpy = rollout_rows([(q.numpy(), k.numpy(), s) for q, k, s in layers], np.arange(5), [4, 6], method=Method(kernel=kernel))
    assert [(type(row), row.shape) for row in numpy] == [(np.ndarray, (3, 24)), (np.ndarray, (3, 26))]


def test_a_causal_mask_is_causality() -> None:
    layers = some_layers(40)
    mask = torch.ones(40, 40, dtype=torch.bool).tril()
    causal = rollout_row(layers, torch.arange(5, 20))
    assert relative(rollout_row(layers, torch.arange(5, 20), masking=Masking(mask=mask)), causal) <= 1e-12
    mask[5:20, 5:20] = True  # an image that sees itself both ways
    assert relative(rollout_row(layers, torch.arange(5, 20), masking=Masking(mask=mask)), causal) > 1e-3


def leaves_of(layers: Layers) -> tuple[Layers, list[torch.Tensor]]:
    fresh = [(query.detach().clone().requires_grad_(), key.detach().clone().requires_grad_(), scale) for query, key, scale in layers]
    return fresh, [tensor for query, key, _ in fresh for tensor in (query, key)]


@settings(max_examples=40)
@given(case=cases(most_tokens=80), weighting=st.sampled_from(WEIGHTINGS), chunk=st.sampled_from([None, 1, 7]), data=st.data())
def test_gradients_equal_those_through_the_reference(case: Case, weighting: Any, chunk: int | None, data: st.DataObject) -> None:
    found, wanted = [], []
    shape = case.layers[0][0].shape
    direction = torch.randn(
        *shape[:-3], shape[-2], generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99))), dtype=torch.float64
    )
    for kernel, gradients in (("chunked", found), ("reference", wanted)):
        layers, leaves = leaves_of(case.layers)
        row = rollout_row(layers, case.columns, kernel=kernel, chunk=chunk, head_weighting=weighting, masking=case.masking)
        gradients += torch.autograd.grad((row * direction).sum(), leaves)
    norm = max(float(gradient.norm()) for gradient in wanted)
    for one, other in zip(found, wanted, strict=True):
        assert float((one - other).norm()) <= 1e-10 * norm + 1e-15


def test_gradients_of_several_prompts() -> None:
    results = []
    for kernel in ("chunked", "reference"):
        layers, leaves = leaves_of(some_layers(40))
        rows = rollout_rows(layers, torch.arange(3, 20), [5, 9], method=Method(kernel=kernel))
        loss = sum(((row * torch.arange(len(row))).square().sum() for row in rows), torch.zeros((), dtype=torch.float64))
        results.append(torch.autograd.grad(loss, leaves))
    for found, wanted in zip(*results, strict=True):
        assert relative(found, wanted) <= 1e-10


def test_gradients_of_tied_peaks_are_shared() -> None:
    layers, leaves = leaves_of([(torch.randn(2, 6, 4, dtype=torch.float64), torch.ones(1, 6, 4, dtype=torch.float64), 0.5)])
    for columns in (torch.arange(4), torch.tensor([0, 2])):
        found = torch.autograd.grad(rollout_row(layers, columns)[1], leaves)
        wanted = torch.autograd.grad(rollout_row(layers, columns, kernel="reference")[1], leaves)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other)


def test_half_precision_gets_gradients_of_its_own_type() -> None:
    layers, leaves = leaves_of(some_layers(20, dtype=torch.bfloat16))
    row = rollout_row(layers, torch.arange(10))
    assert row.dtype == torch.float32
    row[:10].square().sum().backward()
    assert all(leaf.grad is not None and leaf.grad.dtype == torch.bfloat16 and leaf.grad.abs().sum() > 0 for leaf in leaves)


def test_inference_mode_of_the_caller_is_the_callers() -> None:
    layers = some_layers(20)
    assert not rollout_row(layers, torch.arange(10)).requires_grad
    with torch.inference_mode():
        assert rollout_row(layers, torch.arange(10)).is_inference()


class LargestTensor(TorchDispatchMode):
    """Most elements of any tensor that an operation returned."""

    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel())
        return result


@pytest.mark.parametrize("columns", [torch.arange(100, 400), torch.arange(0, 600, 3)])
def test_no_square_tensor_is_ever_made(columns: torch.Tensor) -> None:
    layers, leaves = leaves_of(some_layers(600, dtype=torch.float32))
    with LargestTensor() as seen:
        rollout_row(layers, columns)[:100].sum().backward()
    assert 0 < seen.largest <= 600 * 600 // 2
    with LargestTensor() as seen:
        rollout_row(layers, columns, kernel="reference")
    assert seen.largest >= 4 * 600 * 600  # the recorder would notice
    assert all(leaf.grad is not None for leaf in leaves)


def test_fused_on_a_cpu_runs_in_chunks_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    layers = some_layers(20, dtype=torch.float32)
    with caplog.at_level(logging.WARNING):
        rows = [rollout_row(layers, torch.arange(10), kernel=kernel) for kernel in ("fused", "fused", "auto")]
    assert torch.equal(rows[0], rows[2])
    wanted = (
        "rollout runs in chunks where the fused kernel was wanted: it needs a CUDA device, the layers are on cpu. The result is the same."
    )
    assert [record.getMessage() for record in caplog.records] == [wanted]


def changed(index: int, **parts: Any) -> Layers:
    """Three good layers, one of them with another query, key or scale."""
    layers: list[Any] = some_layers(12)
    query, key, scale = layers[index]
    layers[index] = (parts.get("query", query), parts.get("key", key), scale)
    return layers


def spoilt(tensor: torch.Tensor, value: float) -> torch.Tensor:
    copy = tensor.clone()
    copy.view(-1)[5] = value
    return copy


@pytest.mark.parametrize("kernel", ["auto", "chunked", "fused", "reference"])
@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (changed(1, key=spoilt(some_layers(12)[1][1], float("nan"))), r"layer 1 has a key with values that are not finite \(found nan"),
        (changed(0, query=spoilt(some_layers(12)[0][0], float("inf"))), "layer 0 has a query with values that are not finite .* to inf"),
        (changed(2, key=spoilt(some_layers(12)[2][1], -float("inf"))), 'layer 2 has a key .* -inf to .* try dtype "bfloat16" or "float32"'),
    ],
)
def test_values_that_are_not_finite(layers: Layers, message: str, kernel: Any) -> None:
    with pytest.raises(BackendError, match=message):
        rollout_row(layers, torch.arange(4), kernel=kernel)


FOUR = torch.zeros(4, 12, 8, dtype=torch.float64)
TWO = torch.zeros(2, 12, 8, dtype=torch.float64)


@pytest.mark.parametrize(
    ("layers", "columns", "masking", "message"),
    [
        (
            changed(1, query=FOUR.float(), key=TWO.float()),
            [0],
            None,
            r"layer 1 .* of torch.float32; wanted torch.float64, as the layer after",
        ),
        (
            changed(1, query=FOUR.half()),
            [0],
            None,
            "layer 1 has a query of torch.float16 and a key of torch.float64; wanted one floating type",
        ),
        (changed(1, query=FOUR.long(), key=TWO.long()), [0], None, "wanted one floating type"),
        (changed(1, query=FOUR[..., :4]), [0], None, r"layer 1 has query \(4, 12, 4\) and key \(2, 12, 8\); wanted \(H, N, d\)"),
        (changed(1, query=FOUR[:, :9], key=TWO[:, :9]), [0], None, "layer 1 .* wanted 12 tokens, as the layer after it has"),
        (changed(1, query=FOUR[None].expand(2, -1, -1, -1), key=TWO[None].expand(2, -1, -1, -1)), [0], None, "2 sequences; wanted 1"),
        (changed(1, query=FOUR.to("meta")), [0], None, "layer 1 has its query on meta and its key on cpu; wanted them together"),
        (some_layers(12), torch.zeros(12, dtype=torch.bool), None, "there are no visual columns"),
        (some_layers(12), torch.zeros(11, dtype=torch.bool), None, r"shape \(11,\) and dtype bool; wanted \(12,\) or \(1, 12\)"),
        (some_layers(12), [3], Masking(torch.ones(11, dtype=torch.bool)), r"tokens has shape \(11,\) .* wanted \(12,\) or \(1, 12\), bool"),
        (some_layers(12), [3], Masking(torch.ones(12)), "tokens has shape .* and dtype torch.float32"),
        (some_layers(12), [3], Masking(torch.zeros(12, dtype=torch.bool)), "a prompt of padding alone"),
        (some_layers(12), [3], Masking(torch.arange(12) > 5), "some visual columns are padding"),
        (
            some_layers(12),
            [3],
            Masking(mask=torch.ones(12, dtype=torch.bool)),
            r"mask has shape \(12,\) .* wanted \(12, 12\) or \(1, 12, 12\)",
        ),
    ],
)
def test_errors(layers: Layers, columns: Any, masking: Masking | None, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        rollout_row(layers, columns, masking=masking)


@pytest.mark.parametrize(
    ("columns", "branches", "message"),
    [
        ([3], [], "no branches"),
        ([3], [0, 2], "branches have 0, 2 tokens; wanted 1 or more each"),
        ([3], [6, 6], "branches have 6, 6 tokens; .* fewer together than the 12 tokens"),
        ([3, 8], [2, 3], "visual columns reach to 8; wanted them within the first 7 tokens, which all prompts share"),
    ],
)
def test_branch_errors(columns: Any, branches: list[int], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        rollout_rows(some_layers(12), columns, branches)
