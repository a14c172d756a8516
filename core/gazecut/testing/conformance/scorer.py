"""Rules for tracklet scorers."""

from __future__ import annotations

import numpy as np
import pytest

from gazecut.protocols import TrackletScorer
from gazecut.testing import samples
from gazecut.testing.compare import fingerprint
from gazecut.testing.conformance.base import Conformance
from gazecut.values import HeatMaps, Judgement, MapSet, MaskTrack, Query, QueryMaps, Tracklet, Tracklets

COUNT = 4
SIZES = [(1, (64, 80), (8, 10)), (3, (37, 91), (5, 7)), (2, (6, 4), (6, 4)), (2, (9, 9), (1, 1)), (2, (4, 6), (9, 8))]
"""Frames, size in pixels, grid of the maps."""


class ScorerConformance(Conformance[TrackletScorer]):
    """What a scorer keeps to: a finite score for every tracklet, whatever their order and whichever views were asked."""

    kind = "scorer"

    def test_every_tracklet_gets_one_score(self) -> None:
        """Every tracklet gets one score, a float64."""
        for count in (2, COUNT):
            scores = np.asarray(self._judge(samples.tracklets(count)).scores)
            self.require(scores.shape == (count,), f"scores of shape {scores.shape} for {count} tracklets", f"({count},)")
            self.require(scores.dtype == np.float64, f"scores of dtype {scores.dtype}", "float64")

    def test_kept_is_one_flag_per_tracklet(self) -> None:
        """`kept` is one flag per tracklet, bool."""
        kept = np.asarray(self._judge(samples.tracklets(COUNT)).kept)
        self.require(kept.shape == (COUNT,) and kept.dtype == bool, f"{kept.dtype} of shape {kept.shape}", f"bool of shape ({COUNT},)")

    def test_a_single_tracklet_is_judged(self) -> None:
        """A single tracklet is judged like several."""
        scores = self._judge(samples.tracklets(1)).scores
        self.require(np.shape(scores) == (1,), f"scores of shape {np.shape(scores)}", "(1,)")

    def test_none_for_none(self) -> None:
        """No tracklets give no scores."""
        scores = self._judge(Tracklets()).scores
        self.require(np.shape(scores) == (0,), f"scores of shape {np.shape(scores)} for no tracklets", "(0,)")

    @pytest.mark.parametrize("level", [0.0, 1.0])
    def test_flat_maps_give_finite_scores(self, level: float) -> None:
        """Flat maps give finite scores."""
        self._check_finite(self._judge(samples.tracklets(COUNT), HeatMaps(np.full((4, *samples.FRAME_GRID), level, np.float32))))

    def test_empty_and_full_masks_give_finite_scores(self) -> None:
        """Masks without a pixel, and masks of all pixels, give finite scores."""
        one = samples.tracklets(1)[0]
        empty, full = (_with_masks(one, np.full((4, 64, 80), filled)) for filled in (False, True))
        self._check_finite(self._judge(Tracklets((empty, one, full))))
        self._check_finite(self._judge(Tracklets((empty,))))

    def test_consistency_is_finite_or_none(self) -> None:
        """Agreement with the attention, where it is given, is one finite number per tracklet."""
        consistency = self._judge(samples.tracklets(COUNT)).consistency
        fits = consistency is None or (np.shape(consistency) == (COUNT,) and bool(np.isfinite(consistency).all()))
        self.require(fits, consistency, f"None, or {COUNT} finite numbers")

    def test_order_does_not_matter(self) -> None:
        """The order of the tracklets changes neither their scores nor which are kept."""
        forwards = samples.tracklets(COUNT)
        order = [2, 0, 3, 1]
        first, second = self._judge(forwards), self._judge(Tracklets(tuple(forwards[index] for index in order)))
        apart = float(np.abs(first.scores[order] - second.scores).max())
        self.require(apart < 1e-6, f"scores {apart:g} apart in another order", "the same scores to 1e-6")
        self.require(bool((first.kept[order] == second.kept).all()), f"kept {first.kept[order]} and {second.kept}", "the same ones")

    def test_views_may_be_missing(self) -> None:
        """It does without single views: maps may be given, or one view alone asked."""
        maps = samples.square_maps()
        alone = QueryMaps(Query("object", "video", "object"), HeatMaps(maps.values[::2, ::2, ::2], 2))
        for what, known in (("maps that were given", samples.given(maps)), ("the video view alone", MapSet((alone,)))):
            scores = self._judge(samples.tracklets(COUNT), maps, known).scores
            self.require(np.shape(scores) == (COUNT,), f"scores of shape {np.shape(scores)} with {what}", f"({COUNT},)")

    @pytest.mark.parametrize(("frames", "size", "grid"), SIZES)
    def test_any_size_is_judged(self, frames: int, size: tuple[int, int], grid: tuple[int, int]) -> None:
        """One frame, odd sizes, small grids, and grids finer than the picture are judged."""
        found = samples.tracklets(2, frames, size, grid)
        scores = self._judge(found, samples.square_maps(frames, size, grid)).scores
        where = f"{frames} frames of {size}, maps of {grid}"
        self.require(np.shape(scores) == (2,), f"scores of shape {np.shape(scores)} for 2 tracklets over {where}", "(2,)")

    def test_input_is_unchanged(self) -> None:
        """Tracklets and maps that it is given stay as they are."""
        found, maps = samples.tracklets(COUNT), samples.square_maps()
        known = _views(maps)
        before = fingerprint((found, known, maps), "input")
        self._judge(found, maps, known)
        self.unchanged(before, (found, known, maps), "input")

    def test_same_input_gives_same_output(self) -> None:
        """The same tracklets get the same scores, whatever was judged in between."""
        first = self._judge(samples.tracklets(COUNT))
        self._judge(samples.tracklets(2), samples.heat_maps((4, *samples.FRAME_GRID)))
        self.same(first, self._judge(samples.tracklets(COUNT)), "judgement", "the second time")

    def _judge(self, found: Tracklets, maps: HeatMaps | None = None, known: MapSet | None = None) -> Judgement:
        fused = maps or samples.square_maps()
        return self.built().judge(found, known or _views(fused), fused)

    def _check_finite(self, judgement: Judgement) -> None:
        __tracebackhide__ = True
        self.require(bool(np.isfinite(judgement.scores).all()), judgement.scores, "finite scores")


def _views(fused: HeatMaps) -> MapSet:
    """A set whose one open map is the fused one, with both views aside."""
    views = (QueryMaps(Query("object", view, "object"), fused) for view in ("video", "frame"))
    return MapSet((QueryMaps(Query("object", "fused", "object"), fused),), tuple(views))


def _with_masks(tracklet: Tracklet, masks: np.ndarray) -> Tracklet:
    return Tracklet(
        tracklet.prompt_frame,
        tracklet.prompt_xy,
        tracklet.attention,
        tracklet.predicted_iou,
        MaskTrack.from_masks(masks, masks.shape[1:]),
        tracklet.logits,
    )
