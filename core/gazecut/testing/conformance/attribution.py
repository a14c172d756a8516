"""Rules for attributions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, overload

import numpy as np
import pytest

from gazecut.arrays import Array, to_numpy
from gazecut.optional import PromptAttribution
from gazecut.protocols import Attribution
from gazecut.testing.compare import fingerprint
from gazecut.testing.conformance.base import Conformance
from gazecut.values import PromptTokens, Trace, TraceLayer, TraceSpec

TOKENS, WIDTH = 20, 8
VISUAL = np.array([3, 4, 5, 6, 9, 10, 11])


class AttributionConformance(Conformance[Attribution]):
    """What an attribution keeps to: one score per visual token, from layers that it reads once."""

    kind = "attribution"

    def test_spec_says_which_attention(self) -> None:
        """`spec` names layers that can be: from 0 up, the last not before the first."""
        spec = self.built().spec
        last = spec.first_layer if spec.last_layer is None else spec.last_layer
        self.require(isinstance(spec, TraceSpec) and 0 <= spec.first_layer <= last, spec, "0 <= first_layer <= last_layer")

    @pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2), (6, 1)])
    def test_every_visual_token_gets_one_score(self, heads: int, groups: int) -> None:
        """Every visual token gets one score, also where query heads share key heads."""
        scores = self._scores(_trace(self._count(), heads, groups))
        self.require(tuple(scores.shape) == (len(VISUAL),), f"scores of shape {tuple(scores.shape)}", f"({len(VISUAL)},)")

    def test_scores_are_finite(self) -> None:
        """Scores are finite, for sharp attention too."""
        for sharpness in (1.0, 300.0):
            scores = to_numpy(self._scores(_trace(self._count(), sharpness=sharpness)))
            self.require(bool(np.isfinite(scores).all()), f"{scores} at {sharpness:g} times the usual logits", "finite numbers")

    def test_scores_are_not_negative(self) -> None:
        """No score is below 0."""
        for seed in range(5):
            lowest = float(to_numpy(self._scores(_trace(self._count(), seed=seed))).min())
            self.require(lowest >= 0, f"a score of {lowest:g}", "0 or more")

    def test_one_visual_token_is_scored(self) -> None:
        """A single visual token is scored like several."""
        scores = self._scores(_trace(self._count(), columns=VISUAL[:1]))
        self.require(tuple(scores.shape) == (1,), f"scores of shape {tuple(scores.shape)}", "(1,)")

    def test_order_of_columns_is_kept(self) -> None:
        """Scores come in the order of `visual_columns`: columns in another order give the same scores in that order."""
        order = np.array([4, 0, 6, 2, 1, 5, 3])
        scores = to_numpy(self._scores(_trace(self._count())))
        moved = to_numpy(self._scores(_trace(self._count(), columns=VISUAL[order])))
        apart = float(np.abs(scores[order] - moved).max())
        self.require(apart < 1e-6, f"scores {apart:g} apart", "the same scores to 1e-6, in that order")

    def test_traces_together_are_scored_as_alone(self) -> None:
        """Several traces get the scores that each gets alone, in their order; no trace gets none."""
        attribution, seeds = self.built(), (3, 1, 2)
        together = attribution.scores_many([_trace(self._count(), seed=seed) for seed in seeds])
        self.require(len(together) == len(seeds), f"{len(together)} rows of scores for {len(seeds)} traces", f"{len(seeds)}")
        for seed, scores in zip(seeds, together, strict=True):
            alone = to_numpy(self._scores(_trace(self._count(), seed=seed)))
            distance = float(np.abs(to_numpy(scores) - alone).max())
            self.require(distance < 1e-6, f"scores {distance:g} apart", "those of `scores` to 1e-6")
        self.require(not len(attribution.scores_many([])), "scores for no traces", "none")

    def test_layers_are_read_once(self) -> None:
        """Each layer is read at most once: it may be put together when it is read."""
        trace = _trace(self._count())
        layers = _LazyLayers(trace.layers)
        self._scores(Trace(layers, trace.visual_columns))
        often = {index: count for index, count in enumerate(layers.reads) if count > 1}
        self.require(not often, f"layers read: {often}", "each index once")

    def test_layers_put_together_when_read_are_the_same(self) -> None:
        """Layers that are put together when they are read give the same scores as a list, and again when read again."""
        trace = _trace(self._count())
        first = self._scores(trace)
        for when in ("from layers put together when read", "from the same trace read again"):
            self.same(first, self._scores(Trace(_LazyLayers(trace.layers), trace.visual_columns)), "scores", when)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_numpy_stays_numpy(self, dtype: str) -> None:
        """NumPy layers give a NumPy array of their dtype."""
        scores = self._scores(_trace(self._count(), change=lambda values: values.astype(dtype)))
        found = f"{type(scores).__name__} {scores.dtype} from ndarray {dtype}"
        self.require(isinstance(scores, np.ndarray) and str(scores.dtype) == dtype, found, f"ndarray {dtype}")

    def test_torch_stays_torch(self) -> None:
        """Tensors give a tensor on their device; half precision gives float32."""
        torch = pytest.importorskip("torch")
        for dtype, wanted in ((torch.float32, torch.float32), (torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
            scores = self._scores(_trace(self._count(), change=partial(torch.asarray, dtype=dtype)))
            kept = isinstance(scores, torch.Tensor) and scores.dtype == wanted and scores.device.type == "cpu"
            self.require(kept, f"{type(scores).__name__} {scores.dtype} from tensors {dtype} on cpu", f"Tensor {wanted} on cpu")

    def test_prompt_tokens_are_weighed_beside_the_same_scores(self) -> None:
        """An attribution that weighs the question's tokens gives each a finite weight, 0 or more, and the scores that it gives without."""
        attribution = self.built()
        if not isinstance(attribution, PromptAttribution):
            pytest.skip("it does not weigh the question's tokens")
        told = replace(_trace(self._count()), prompt=PromptTokens(np.arange(12, 18), tuple("a prom")))
        (scores, weights), (same, none) = attribution.scores_with_prompt([told, _trace(self._count())])
        self.require(none is None, f"weights {none} for a trace without a prompt", "None")
        for scored in (scores, same):
            self.same(attribution.scores_many([_trace(self._count())])[0], scored, "scores", "with weights")
        found = np.zeros(0) if weights is None else to_numpy(weights)
        fits = found.shape == (6,) and bool(np.isfinite(found).all()) and bool((found >= 0).all())
        self.require(fits, f"weights {found} of 6 tokens", "6 finite numbers, 0 or more")

    def test_input_is_unchanged(self) -> None:
        """The trace stays as it is."""
        trace = _trace(self._count())
        before = fingerprint(trace, "trace")
        self._scores(trace)
        self.unchanged(before, trace, "trace")

    def test_same_input_gives_same_output(self) -> None:
        """The same trace gives the same scores, whatever was scored in between."""
        first = self._scores(_trace(self._count()))
        self._scores(_trace(self._count(), seed=5))
        self.same(first, self._scores(_trace(self._count())), "scores", "the second time")

    def _scores(self, trace: Trace) -> Array:
        return self.built().scores(trace)

    def _count(self) -> int:
        """Layers that its spec asks for; of one without an end, three."""
        spec = self.built().spec
        return 3 if spec.last_layer is None else spec.last_layer - spec.first_layer + 1


class _LazyLayers(Sequence[TraceLayer]):
    """Builds a layer whenever it is read, and counts."""

    def __init__(self, layers: Sequence[TraceLayer]) -> None:
        self.reads = [0] * len(layers)
        self._layers = layers

    def __len__(self) -> int:
        return len(self._layers)

    @overload
    def __getitem__(self, index: int) -> TraceLayer: ...
    @overload
    def __getitem__(self, index: slice) -> list[TraceLayer]: ...
    def __getitem__(self, index: int | slice) -> TraceLayer | list[TraceLayer]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        query, key, scale = self._layers[index]
        self.reads[index] += 1
        return TraceLayer(query.copy(), key.copy(), scale)

    def __iter__(self) -> Iterator[TraceLayer]:
        return (self[index] for index in range(len(self)))


def _trace(
    layers: int,
    heads: int = 4,
    groups: int = 2,
    *,
    seed: int = 0,
    sharpness: float = 1.0,
    columns: np.ndarray = VISUAL,
    change: Callable[[np.ndarray], Any] = np.asarray,
) -> Trace:
    """A trace of random queries and keys, float32."""
    draw = np.random.default_rng(seed)
    shapes = [(heads, TOKENS, WIDTH), (groups, TOKENS, WIDTH)]
    made = [[change(draw.standard_normal(shape).astype(np.float32)) for shape in shapes] for _ in range(layers)]
    return Trace([TraceLayer(query, key, sharpness * WIDTH**-0.5) for query, key in made], columns)
