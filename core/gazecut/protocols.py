"""What a component of each kind can do. Structural: a plugin needs no base class.

A component is built as `Class(config)`; those that compute on a device (mllm, segmenter) as `Class(config, runtime)`.
Both expensive stages have one form: open a session on a clip once, then ask it cheap questions. What a component may do besides is in
`gazecut.optional`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

import numpy as np

from gazecut.arrays import Array
from gazecut.values import (
    Answer,
    Candidates,
    FrameMasks,
    Frames,
    GridLayout,
    HeatMaps,
    Judgement,
    MapSet,
    Points,
    Query,
    Question,
    Trace,
    TraceSpec,
    Tracklets,
)
from gazecut.work import Work

if TYPE_CHECKING:
    from gazecut.result import Result


@dataclass(frozen=True)
class Runtime:
    """Where and how components compute.

    Attributes:
        device: "auto" (the fastest present), "cpu", "cuda", "cuda:N" or "mps"; the component resolves it.
        seed: Seed of whatever a component draws at random.
        work: Where components count what they do.
    """

    device: str = "auto"
    seed: int = 0
    work: Work = field(default_factory=Work, compare=False)


@dataclass(frozen=True)
class Provenance:
    """Where a component's numbers come from; goes into the manifest.

    Attributes:
        device: The device it computes on, resolved.
        dtype: Its floating dtype, for example "float32".
        weights: Folder, file or hub id as configured; None for a component without weights.
        revision: Hub revision of the weights, where they have one.
        signature: What a model is known by wherever its weights lie and in whatever dtype it computes; None where the component does
            not tell.
    """

    device: str
    dtype: str
    weights: str | None = None
    revision: str | None = None
    signature: str | None = None


@runtime_checkable
class Clip(Protocol):
    """Lazy frames of any source.

    Attributes:
        name: What to call it in messages and file names.
        length: Number of frames.
        fps: Frames per second; image folders and arrays have a nominal value.
        size: (H, W) in pixels.
    """

    name: str
    length: int
    fps: float
    size: tuple[int, int]

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 RGB, all or those at ascending indices, decoded as they are taken.

        Raises:
            ClipError: A frame cannot be decoded, or an index is out of range or not ascending.
        """
        ...


class Sampler(Protocol):
    """Chooses the frames that the MLLM sees."""

    def sample(self, clip: Clip) -> np.ndarray:
        """Indices into the clip, (T,) int64, strictly ascending, T >= 1."""
        ...


class MLLMSession(Protocol):
    """One view of one clip with its visual prefix in memory; close it when done.

    Attributes:
        layout: What each visual token covers.
    """

    layout: GridLayout

    def ask(self, questions: Sequence[Question]) -> Sequence[Answer]:
        """Answer several questions from the shared prefix, greedily.

        Raises:
            BackendError: A trace asks for layers that the model lacks, or steering is of another width.
        """
        ...

    def close(self) -> None:
        """Free the prefix; a second call does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class MLLMBackend(Protocol):
    """A frozen multimodal LLM."""

    def open(self, frames: Frames, view: str, prelude: Array | None = None, trace: TraceSpec | None = None) -> MLLMSession:
        """Run the vision tower and prefill system turn and visual tokens, once.

        Args:
            frames: The sampled frames.
            view: "video" puts all frames into one sequence; "frame" makes one sequence per frame.
            prelude: (P, d) embeddings placed before the visual tokens, or None.
            trace: The attention that questions will ask for, so that no other layer is kept; None keeps every layer.

        Raises:
            BackendError: The view is unknown, the model lacks a layer, or the processor laid out other tokens than the grid says.
        """
        ...

    def complete(self, text: str) -> str:
        """The greedy answer to a text-only turn."""
        ...

    def complete_many(self, texts: Sequence[str]) -> Sequence[str]:
        """The same for several turns, decoded together; each answer is as `complete` gives it."""
        ...

    def describe(self) -> Provenance:
        """Device, dtype and weights, for the manifest."""
        ...

    def peak_memory(self) -> int:
        """Most device memory in use so far, in bytes; 0 where the device does not tell (CPU)."""
        ...


class Attribution(Protocol):
    """Turns captured attention into one score per visual token.

    Attributes:
        spec: The layers and the row it needs.
    """

    spec: TraceSpec

    def scores(self, trace: Trace) -> Array:
        """Scores (V,) >= 0 of the visual tokens, in the order of `trace.visual_columns`; float64 stays, else float32."""
        ...

    def scores_many(self, traces: Sequence[Trace]) -> Sequence[Array]:
        """The same for several traces, in their order; whatever traces of one session share is worked out once."""
        ...


class FusionStrategy(Protocol):
    """Plans what must be asked, then folds what came back along the axis that it opened."""

    def plan(self, queries: Sequence[Query]) -> Sequence[Query]:
        """Queries to ask instead of those given: copies, additions, steering."""
        ...

    def fuse(self, maps: MapSet) -> MapSet:
        """The maps with this strategy's axis folded."""
        ...


class PointSelector(Protocol):
    """Chooses point prompts on fused maps."""

    def select(self, maps: HeatMaps) -> Points:
        """Points on maps (T, h, w) in [0, 1], one map per sampled frame; none where the maps are flat."""
        ...


class SegmenterSession(Protocol):
    """One clip whose frames are encoded at most once while they fit; close it when done."""

    def masks_at(self, frame: int, points: Points, heat: np.ndarray) -> Candidates:
        """Masks of all candidates of one frame, as one batch.

        Args:
            frame: Index into the clip.
            points: The points of that frame.
            heat: (h, w) float32 in [0, 1], the fused map of that frame, for segmenters that use it.
        """
        ...

    def propagate(
        self, frame: int, masks: np.ndarray, frames: Sequence[int], heat: HeatMaps, heat_frames: np.ndarray
    ) -> Iterator[FrameMasks]:
        """Masks over the given frames, streamed: from `frame` forwards to the end, then backwards to the start.

        Args:
            frame: Index into the clip of the frame that the masks prompt; one of `frames`.
            masks: (K, H, W) bool, one per object.
            frames: Ascending indices into the clip.
            heat: Fused maps (T, h, w), for segmenters that use them.
            heat_frames: (T,) int64, the clip index of each map.

        Yields:
            Each of `frames` once.
        """
        ...

    def close(self) -> None:
        """Free what was encoded; a second call does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Segmenter(Protocol):
    """Turns points into masks and follows them through a clip."""

    def open(self, clip: Clip) -> SegmenterSession:
        """Get ready for one clip."""
        ...

    def describe(self) -> Provenance:
        """Device, dtype and weights, for the manifest."""
        ...

    def peak_memory(self) -> int:
        """Most device memory in use so far, in bytes; 0 where the device does not tell (CPU)."""
        ...


class TrackletScorer(Protocol):
    """Judges tracklets by the attention, and says which stay."""

    def judge(self, tracklets: Tracklets, maps: MapSet, fused: HeatMaps) -> Judgement:
        """One finite score per tracklet and the kept ones; none for none.

        Args:
            tracklets: K candidates over the T sampled frames.
            maps: All maps of the expression; `maps.view(name)` gives a single view.
            fused: (T, h, w) in [0, 1].
        """
        ...


class Exporter(Protocol):
    """Writes one part of a result. It keeps nothing from call to call: several results may be under way at once."""

    def export(self, result: Result, folder: Path) -> None:
        """Write into a folder that exists; whoever calls moves finished files to their final names.

        Raises:
            OutputError: The disk refuses.
        """
        ...
