"""The component `rollout`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from gazecut.arrays import Array
from gazecut.values import Trace, TraceSpec
from gazecut_mllm.config import RolloutConfig
from gazecut_mllm.memory import memory_explained
from gazecut_mllm.rollout.driver import Method, rollout_row, rollout_rows
from gazecut_mllm.rollout.trunk import Together, grouped

REMEDY = "Set attribution.chunk to fewer query rows at a time, or lower mllm.cache_gib, which leaves more for the work itself."
FOR_WHOLE_MATRICES = 'Set attribution.kernel to "auto": whole matrices of attention are for comparison, on few tokens.'


class RolloutAttribution:
    """One score per visual token: its share of the answering row, rolled out through the asked layers."""

    spec: TraceSpec

    def __init__(self, config: RolloutConfig) -> None:
        """Take the options; nothing is computed."""
        self.spec = TraceSpec(config.first_layer, config.last_layer, config.row)
        self._method = Method(config.head_weighting, config.kernel, config.chunk)

    def scores(self, trace: Trace) -> Array:
        """Scores (V,) >= 0 of the visual tokens, in the order of `trace.visual_columns`; float64 stays, else float32.

        Raises:
            ShapeError: The trace has no layers, or layers that do not fit each other.
            BackendError: Queries or keys of a layer are not finite, or memory runs out.
        """
        return _at(self._rows([trace])[0], trace.visual_columns)

    def scores_many(self, traces: Sequence[Trace]) -> list[Array]:
        """What `scores` gives for each trace; attention of tokens that traces share is worked out once for all of them.

        Raises:
            ShapeError: As for `scores`.
            BackendError: As for `scores`.
        """
        return [scores for scores, _ in self.scores_with_prompt(traces)]

    def scores_with_prompt(self, traces: Sequence[Trace]) -> list[tuple[Array, Array | None]]:
        """What `scores_many` gives, each with the share (P,) of each of the question's tokens; None where a trace has none.

        Raises:
            ShapeError: As for `scores`.
            BackendError: As for `scores`.
        """
        found: dict[int, tuple[Array, Array | None]] = {}
        for group in grouped(traces):
            for index, row in zip(group, self._rows([traces[index] for index in group]), strict=True):
                trace = traces[index]
                found[index] = _at(row, trace.visual_columns), None if trace.prompt is None else _at(row, trace.prompt.columns)
        return [found[index] for index in range(len(traces))]

    def _rows(self, group: Sequence[Trace]) -> list[Array]:
        """The whole row (N,) of each trace; all on one trunk."""
        first, method = group[0], self._method
        with memory_explained(FOR_WHOLE_MATRICES if method.kernel == "reference" else REMEDY, "rollout"):
            if len(group) == 1:
                row = rollout_row(
                    first.layers, first.visual_columns, head_weighting=method.head_weighting, kernel=method.kernel, chunk=method.chunk
                )
                return [row]
            layers = Together(group)
            return rollout_rows(layers, first.visual_columns, layers.branches, method=method)


def _at(row: Array, columns: Array) -> Array:
    return row[np.asarray(columns) if isinstance(row, np.ndarray) else torch.as_tensor(columns).to(row.device)]
