"""Point selector: the highest cell of each frame."""

from __future__ import annotations

import numpy as np

from gazecut.values import HeatMaps, Points
from gazecut_plugins.config import ArgmaxOptions


class ArgmaxSelector:
    """One candidate per frame, where the map is highest (SteerSeg, section 3.3)."""

    def __init__(self, config: ArgmaxOptions) -> None:
        """Take the options; there are none."""

    def select(self, maps: HeatMaps) -> Points:
        """One point per map (T, h, w), the first of equals in reading order; none on a flat map, which points nowhere."""
        values = maps.numpy()
        height, width = values.shape[1:]
        flat = values.reshape(len(values), -1)
        frame = np.flatnonzero(flat.max(axis=1) > flat.min(axis=1))
        best = flat[frame].argmax(axis=1)
        x, y = (best % width + 0.5) / width, (best // width + 0.5) / height
        return Points.single_clicks(np.stack([frame, x, y, flat[frame, best].astype(np.float64)], axis=1))
