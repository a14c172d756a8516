"""What a component may do besides what its kind asks of it; looked for with `isinstance`, and nothing is missing without.

Structural, as all protocols of components: see `gazecut.protocols`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from gazecut.arrays import Array
from gazecut.protocols import Attribution, Clip, Exporter, FusionStrategy, Provenance, Sampler, SegmenterSession
from gazecut.values import FrameMasks, HeatMaps, Trace

if TYPE_CHECKING:
    from gazecut.stretch import Stretch


@runtime_checkable
class WindowSampler(Sampler, Protocol):
    """A sampler that cuts a long clip into windows, which are then looked at one after the other; it need not.

    `sample` is called for each window, which is a clip of its own.
    """

    def windows(self, clip: Clip | None, fps: float) -> Iterator[range]:
        """Where the windows lie, taken one at a time as frames come.

        Each begins and ends after the one before, and begins within it or where it ends: windows cover the clip and overlap or adjoin,
        the first from frame 0 on. Objects are followed from one window to the next through the frames that both have. What reaches
        beyond the end of the clip is cut off, and windows that give no new frame are not looked at.

        Args:
            clip: The clip; None for a stream, which has no length yet and whose frames can be seen only once.
            fps: Frames per second.

        Raises:
            ClipError: It is a stream, and the windows depend on what it shows.
        """
        ...


@runtime_checkable
class PromptAttribution(Attribution, Protocol):
    """An attribution that also tells what the questions' own tokens weigh, for the evidence; it need not."""

    def scores_with_prompt(self, traces: Sequence[Trace]) -> Sequence[tuple[Array, Array | None]]:
        """What `scores_many` gives, each with the weights (P,) >= 0 of the tokens of `trace.prompt`; None where a trace has none.

        Weights are of the same kind and measure as scores: both are entries of one row.
        """
        ...


@runtime_checkable
class BackboneBound(FusionStrategy, Protocol):
    """A strategy that was made for one model; it need not."""

    def check_backbone(self, backbone: Provenance) -> None:
        """Refuse a model that it was not made for; called before anything that was planned is asked.

        Raises:
            WeightsError: It is another one.
        """
        ...


@runtime_checkable
class OverlapSession(SegmenterSession, Protocol):
    """A segmenter's session that compares masks on its own device; it need not, the core does it on the CPU."""

    def overlaps(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Intersection over union of every pair, as `gazecut.tracklets.mask_overlaps` gives it.

        Args:
            first: (K, H, W) bool.
            second: (L, H, W) bool.

        Returns:
            (K, L) float64 in host memory; two empty masks overlap by 0.
        """
        ...


@runtime_checkable
class SweepSession(SegmenterSession, Protocol):
    """A segmenter's session that takes several prompts through the clip at once; it need not, they go one after another then."""

    def propagate_together(
        self, prompts: Sequence[tuple[int, np.ndarray]], frames: Sequence[int], heat: HeatMaps, heat_frames: np.ndarray
    ) -> Iterator[tuple[int, FrameMasks]]:
        """The masks that `propagate` gives for each prompt alone, streamed in whatever order suits the session.

        Args:
            prompts: Indices into the clip, each one of `frames`, with the masks (K, H, W) bool that prompt there; K may differ.
            frames: Ascending indices into the clip.
            heat: Fused maps (T, h, w), for segmenters that use them.
            heat_frames: (T,) int64, the clip index of each map.

        Yields:
            Which prompt, and its masks on a frame; each of `frames` once for each prompt.
        """
        ...


@runtime_checkable
class StretchExporter(Exporter, Protocol):
    """An exporter that writes as frames come, while the rest of the clip is still being looked at; it need not.

    It is handed every frame of a clip by `export_stretch`, in the same stretches whenever a result is written: one for each window, or
    one in all where the clip was looked at as a whole. `export` at the end writes only what takes the whole result.
    """

    def export_stretch(self, stretch: Stretch, folder: Path) -> None:
        """Write what a stretch gives; stretches of a result come in order.

        What was written for earlier stretches may be in the folder or not; `export` will find all of it in its own, under the same
        names. Files are moved on when the call has ended, so none is ever seen half-written.

        Raises:
            OutputError: The disk refuses.
            ClipError: A frame cannot be decoded.
        """
        ...
