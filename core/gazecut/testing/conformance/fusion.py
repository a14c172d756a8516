"""Rules for fusion strategies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from gazecut.arrays import Array, to_numpy
from gazecut.protocols import FusionStrategy
from gazecut.testing import samples
from gazecut.testing.compare import fingerprint
from gazecut.testing.conformance.base import Conformance
from gazecut.testing.fakes import FakeDifference, FakeMean
from gazecut.values import HeatMaps, MapSet, Query, QueryMaps

VIEWS = ("video", "frame")
FRAMES = 6
AXES: dict[str, FusionStrategy] = {"view": FakeMean(), "role": FakeDifference()}
"""A strategy for each axis that may be open already, or be opened after, in a chain."""

PATH = ((0.3, 0.375), (0.5, 0.375), (0.7, 0.375))
"""Where a thing is, as (x, y) fractions of the picture, for two frames each."""

FRAMES_A_SPOT = FRAMES // len(PATH)
NEAR = 0.2  # about a cell of the coarse grid
BLUR = 0.15  # width of what stands out, in pictures


class FusionConformance(Conformance[FusionStrategy]):
    """What a fusion strategy keeps to: it folds what it opens, and leaves the rest to the others of its chain."""

    kind = "fusion"

    def test_plan_still_asks_for_the_object(self) -> None:
        """The object stays among the questions."""
        for view in VIEWS:
            planned = self.built().plan([_object(view)])
            roles = [query.role for query in planned]
            self.require("object" in roles, f"roles {roles} planned from an object query", 'a query of role "object" among them')

    def test_plan_asks_views_that_exist(self) -> None:
        """It asks views that every model has."""
        for view in VIEWS:
            asked = sorted({query.view for query in self.built().plan([_object(view)])} - set(VIEWS))
            self.require(not asked, f"view {', '.join(asked)}", " and ".join(VIEWS))

    def test_planned_queries_are_different_objects(self) -> None:
        """No query is planned twice: answers are kept by query."""
        planned = self.built().plan([_object("frame")])
        self.require(
            len({id(query) for query in planned}) == len(planned), "one Query object more than once", "copies, by dataclasses.replace"
        )

    def test_fuse_folds_what_plan_opens(self) -> None:
        """What `plan` opens, `fuse` folds."""
        for view in VIEWS:
            planned = self.built().plan([_object(view)])
            left = self.built().fuse(samples.answered(planned, FRAMES)).open
            self.require(len(left) == 1, f"{len(left)} open maps after one {view} query became {len(planned)}", "one, as before the plan")

    @pytest.mark.parametrize("frames", [1, 5, 6])
    def test_every_frame_keeps_a_map(self, frames: int) -> None:
        """Maps (T, h, w) come in and (T, h, w) go out, for one frame and for odd numbers too."""
        for entry in self._fused(frames).open:
            maps = entry.maps
            covered = maps.values.shape[0] * maps.frames_per_slot
            fits = frames <= covered < frames + maps.frames_per_slot and min(maps.values.shape) > 0
            found = f"shape {tuple(maps.values.shape)}, {maps.frames_per_slot} frames a map, for {frames} frames"
            self.require(fits, found, "one map per frame, or per slot with its frames_per_slot")

    def test_places_stay_where_they_are(self) -> None:
        """What all questions about the object look at is highest there in the fused map: no axis is swapped, turned round or shifted."""
        planned = self.built().plan([_object("video")])
        for entry in self.built().fuse(_looking_at_a_path(planned)).open:
            values, each = to_numpy(entry.maps.values), entry.maps.frames_per_slot
            for slot, heat in enumerate(values):
                row, column = np.unravel_index(int(heat.argmax()), heat.shape)
                x, y = (column + 0.5) / heat.shape[1], (row + 0.5) / heat.shape[0]
                wanted = PATH[slot * each // FRAMES_A_SPOT]
                found = f"the highest cell of map {slot} at (x, y) = ({x:.2f}, {y:.2f})"
                self.require(bool(np.hypot(x - wanted[0], y - wanted[1]) < NEAR), found, f"near {wanted}")

    @pytest.mark.parametrize("level", [None, 0.0, 0.004])
    def test_values_are_finite(self, level: float | None) -> None:
        """Every value is finite, of flat maps too."""
        for entry in self._fused(change=lambda values: values if level is None else np.full_like(values, level)).open:
            values = to_numpy(entry.maps.values)
            wrong = int((~np.isfinite(values)).sum())
            what = "" if level is None else f" for maps that are {level} everywhere"
            self.require(not wrong, f"{wrong} of {values.size} values are NaN or infinite{what}", "finite values")

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_numpy_stays_numpy(self, dtype: str) -> None:
        """NumPy maps stay NumPy maps of their dtype."""
        for entry in self._fused(change=lambda values: values.astype(dtype)).open:
            values = entry.maps.values
            found = f"{type(values).__name__} {values.dtype} from ndarray {dtype}"
            self.require(isinstance(values, np.ndarray) and str(values.dtype) == dtype, found, f"ndarray {dtype}")

    def test_torch_stays_torch(self) -> None:
        """Tensors stay tensors, on their device, with the values that NumPy maps give."""
        torch = pytest.importorskip("torch")
        wanted = self._fused()
        for entry, reference in zip(self._fused(change=torch.from_numpy).open, wanted.open, strict=True):
            values = entry.maps.values
            self.require(isinstance(values, torch.Tensor), f"{type(values).__name__} from tensors", "Tensor")
            self.require(values.device.type == "cpu", f"a tensor on {values.device} from tensors on cpu", "cpu")
            apart = float(np.abs(to_numpy(values) - to_numpy(reference.maps.values)).max())
            self.require(apart < 1e-4, f"values {apart:g} apart", "those of NumPy maps to 1e-4")

    @pytest.mark.parametrize("axis", AXES)
    @pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
    def test_works_in_a_chain(self, axis: str, first: bool) -> None:
        """It works before and after a strategy of another axis."""
        opened = {getattr(query, axis) for query in self.built().plan([_object("video")])}
        if len(opened) > 1:
            pytest.skip(f"it opens the axis {axis} itself")
        chain = [self.built(), AXES[axis]] if first else [AXES[axis], self.built()]
        left = _through(chain, FRAMES).open
        place = "before" if first else "after"
        self.require(len(left) == 1, f"{len(left)} open maps in a chain, {place} a strategy that opens {axis}s", "one")

    def test_evidence_of_others_is_kept(self) -> None:
        """Views that an earlier strategy put aside stay in `views`."""
        earlier = QueryMaps(_object("frame"), samples.heat_maps((FRAMES, 3, 3)))
        before = samples.answered(self.built().plan([_object("video")]), FRAMES)
        after = self.built().fuse(replace(before, views=(earlier,)))
        self.require(any(entry is earlier for entry in after.views), "views without it", "(*maps.views, ...)")

    def test_input_is_unchanged(self) -> None:
        """Queries and maps that it is given stay as they are."""
        queries = [_object("video")]
        before = fingerprint(queries, "queries")
        planned = self.built().plan(queries)
        self.unchanged(before, queries, "queries")
        maps = samples.answered(planned, FRAMES)
        before = fingerprint(maps, "maps")
        self.built().fuse(maps)
        self.unchanged(before, maps, "maps")

    def test_same_input_gives_same_output(self) -> None:
        """The same maps give the same map, whatever came in between."""
        first = self._fused()
        self._fused(frames=3, seed=9)
        self.same(first, self._fused(), "maps", "the second time")

    def _fused(self, frames: int = FRAMES, seed: int = 0, change: Callable[[Array], Array] = np.asarray) -> MapSet:
        """The maps of one object query on the video view, through this strategy alone."""
        return _through([self.built()], frames, seed, change)


def _looking_at_a_path(queries: Sequence[Query]) -> MapSet:
    """Maps whose object questions look at `PATH`, while all others look nowhere in particular."""

    def looked(entry: QueryMaps) -> HeatMaps:
        slots, rows, columns = entry.maps.values.shape
        if entry.query.role != "object":
            return replace(entry.maps, values=np.full_like(entry.maps.values, 0.001))
        y, x = (np.indices((rows, columns)) + 0.5) / np.array([rows, columns])[:, None, None]
        spots = [PATH[slot * entry.maps.frames_per_slot // FRAMES_A_SPOT] for slot in range(slots)]
        bumps = [np.exp(-((x - left) ** 2 + (y - top) ** 2) / (2 * BLUR**2)) for left, top in spots]
        return replace(entry.maps, values=(np.stack(bumps) / 100).astype(np.float32))

    return samples.answered(queries, FRAMES).map_open(looked)


def _object(view: str) -> Query:
    return Query("object", view, "object")


def _through(
    chain: Sequence[FusionStrategy], frames: int, seed: int = 0, change: Callable[[Array], Array] = np.asarray, view: str = "video"
) -> MapSet:
    """Plan in reverse order, answer, fuse in order, as a pipeline does."""
    queries: Sequence[Query] = [_object(view)]
    for strategy in reversed(chain):
        queries = strategy.plan(queries)
    maps = samples.answered(queries, frames, seed).map_open(lambda entry: HeatMaps(change(entry.maps.values), entry.maps.frames_per_slot))
    for strategy in chain:
        maps = strategy.fuse(maps)
    return maps
