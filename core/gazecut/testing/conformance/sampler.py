"""Rules for samplers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, pairwise

import numpy as np
import pytest

from gazecut.clip import ArrayClip
from gazecut.errors import GazecutError
from gazecut.optional import WindowSampler
from gazecut.protocols import Clip, Sampler
from gazecut.testing.compare import fingerprint
from gazecut.testing.conformance.base import Conformance

LENGTHS = [2, 3, 17, 240]
WINDOWS_OF_A_STREAM = 20
"""That are looked at: a stream has no end."""


class SamplerConformance(Conformance[Sampler]):
    """What a sampler keeps to: indices that the clip has, each once, in order; and windows, if it has any, that leave no frame out."""

    kind = "sampler"

    @pytest.mark.parametrize("length", LENGTHS)
    def test_indices_are_one_row_of_int64(self, length: int) -> None:
        """Indices are an array (T,) int64."""
        indices = self._sample(length)
        found = f"{type(indices).__name__} {indices.dtype} of shape {indices.shape}"
        self.require(isinstance(indices, np.ndarray) and indices.dtype == np.int64 and indices.ndim == 1, found, "ndarray int64 (T,)")

    @pytest.mark.parametrize("length", LENGTHS)
    def test_at_least_one_frame_is_chosen(self, length: int) -> None:
        """At least one frame is chosen."""
        self.require(len(self._sample(length)) > 0, f"no index for {length} frames", "one or more")

    @pytest.mark.parametrize("length", LENGTHS)
    def test_indices_ascend(self, length: int) -> None:
        """Indices ascend strictly: no frame twice, none out of order."""
        indices = self._sample(length)
        self.require(bool((np.diff(indices) > 0).all()), indices.tolist(), "each index above the one before")

    @pytest.mark.parametrize("length", LENGTHS)
    def test_indices_lie_within_the_clip(self, length: int) -> None:
        """Every index is one of a frame of the clip."""
        outside = [index for index in self._sample(length).tolist() if not 0 <= index < length]
        self.require(not outside, f"{outside} of a clip of {length} frames", f"0 to {length - 1}")

    def test_a_clip_of_one_frame_gives_it(self) -> None:
        """Of a clip with one frame, that frame is chosen."""
        self.require(self._sample(1).tolist() == [0], self._sample(1).tolist(), "[0]")

    def test_input_is_unchanged(self) -> None:
        """The clip stays as it is."""
        images = _images(9)
        before = fingerprint(images, "frames")
        clip = _SharedClip(images)
        state = dict(vars(clip))
        self.built().sample(clip)
        self.unchanged(before, images, "frames")
        self.require(vars(clip) == state, "attributes of the clip changed", "a clip that it only reads")

    def test_same_input_gives_same_output(self) -> None:
        """The same clip gives the same frames, whatever was sampled in between."""
        first = self._sample(17)
        self._sample(5)
        self.same(first, self._sample(17), "indices", "the second time")

    @pytest.mark.parametrize("length", [1, *LENGTHS])
    def test_windows_cover_the_clip(self, length: int) -> None:
        """Windows begin with frame 0, ascend, leave no frame out, and reach the end after at most one window for each frame."""
        windows = self._windows(length)
        self._check_covering(windows)
        reaches = not windows or windows[-1].stop >= length
        self.require(reaches, f"{len(windows)} windows that end before frame {length}", f"the end of a clip of {length} frames")

    def test_windows_of_a_stream_cover_it_or_are_refused(self) -> None:
        """Windows of a stream cover it as those of a clip do; a sampler that must see the clip first says so with a GazecutError."""
        sampler = self.built()
        if isinstance(sampler, WindowSampler):
            try:
                windows = list(islice(sampler.windows(None, 8.0), WINDOWS_OF_A_STREAM))
            except GazecutError:
                return
            self._check_covering(windows)
            self.require(len(windows) == WINDOWS_OF_A_STREAM, f"{len(windows)} windows, and then none", "windows as long as frames come")

    def test_the_same_clip_gives_the_same_windows(self) -> None:
        """The same clip gives the same windows."""
        first, second = self._windows(17), self._windows(17)
        self.require(first == second, f"{first}, then {second}", "the same every time")

    def _windows(self, length: int) -> list[range]:
        """Those up to the end of a clip; none of a sampler that has none."""
        sampler, windows = self.built(), list[range]()
        if isinstance(sampler, WindowSampler):
            for window in islice(sampler.windows(ArrayClip(_images(length), fps=8.0), 8.0), length):
                windows.append(window)
                if window.stop >= length:
                    break
        return windows

    def _check_covering(self, windows: list[range]) -> None:
        __tracebackhide__ = True
        first = not windows or windows[0].start == 0
        self.require(first, f"a first window {windows[:1]}", "one from frame 0 on")
        whole = all(len(window) and window.step == 1 for window in windows)
        self.require(whole, f"{windows}", "windows of one frame or more, each after the one before")
        for before, after in pairwise(windows):
            fits = before.start < after.start <= before.stop < after.stop
            self.require(fits, f"{after} after {before}", "one that begins later but leaves no frame out, and ends later")

    def _sample(self, length: int) -> np.ndarray:
        clip: Clip = ArrayClip(_images(length), fps=8.0, name=f"{length} frames")
        return self.built().sample(clip)


class _SharedClip(ArrayClip):
    """Hands out its very frames, so that writing into them shows."""

    def __init__(self, images: np.ndarray) -> None:
        super().__init__(images)
        self.images = images

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        return (self.images[index] for index in (range(self.length) if indices is None else indices))


def _images(length: int) -> np.ndarray:
    return np.random.default_rng(length).integers(0, 256, (length, 6, 8, 3), dtype=np.uint8)
