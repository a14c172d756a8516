"""Tracklet scorer: the prompt's attention and the segmenter's own trust, without a look at other frames."""

from __future__ import annotations

import numpy as np

from gazecut.values import HeatMaps, Judgement, MapSet, Tracklets
from gazecut_plugins.config import ObjectScoreOptions
from gazecut_plugins.keep import by_rule


class ObjectScoreScorer:
    """(V_p + predicted IoU) / 2 (DecAF's ablation without attention consistency)."""

    def __init__(self, config: ObjectScoreOptions) -> None:
        self._keep = config.keep

    def judge(self, tracklets: Tracklets, maps: MapSet, fused: HeatMaps) -> Judgement:
        """Scores of K tracklets, in [0, 1]; the maps are not looked at."""
        scores = np.array([tracklet.object_score for tracklet in tracklets], np.float64) / 2
        return by_rule(scores, self._keep)
