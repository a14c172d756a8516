"""Rules for point selectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gazecut.protocols import PointSelector
from gazecut.testing import samples
from gazecut.testing.compare import fingerprint
from gazecut.testing.conformance.base import Conformance
from gazecut.values import HeatMaps, Points

SHAPE = (3, 6, 7)
CLOSE = 1e-6  # float32 scores of float32 maps
CLICKS, CORNERS = (0, 1), (2, 3)
"""Labels: beside and on the object; top-left and bottom-right corner of a box."""


class SelectorConformance(Conformance[PointSelector]):
    """What a selector keeps to: points on the frames of the maps, within the picture, none where a map says nothing."""

    kind = "selector"

    def test_a_clear_peak_gives_a_point(self) -> None:
        """A map with one peak gives a point on its frame."""
        points = self._select(_peaks((2, 3)))
        missing = sorted(set(range(SHAPE[0])) - set(points.frame.tolist()))
        self.require(not missing, f"no point on frames {missing}", "one or more on every frame whose map has a peak")

    def test_clicks_lie_on_the_picture(self) -> None:
        """Clicks lie on the picture, also for peaks in its corners: x and y are from 0 up to, and not including, 1."""
        height, width = SHAPE[1:]
        for row, column in ((0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1)):
            points = self._select(_peaks((row, column)))
            clicks = np.isin(points.label, CLICKS)
            outside = [(x, y) for x, y in zip(points.x[clicks], points.y[clicks], strict=True) if not (0 <= x < 1 and 0 <= y < 1)]
            self.require(not outside, f"(x, y) = {outside[:3]} for a peak in row {row}, column {column}", "0 <= x < 1 and 0 <= y < 1")

    def test_clicks_on_the_object_lie_on_its_attention(self) -> None:
        """Of a map with one peak, clicks on the object lie where it is above 0: x goes along the width, y down the height."""
        height, width = SHAPE[1:]
        for row, column in ((1, 5), (4, 1)):
            maps = _peaks((row, column))
            points = self._select(maps)
            clicks = points.label == 1
            places = list(zip(points.x[clicks].tolist(), points.y[clicks].tolist(), strict=True))
            beside = [(x, y) for x, y in places if not maps.values[0, min(int(y * height), height - 1), min(int(x * width), width - 1)]]
            self.require(not beside, f"(x, y) = {beside[:3]} for a peak in row {row}, column {column} of {SHAPE[1:]}", "the peak's cells")

    def test_frames_are_those_of_the_maps(self) -> None:
        """`frame` counts the maps."""
        for maps in (_peaks((2, 3)), samples.heat_maps(SHAPE)):
            outside = sorted({frame for frame in self._select(maps).frame.tolist() if not 0 <= frame < SHAPE[0]})
            self.require(not outside, f"frames {outside} of {SHAPE[0]} maps", f"0 to {SHAPE[0] - 1}")

    def test_candidates_count_from_zero_in_each_frame(self) -> None:
        """`candidate` counts from 0 in each frame, without gaps."""
        points = self._select(samples.heat_maps(SHAPE))
        for frame in np.unique(points.frame):
            numbers = np.unique(points.candidate[points.frame == frame]).tolist()
            self.require(numbers == list(range(len(numbers))), f"candidates {numbers} on frame {frame}", f"{list(range(len(numbers)))}")

    def test_every_candidate_is_prompted_by_something(self) -> None:
        """Labels are 0 to 3, and every candidate has a click on the object or both corners of a box."""
        points = self._select(samples.heat_maps(SHAPE))
        unknown = sorted(set(points.label.tolist()) - {*CLICKS, *CORNERS})
        self.require(not unknown, f"labels {unknown}", "0, 1, 2 or 3")
        for frame, candidate in {*zip(points.frame.tolist(), points.candidate.tolist(), strict=True)}:
            labels = set(points.label[(points.frame == frame) & (points.candidate == candidate)].tolist())
            prompted = 1 in labels or labels.issuperset(CORNERS)
            self.require(prompted, f"labels {sorted(labels)} for candidate {candidate} of frame {frame}", "1 among them, or 2 and 3")

    def test_scores_are_attention(self) -> None:
        """`score` is the attention at the point, a number in [0, 1]; of a click on the object, between what the cells around it have."""
        scores = self._select(samples.heat_maps(SHAPE)).score
        wrong = [score for score in scores.tolist() if not 0 <= score <= 1]
        self.require(not wrong, f"scores {wrong[:3]}", "finite numbers in [0, 1]")
        peaks = _peaks((2, 3))
        points, (height, width) = self._select(peaks), SHAPE[1:]
        clicks = points.label == 1
        for x, y, score in zip(points.x[clicks].tolist(), points.y[clicks].tolist(), points.score[clicks].tolist(), strict=True):
            row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
            around = peaks.numpy()[0, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            fits = around.min() - CLOSE <= score <= around.max() + CLOSE
            self.require(fits, f"a score of {score:g} in row {row}, column {column}", f"{around.min():g} to {around.max():g}")

    @pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
    def test_flat_maps_give_no_points(self, level: float) -> None:
        """A flat map points nowhere, so it gives no points."""
        count = len(self._select(HeatMaps(np.full(SHAPE, level, np.float32))))
        self.require(count == 0, f"{count} points on maps that are {level} everywhere", "none")

    def test_ties_are_settled(self) -> None:
        """Equal cells are settled the same way every time, however the array lies in memory."""
        values = np.round(samples.heat_maps(SHAPE).numpy() * 3) / 3
        values[:, 1, 2] = values[:, 4, 5] = 1
        first = self._select(HeatMaps(values))
        for change in _SAME_VALUES:
            self.same(first, self._select(HeatMaps(change(values))), "points", "between equal maps with ties")

    def test_at_most_k_candidates(self) -> None:
        """Where it has an option `k`, no frame gets more than k candidates."""
        k = getattr(self.config(), "k", None)
        if k is None:
            pytest.skip('it has no option "k"')
        for maps in (samples.heat_maps(SHAPE), HeatMaps(np.round(samples.heat_maps(SHAPE).numpy()))):
            points = self._select(maps)
            most = max((len(np.unique(points.candidate[points.frame == frame])) for frame in points.frame), default=0)
            self.require(most <= k, f"{most} candidates on one frame", f"at most {k}")

    @pytest.mark.parametrize("shape", [(1, 5, 9), (2, 1, 1), (1, 1, 7), (5, 3, 1)], ids=str)
    def test_any_shape_is_taken(self, shape: tuple[int, int, int]) -> None:
        """One map, one row, one column and one cell are taken."""
        points = self._select(samples.heat_maps(shape))
        self.require(isinstance(points, Points), f"{type(points).__name__} for maps of shape {shape}", "Points")

    def test_input_is_unchanged(self) -> None:
        """The maps stay as they are."""
        maps = samples.heat_maps(SHAPE)
        before = fingerprint(maps, "maps")
        self._select(maps)
        self.unchanged(before, maps, "maps")

    def test_same_input_gives_same_output(self) -> None:
        """The same maps give the same points, whatever was selected in between."""
        first = self._select(samples.heat_maps(SHAPE))
        self._select(samples.heat_maps((2, 4, 4), seed=3))
        self.same(first, self._select(samples.heat_maps(SHAPE)), "points", "the second time")

    def _select(self, maps: HeatMaps) -> Points:
        return self.built().select(maps)


_SAME_VALUES: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    np.copy,
    np.asfortranarray,
    lambda values: np.repeat(values, 2, axis=2)[:, :, ::2],
)


def _peaks(cell: tuple[int, int]) -> HeatMaps:
    """Maps that are 1 in one cell, little around it and 0 elsewhere."""
    row, column = cell
    distance = np.hypot(*(np.indices(SHAPE[1:]) - np.array([[[row]], [[column]]])))
    return HeatMaps(np.repeat(np.clip(1 - distance / 2, 0, 1)[None], SHAPE[0], axis=0).astype(np.float32))
