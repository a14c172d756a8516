"""The component `rollout`."""

from __future__ import annotations

import numpy as np
import torch

from gazecut.arrays import Array
from gazecut.values import Trace, TraceSpec
from gazecut_mllm.config import RolloutConfig
from gazecut_mllm.rollout.driver import rollout_row


class RolloutAttribution:
    """One score per visual token: its share of the answering row, rolled out through the asked layers."""

    spec: TraceSpec

    def __init__(self, config: RolloutConfig) -> None:
        """Take the options; nothing is computed."""
        self.spec = TraceSpec(config.first_layer, config.last_layer, config.row)
        self._config = config

    def scores(self, trace: Trace) -> Array:
        """Scores (V,) >= 0 of the visual tokens, in the order of `trace.visual_columns`; float64 stays, else float32.

        Raises:
            ShapeError: The trace has no layers, or layers that do not fit each other.
            BackendError: Queries or keys of a layer are not finite.
        """
        row = rollout_row(
            trace.layers,
            trace.visual_columns,
            head_weighting=self._config.head_weighting,
            kernel=self._config.kernel,
            chunk=self._config.chunk,
        )
        return _at(row, trace.visual_columns)


def _at(row: Array, columns: Array) -> Array:
    return row[np.asarray(columns) if isinstance(row, np.ndarray) else torch.as_tensor(columns).to(row.device)]
