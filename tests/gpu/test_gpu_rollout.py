"""The fused kernel against whole matrices: on a CUDA device, or on a CPU under Triton's interpreter (TRITON_INTERPRET=1)."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gazecut_mllm.rollout import Masking, Method, rollout_row, rollout_rows

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-5 if INTERPRETED else 1e-3, torch.float16: 1e-5 if INTERPRETED else 1e-3}
WEIGHTINGS = ("vision-max", "max", "mean")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not (INTERPRETED or torch.cuda.is_available()), reason="no CUDA device, and TRITON_INTERPRET is not 1"),
]

if INTERPRETED:
    pytest.importorskip("triton")


def layers_of(shape: tuple[int, int, int, int], dtype: torch.dtype, count: int = 2) -> list[tuple[torch.Tensor, torch.Tensor, float]]:
    heads, groups, tokens, width = shape
    generator = torch.Generator().manual_seed(heads + 10 * tokens + width)
    query = torch.randn(count, heads, tokens, width, generator=generator) * 2
    key = torch.randn(count, groups, tokens, width, generator=generator)
    return [(q.to(DEVICE, dtype), k.to(DEVICE, dtype), width**-0.5) for q, k in zip(query, key, strict=True)]


def doubled(layers: list[tuple[torch.Tensor, torch.Tensor, float]]) -> list[tuple[torch.Tensor, torch.Tensor, float]]:
    return [(q.double(), k.double(), s) for q, k, s in layers]


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found.double() - wanted).norm() / wanted.norm())


def check(layers: list[tuple[torch.Tensor, torch.Tensor, float]], columns: torch.Tensor, masking: Masking | None, weighting: Any) -> None:
    found = rollout_row(layers, columns, kernel="fused", head_weighting=weighting, masking=masking)
    wanted = rollout_row(doubled(layers), columns, kernel="reference", head_weighting=weighting, masking=masking)
    assert found.dtype == torch.float32
    assert relative(found, wanted) <= TOLERANCE[layers[0][0].dtype]


@pytest.mark.parametrize("width", [8, 64, 80, 96, 128, 256])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_head_dims_and_dtypes(width: int, dtype: torch.dtype, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check(layers_of((2, 1, 70, width), dtype, count=1), torch.arange(9, 40), None, "vision-max")
    assert not caplog.records  # it was the fused kernel


@settings(max_examples=10 if INTERPRETED else 60, suppress_health_check=list(HealthCheck))
@given(
    tokens=st.integers(1, 70 if INTERPRETED else 600),
    heads=st.sampled_from([(1, 1), (4, 2), (3, 1), (7, 7)]),
    width=st.sampled_from([16, 64, 80, 128]),
    dtype=st.sampled_from(list(TOLERANCE)),
    weighting=st.sampled_from(WEIGHTINGS),
    masked=st.sampled_from(["not", "padding", "mask", "both"]),
    data=st.data(),
)
def test_equals_the_reference(
    tokens: int, heads: tuple[int, int], width: int, dtype: torch.dtype, weighting: Any, masked: str, data: st.DataObject
) -> None:
    seed = data.draw(st.integers(0, 2**16))
    generator = torch.Generator().manual_seed(seed)
    real = torch.rand(tokens, generator=generator) < 0.8
    real[seed % tokens] = True
    columns = (torch.rand(tokens, generator=generator) < 0.4) & real
    columns[seed % tokens] = True
    mask = (torch.rand(tokens, tokens, generator=generator) < 0.5) | torch.eye(tokens, dtype=torch.bool)
    masking = Masking(real if masked in ("padding", "both") else None, mask if masked in ("mask", "both") else None)
    check(layers_of((*heads, tokens, width), dtype), columns, masking, weighting)


@pytest.mark.parametrize("prompts", [1, 3, 17])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_branches_equal_prompts_on_their_own(prompts: int, weighting: Any) -> None:
    branches = [1 + 5 * at % 7 for at in range(prompts)]
    layers = layers_of((2, 1, 45 + sum(branches), 32), torch.float32)
    columns = torch.cat([torch.arange(3, 9), torch.arange(20, 44)])
    found = rollout_rows(layers, columns, branches, method=Method(weighting, "fused"))
    wanted = rollout_rows(doubled(layers), columns, branches, method=Method(weighting, "reference"))
    assert max(relative(*pair) for pair in zip(found, wanted, strict=True)) <= 1e-5


def test_rows_that_see_nothing_give_nothing() -> None:
    layers = layers_of((2, 1, 40, 16), torch.float32)
    mask = torch.ones(40, 40, dtype=torch.bool).tril()
    mask[5:12] = False
    check(layers, torch.arange(3, 20), Masking(mask=mask), "vision-max")


def test_repeats_to_the_bit() -> None:
    layers = layers_of((2, 1, 90, 64), torch.bfloat16)
    first, second = (rollout_row(layers, torch.arange(80), kernel="fused") for _ in range(2))
    assert torch.equal(first, second)


def test_strided_queries_and_keys() -> None:
    # As attention modules leave them: (N, H, d) in memory.
    layers = [
        (q.mT.contiguous().mT, k.transpose(0, 1).contiguous().transpose(0, 1), s) for q, k, s in layers_of((4, 2, 50, 16), torch.float32)
    ]
    check(layers, torch.arange(8, 30), None, "vision-max")


def test_gradients_go_through_it() -> None:
    layers = layers_of((4, 2, 40, 16), torch.float32)
    gradients = []
    for kernel in ("fused", "reference"):
        leaves = [(q.clone().requires_grad_(), k.clone().requires_grad_(), s) for q, k, s in layers]
        rollout_row(leaves, torch.arange(5, 25), kernel=kernel)[5:25].square().sum().backward()
        gradients.append([tensor.grad for q, k, _ in leaves for tensor in (q, k)])
    for found, wanted in zip(*gradients, strict=True):
        assert relative(found, wanted.double()) <= 1e-4


def test_what_it_lacks_runs_in_chunks_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    columns = torch.arange(4)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            wide = layers_of((2, 1, 20, 264), torch.float32)
            assert torch.equal(rollout_row(wide, columns, kernel="fused"), rollout_row(wide, columns, kernel="chunked"))
            double = layers_of((2, 1, 20, 16), torch.float64)
            assert rollout_row(double, columns, kernel="fused").dtype == torch.float64
    assert [record.getMessage().split(": ")[1] for record in caplog.records] == [
        "it takes heads of up to 256 elements, these have 264. The result is the same.",
        "it has no torch.float64. The result is the same.",
    ]


@pytest.mark.skipif(INTERPRETED, reason="needs a CUDA device")
class TestOnTheCard:
    def test_auto_is_fused_for_half_precision(self) -> None:
        layers = layers_of((4, 2, 300, 64), torch.bfloat16)
        automatic, fused, chunked = (rollout_row(layers, torch.arange(200), kernel=kernel) for kernel in ("auto", "fused", "chunked"))
        assert torch.equal(automatic, fused)
        assert not torch.equal(automatic, chunked)

    def test_layers_on_different_devices(self) -> None:
        layers = layers_of((4, 2, 90, 32), torch.float32, count=3)
        wanted = rollout_row(doubled(layers), torch.arange(60), kernel="reference")
        spread = [layers[0], tuple(part.cpu() if isinstance(part, torch.Tensor) else part for part in layers[1]), layers[2]]
        for kernel in ("auto", "fused", "chunked", "reference"):
            found = rollout_row(spread, torch.arange(60), kernel=kernel)
            assert found.is_cuda
            assert relative(found, wanted) <= 1e-5

    def test_memory_beside_the_inputs_is_linear(self) -> None:
        extra = []
        for tokens in (8192, 16384):
            layers = layers_of((8, 2, tokens, 64), torch.bfloat16)
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            rollout_row(layers, torch.arange(10, tokens - 60))
            extra.append(torch.cuda.max_memory_allocated() - before)
        assert extra[1] <= 2.2 * extra[0]
        assert extra[1] <= 16 << 20
