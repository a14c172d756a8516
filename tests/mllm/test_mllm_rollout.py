"""Rollout against the textbook product of whole attention matrices."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gazecut.errors import ShapeError
from gazecut.values import Trace, TraceLayer, TraceSpec
from gazecut_mllm.config import RolloutConfig
from gazecut_mllm.rollout import RolloutAttribution, rollout_row

WEIGHTINGS = ("vision-max", "max", "mean")


def layers_of(count: int, heads: int, groups: int, tokens: int, dtype: torch.dtype = torch.float64, sharp: float = 3.0) -> list[TraceLayer]:
    generator = torch.Generator().manual_seed(count * 1000 + heads * 100 + tokens)
    made = []
    for _ in range(count):
        query = torch.randn(heads, tokens, 8, generator=generator, dtype=torch.float64) * sharp
        key = torch.randn(groups, tokens, 8, generator=generator, dtype=torch.float64)
        made.append(TraceLayer(query.to(dtype), key.to(dtype), 8**-0.5))
    return made


def attention_of(layer: TraceLayer) -> torch.Tensor:
    """(H, N, N), the plain way: keys repeated, whole causal triangle."""
    query, key, scale = layer
    scores = query @ key.repeat_interleave(query.shape[0] // key.shape[0], 0).mT * scale
    return scores.masked_fill(torch.ones_like(scores[0]).triu(1).bool(), -torch.inf).softmax(-1)


def textbook(layers: list[TraceLayer], columns: list[int], weighting: str) -> torch.Tensor:
    """The last row of the product of whole matrices, from the first layer to the last."""
    product: torch.Tensor | None = None
    for layer in layers:
        attention = attention_of(layer)
        heads, tokens, _ = attention.shape
        weights = torch.ones(heads, dtype=attention.dtype)
        if weighting != "mean":
            seen = attention[:, :, columns] if weighting == "vision-max" else attention
            weights = seen.amax(-1).mean(-1)
            weights = weights / weights.max()
        mixed = 0.5 * (weights[:, None, None] * attention).sum(0) / heads + 0.5 * torch.eye(tokens, dtype=attention.dtype)
        product = mixed if product is None else mixed @ product
    assert product is not None
    return product[-1]


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("columns", [list(range(4, 20)), [3, 4, 9, 17, 30], [40], [22, 5, 5]])
def test_equals_the_textbook_product(weighting: Any, columns: list[int]) -> None:
    layers = layers_of(5, heads=6, groups=2, tokens=41)
    found = rollout_row(layers, torch.tensor(columns), head_weighting=weighting)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, textbook(layers, columns, weighting), rtol=1e-11, atol=1e-15)


@settings(max_examples=40)
@given(
    tokens=st.integers(1, 24),
    shape=st.sampled_from([(1, 1), (4, 2), (4, 1), (6, 3)]),
    count=st.integers(1, 4),
    chunk=st.integers(1, 30),
    weighting=st.sampled_from(WEIGHTINGS),
    data=st.data(),
)
def test_row_is_a_share(tokens: int, shape: tuple[int, int], count: int, chunk: int, weighting: Any, data: st.DataObject) -> None:
    columns = data.draw(st.lists(st.integers(0, tokens - 1), min_size=1, unique=True))
    layers = layers_of(count, *shape, tokens, dtype=torch.float32)
    row = rollout_row(layers, torch.tensor(columns), head_weighting=weighting, chunk=chunk)
    assert row.shape == (tokens,)
    assert row.dtype == torch.float32
    assert (row >= 0).all()
    assert row.sum() <= 1 + 1e-5
    torch.testing.assert_close(row, rollout_row(layers, torch.tensor(columns), head_weighting=weighting), rtol=1e-5, atol=1e-8)


def test_no_weight_on_later_tokens() -> None:
    layers = layers_of(3, heads=4, groups=2, tokens=30)
    for last in (1, 7, 29):
        short = [TraceLayer(q[:, : last + 1], k[:, : last + 1], s) for q, k, s in layers]
        row = rollout_row(short, torch.tensor([0]), head_weighting="mean")
        changed = [TraceLayer(q, torch.cat([k[:, : last + 1], torch.full_like(k[:, last + 1 :], 50.0)], 1), s) for q, k, s in layers]
        whole = [attention_of(layer)[:, last].mean(0) for layer in changed]
        assert all((attention[last + 1 :] == 0).all() for attention in whole)
        torch.testing.assert_close(row, textbook(short, [0], "mean"))


@pytest.mark.parametrize("chunk", [1, 3, 64, 1000])
def test_chunks_do_not_change_the_result(chunk: int) -> None:
    layers = layers_of(3, heads=4, groups=2, tokens=97)
    columns = torch.arange(10, 50)
    torch.testing.assert_close(rollout_row(layers, columns, chunk=chunk), rollout_row(layers, columns), rtol=1e-12, atol=0)


def test_kinds_and_dtypes() -> None:
    double = layers_of(2, heads=4, groups=2, tokens=20)
    wanted = rollout_row(double, torch.arange(5, 9))
    for numpy_dtype in (np.float64, np.float32):
        layers = [(q.numpy().astype(numpy_dtype), k.numpy().astype(numpy_dtype), s) for q, k, s in double]
        found = rollout_row(layers, np.arange(5, 9))
        assert isinstance(found, np.ndarray)
        assert found.dtype == numpy_dtype
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4)
    half = [TraceLayer(q.bfloat16(), k.bfloat16(), s) for q, k, s in double]
    found = rollout_row(half, [5, 6, 7, 8])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, rollout_row([TraceLayer(q.double(), k.double(), s) for q, k, s in half], [5, 6, 7, 8]).float())


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_gradients_flow(weighting: Any) -> None:
    layers = [TraceLayer(q.requires_grad_(), k.requires_grad_(), s) for q, k, s in layers_of(2, heads=2, groups=1, tokens=9, sharp=1.0)]
    tensors = [tensor for layer in layers for tensor in layer[:2]]

    def score(*given: torch.Tensor) -> torch.Tensor:
        rebuilt = [TraceLayer(given[2 * at], given[2 * at + 1], layers[at].scale) for at in range(2)]
        return rollout_row(rebuilt, torch.arange(2, 6), head_weighting=weighting, chunk=4)[2:6]

    assert torch.autograd.gradcheck(score, tensors)


class OnDemand(Sequence[TraceLayer]):
    """Layers that are made when read; notes which were read, and how many read before were still alive then."""

    def __init__(self, made: list[TraceLayer]) -> None:
        self.made = made
        self.read: list[int] = []
        self.alive: list[int] = []
        self._given: list[weakref.ref[torch.Tensor]] = []

    def __len__(self) -> int:
        return len(self.made)

    def __getitem__(self, index: Any) -> Any:
        self.read.append(index)
        self.alive.append(sum(reference() is not None for reference in self._given))
        query, key = self.made[index].query.clone(), self.made[index].key.clone()
        self._given += [weakref.ref(query), weakref.ref(key)]
        return TraceLayer(query, key, self.made[index].scale)


def test_layers_are_read_once_from_the_last_and_not_kept() -> None:
    layers = OnDemand(layers_of(4, heads=2, groups=1, tokens=12))
    rollout_row(layers, torch.arange(4))
    assert layers.read == [3, 2, 1, 0]
    assert layers.alive == [0, 0, 0, 0]


def test_attribution_scores_the_visual_columns_in_their_order() -> None:
    layers = OnDemand(layers_of(3, heads=4, groups=2, tokens=20))
    trace = Trace(layers, torch.tensor([9, 3, 4]))
    attribution = RolloutAttribution(RolloutConfig(first_layer=1, last_layer=3, row="first-answer"))
    assert attribution.spec == TraceSpec(1, 3, "first-answer")
    row = textbook(layers.made, [9, 3, 4], "vision-max")
    torch.testing.assert_close(attribution.scores(trace), row[[9, 3, 4]])
    assert layers.read == [2, 1, 0]
    other = Trace(layers, torch.tensor([0]))
    torch.testing.assert_close(attribution.scores(other), textbook(layers.made, [0], "vision-max")[[0]])


def test_layers_in_the_wrong_order_are_refused_where_they_are_written() -> None:
    with pytest.raises(ValidationError, match="2 is before first_layer, 3; wanted 3 or more") as refused:
        RolloutConfig(first_layer=3, last_layer=2)
    assert refused.value.errors()[0]["loc"] == ("last_layer",)
    assert RolloutConfig(first_layer=3, last_layer=3).last_layer == 3


def test_numpy_trace_gives_numpy_scores() -> None:
    layers = tuple(TraceLayer(q.numpy(), k.numpy(), s) for q, k, s in layers_of(1, 2, 1, 6))
    scores = RolloutAttribution(RolloutConfig()).scores(Trace(layers, np.array([1, 2])))
    assert isinstance(scores, np.ndarray)
    assert scores.shape == (2,)


def broken(query: tuple[int, ...], key: tuple[int, ...]) -> TraceLayer:
    return TraceLayer(torch.zeros(query), torch.zeros(key), 1.0)


@pytest.mark.parametrize(
    ("layers", "columns", "options", "message"),
    [
        ([], [0], {}, "rollout has no layers"),
        ([broken((4, 5, 8), (2, 5, 8))], [0], {"head_weighting": "vmax"}, 'head_weighting is "vmax"; wanted one of: vision-max, max, mean'),
        ([broken((4, 5, 8), (2, 5, 8))], [0], {"kernel": "triton"}, 'kernel is "triton"; wanted one of: auto, chunked, fused, reference'),
        ([broken((4, 5, 8), (2, 5, 8))], [0], {"chunk": 0}, "chunk is 0; wanted 1 or more"),
        ([broken((4, 5, 8), (3, 5, 8))], [0], {}, "a multiple of the key heads"),
        ([broken((4, 5, 8), (2, 6, 8))], [0], {}, r"layer 0 has query \(4, 5, 8\) and key \(2, 6, 8\); wanted \(H, N, d\)"),
        ([broken((4, 6, 8), (2, 6, 8)), broken((4, 5, 8), (2, 5, 8))], [0], {}, "layer 0 .* wanted 5 tokens, as the layer after it has"),
        ([broken((4, 5, 8), (2, 5, 8))], [3, 5], {}, "visual columns span 3 to 5; wanted 0 to 4, positions of 5 tokens"),
        ([broken((4, 5, 8), (2, 5, 8))], [-1], {"head_weighting": "mean"}, "visual columns span -1 to -1"),
        ([broken((4, 5, 8), (2, 5, 8))], [[0]], {}, r"visual columns have shape \(1, 1\)"),
        ([broken((4, 5, 8), (2, 5, 8))], [0.5], {}, r"dtype torch.float32; wanted \(V,\) integers"),
        ([broken((4, 5, 8), (2, 5, 8))], np.zeros(0, np.int64), {}, "there are no visual columns"),
    ],
)
def test_errors(layers: list[TraceLayer], columns: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        rollout_row(layers, columns, **options)
