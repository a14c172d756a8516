"""Tracklet scorer: attention above the clip's mean that the masks cover."""

import numpy as np
from gazecut.resize import area_average
from gazecut.values import HeatMaps, Judgement, MapSet, Tracklets

from gazecut_template.config import HeatGainOptions


class HeatGainScorer:
    """Cells above the mean attention count for a mask that covers them, others against it."""

    def __init__(self, config: HeatGainOptions) -> None:
        self._share = config.share

    def judge(self, tracklets: Tracklets, maps: MapSet, fused: HeatMaps) -> Judgement:
        """Scores of K tracklets on the fused maps (T, h, w).

        A score lies in [-1, 1]: the mean, over all cells, of attention minus its mean, times the
        share of the cell that the mask covers. A mask that covers everything gets 0, as does one
        that covers nothing.
        """
        gain = fused.numpy() - fused.numpy().mean()  # (T, h, w)
        scores = np.array([_covered(gain, each.masks) for each in tracklets], np.float64)
        return Judgement(scores, scores >= self._share * scores.max(initial=0))


def _covered(gain: np.ndarray, masks: np.ndarray) -> float:
    """Mean gain (T, h, w) under masks (T, H, W) bool."""
    return float((gain * area_average(masks, gain.shape[1:])).mean())
