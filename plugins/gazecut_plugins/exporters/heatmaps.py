"""Heat maps as numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from gazecut.result import Result
from gazecut_plugins.exporters.config import HeatmapsOptions


class HeatmapsExporter:
    """Writes `evidence/heatmaps.safetensors`: `fused`, and `video` and `frame` where those views were asked.

    Each is (T, h, w) float32 in [0, 1], one map per sampled frame; the metadata `frame_indices` is a JSON list of the T
    places in the clip.
    """

    def __init__(self, config: HeatmapsOptions) -> None:
        """Take the options, of which there are none."""

    def export(self, result: Result, folder: Path) -> None:
        """Write the maps; the same maps give the same bytes."""
        maps = {"fused": result.heatmaps.fused, "video": result.heatmaps.video, "frame": result.heatmaps.frame}
        arrays = {name: np.ascontiguousarray(values, np.float32) for name, values in maps.items() if values is not None}
        metadata = {"frame_indices": json.dumps(result.frame_indices.tolist())}  # one entry: their order is not fixed
        (folder / "evidence").mkdir(exist_ok=True)
        (folder / "evidence" / "heatmaps.safetensors").write_bytes(save(arrays, metadata))
