"""Tracklet scorer: agreement of a tracklet with the fused attention over the whole clip."""

from __future__ import annotations

from typing import Literal

import numpy as np

from gazecut.arrays import Array, floating, like, namespace, to_numpy
from gazecut.otsu import otsu_mask
from gazecut.resize import area_average
from gazecut.values import HeatMaps, Judgement, MapSet, Tracklets
from gazecut.values.check import check_shape
from gazecut_plugins.config import AttentionConsistencyOptions
from gazecut_plugins.keep import by_rule

EPSILON = 1e-8


def attention_consistency(maps: Array, tracklets: Array, *, mean: Literal["mean", "otsu"] = "mean", penalty: bool = True) -> Array:
    """How much of the attention each tracklet covers, less what it covers besides (DecAF, equations 6 to 8).

    s_ac = sum(M * G) / sum(V over B), where B is the cells above the frame's threshold, G is V there and minus the frame's
    highest such value elsewhere, and M the share of each cell that the mask covers. As in the authors' code, not the paper:
    B is strict, and positive scores are divided by the best one.

    Args:
        maps: V, (T, h, w) in [0, 1].
        tracklets: (K, T, H, W) bool.
        mean: Threshold of B: each frame's mean, or Otsu's (the paper's ablation).
        penalty: False makes G zero outside B (the paper's ablation).

    Returns:
        (K,) of the same kind as `maps`; at most 1, without lower bound.

    Raises:
        ShapeError: Axes that do not fit.
    """
    check_shape("maps", maps, ("T", "h", "w"))
    check_shape("tracklets", tracklets, ("K", maps.shape[0], "H", "W"))
    xp, values = namespace(maps), floating(maps)
    if not tracklets.shape[0]:
        return values[:0, 0, 0]
    covers = xp.stack([area_average(xp.astype(track, values.dtype), values.shape[1:]) for track in tracklets])
    return _consistency(values, covers, mean, penalty)


def _consistency(values: Array, covers: Array, mean: Literal["mean", "otsu"], penalty: bool) -> Array:
    """s_ac (K,) of maps (T, h, w) and covered shares (K, T, h, w)."""
    xp = namespace(values)
    attended = _attended(values, mean)
    inside = xp.where(attended, values, xp.zeros_like(values))
    highest = xp.max(inside, axis=(1, 2), keepdims=True) if penalty else 0 * values[:, :1, :1]
    gain = xp.where(attended, values, xp.zeros_like(values) - highest)
    scores = xp.sum(covers * gain, axis=(1, 2, 3)) / (xp.sum(inside) + EPSILON)
    best = xp.max(scores)
    return xp.where(scores > 0, scores / (best + EPSILON), scores) if best > 0 else scores


def _attended(values: Array, mean: Literal["mean", "otsu"]) -> Array:
    """B, (T, h, w) bool."""
    if mean == "mean":
        xp = namespace(values)
        mean_of_frame, highest = (measure(values, axis=(1, 2), keepdims=True) for measure in (xp.mean, xp.max))
        lowest = xp.min(values, axis=(1, 2), keepdims=True)
        return (values > mean_of_frame) & (highest > lowest)  # of a flat map the mean is its value only up to rounding
    masks = np.stack([otsu_mask(heat) for heat in to_numpy(values)])
    return like(masks.astype(np.float64), values) > 0


class AttentionConsistencyScorer:
    """(V_p + predicted IoU + s_ac) / 3; keeps what is above a threshold, or the best."""

    def __init__(self, config: AttentionConsistencyOptions) -> None:
        self._config = config

    def judge(self, tracklets: Tracklets, maps: MapSet, fused: HeatMaps) -> Judgement:
        """Scores of K tracklets against the fused maps (T, h, w); `consistency` is s_ac alone."""
        values = fused.numpy()
        if not len(tracklets):
            return Judgement(np.zeros(0), np.zeros(0, bool), np.zeros(0), ())
        covers = np.stack([area_average(tracklet.masks.astype(values.dtype), values.shape[1:]) for tracklet in tracklets])
        consistency = _consistency(values, covers, self._config.mean, self._config.penalty).astype(np.float64)
        scores = (np.array([tracklet.object_score for tracklet in tracklets]) + consistency) / 3
        return by_rule(scores, self._config.keep, consistency)
