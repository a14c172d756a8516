"""Tracklet scorer: correlation of a tracklet's logits with the attention of each view (SteerSeg, section 3.3, equation 6)."""

from __future__ import annotations

import numpy as np

from gazecut.resize import area_average, resize
from gazecut.values import HeatMaps, Judgement, MapSet, Tracklets
from gazecut.values.tracklets import HARD_LOGIT
from gazecut_plugins.config import PearsonOptions
from gazecut_plugins.keep import by_rule

FLAT = 1e-9  # deviation from the mean, as a share of the whole, below which rounding is all there is


def pearson(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson correlation over all elements.

    Args:
        first: Any shape, finite.
        second: Of the same shape.

    Returns:
        In [-1, 1]; 0 where one of them is constant, which agrees with nothing and contradicts nothing.
    """
    one, other = _direction(first), _direction(second)
    return 0.0 if one is None or other is None else float(np.clip(np.vdot(one, other), -1, 1))


def clipped_logits(logits: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Logits (T, h', w') on the grid of a map, (T, h, w) float64: M of the paper.

    Limited to +-10 first, like hard masks: segmenters write numbers such as -1024 where they think an object absent, and a few frames
    of those would outweigh everything else. Averaged by area where the grid is coarser, else interpolated bilinearly.
    """
    values = np.clip(logits.astype(np.float64), -HARD_LOGIT, HARD_LOGIT)
    coarser = grid[0] <= values.shape[1] and grid[1] <= values.shape[2]
    return np.asarray(area_average(values, grid) if coarser else resize(values, grid))


def align(logits: np.ndarray, maps: HeatMaps) -> np.ndarray:
    """Logits (T, h, w) on grid and slots of maps (T', h', w'): the operator A of the paper, whose form it leaves open.

    A slot is the mean of the frames that it covers; the last one of an odd number covers those that are there.

    Raises:
        ShapeError: The maps' slots do not cover as many frames.
    """
    frames, per_slot = len(logits), maps.frames_per_slot
    maps.per_frame(frames)
    slots = np.arange(0, frames, per_slot)
    lengths = np.diff(slots, append=frames)
    return clipped_logits(np.add.reduceat(logits, slots, axis=0) / lengths[:, None, None], tuple(maps.values.shape[1:]))


class PearsonScorer:
    """s = frame_weight * s_frm + (1 - frame_weight) * s_vid; keeps the best.

    s_frm is the correlation of the tracklet's logits M with the frame view's maps, s_vid that of A(M) with the video view's. Where one
    view was not asked, the other has all the weight; where neither was, the fused map has.
    """

    def __init__(self, config: PearsonOptions) -> None:
        self._config = config

    def judge(self, tracklets: Tracklets, maps: MapSet, fused: HeatMaps) -> Judgement:
        """Scores of K tracklets in [-1, 1], by the maps of single views as fusion left them."""
        frame, video = maps.view("frame"), maps.view("video")
        grid = tuple((frame or fused).values.shape[1:])
        weighted = [(view, weight) for view, weight in self._weights(frame, video, fused) if weight]
        scores = np.zeros(len(tracklets))
        for index, tracklet in enumerate(tracklets):
            logits = clipped_logits(tracklet.logits, grid)
            scores[index] = sum(weight * pearson(align(logits, view), view.numpy()) for view, weight in weighted)
        return by_rule(scores, self._config.keep)

    def _weights(self, frame: HeatMaps | None, video: HeatMaps | None, fused: HeatMaps) -> list[tuple[HeatMaps, float]]:
        if frame is None or video is None:
            return [(frame or video or fused, 1.0)]
        return [(frame, self._config.frame_weight), (video, 1 - self._config.frame_weight)]


def _direction(values: np.ndarray) -> np.ndarray | None:
    """Deviations from the mean at length 1; None for what is constant."""
    values = np.asarray(values, np.float64)
    deviation = values - values.mean()
    length = np.linalg.norm(deviation)
    return deviation / length if length > FLAT * np.linalg.norm(values) else None
