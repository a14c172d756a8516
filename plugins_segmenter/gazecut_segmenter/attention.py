"""The map itself as mask: Otsu's threshold on each frame, DecAF's output without a segmentation model.

Every candidate of a frame is the same mask, so suppression leaves one of each key frame and the kept tracklets unite to
exactly the per-frame Otsu masks (arXiv 2510.19592, section 3.2). Frames between two key frames take the map interpolated
linearly in time; before the first and after the last key frame the nearest map is held.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gazecut.otsu import otsu_mask
from gazecut.protocols import Clip, Provenance, Runtime
from gazecut.resize import resize
from gazecut.values import Candidates, FrameMasks, HeatMaps, Points
from gazecut_segmenter.cache import ArrayCache
from gazecut_segmenter.config import AttentionOptions
from gazecut_segmenter.session import ClipSession, both_ways

MASK_BUDGET = 32 * 2**20  # bytes of packed masks that a session keeps: 650 frames of 854 x 480


class AttentionSegmenter:
    """Thresholds the attention; pixels are never looked at."""

    def __init__(self, config: AttentionOptions, runtime: Runtime) -> None:
        """Take options and runtime; there is nothing to load or to draw."""

    def open(self, clip: Clip) -> AttentionSession:
        """Get ready for one clip; only its size and length are used."""
        return AttentionSession(clip)

    def describe(self) -> Provenance:
        """CPU, no weights."""
        return Provenance(device="cpu", dtype="float32")

    def peak_memory(self) -> int:
        """Always 0: there is no device."""
        return 0


class AttentionSession(ClipSession):
    """Otsu masks of one clip, kept bit-packed since every key frame's propagation asks for the same ones."""

    def __init__(self, clip: Clip) -> None:
        """Take the clip."""
        super().__init__(clip)
        self._masks = ArrayCache(MASK_BUDGET)

    def masks_at(self, frame: int, points: Points, heat: np.ndarray) -> Candidates:
        """The frame's Otsu mask, once for each candidate.

        Its predicted IoU is the soft overlap of mask M and map V at the clip's size, sum(min(M, V)) / sum(max(M, V)): 1 for
        a map that is 0 and 1 only, low for a hazy one.

        Args:
            frame: Index into the clip.
            points: The points of that frame; only the number of candidates matters.
            heat: (h, w) in [0, 1], the map of that frame.

        Returns:
            K equal masks at the clip's size.

        Raises:
            SegmenterError: The session is closed, or the clip has no such frame.
        """
        self._check_frame(frame)
        count = len(np.unique(points.candidate))
        if not count:
            return Candidates(np.zeros((0, *self._clip.size), bool), np.zeros(0, np.float32))
        mask, full = self._mask(heat), resize(heat, self._clip.size)
        overlap = np.minimum(mask, full).sum() / max(np.maximum(mask, full).sum(), np.finfo(np.float32).tiny)
        return Candidates(self._repeated(mask, count), np.full(count, np.clip(overlap, 0, 1), np.float32))

    def propagate(
        self, frame: int, masks: np.ndarray, frames: Sequence[int], heat: HeatMaps, heat_frames: np.ndarray
    ) -> Iterator[FrameMasks]:
        """The Otsu mask of each frame's map, once for each object, forwards from `frame`, then backwards.

        Args:
            frame: Index into the clip of the frame that the masks prompt; one of `frames`.
            masks: (K, H, W) bool; only their number matters.
            frames: Ascending indices into the clip.
            heat: Maps (T, h, w) in [0, 1].
            heat_frames: (T,) int64 ascending, the clip index of each map.

        Yields:
            Each of `frames` once.

        Raises:
            SegmenterError: The session is closed, or `frame` and `frames` do not fit each other or the clip.
            ShapeError: The masks are of another size than the clip.
        """
        self._check_prompt(frame, masks, frames)
        values = heat.numpy()
        ahead, back = both_ways(frame, frames)
        for index in (frame, *ahead, *back):
            self._check_frame(index)
            yield FrameMasks(index, self._repeated(self._mask(map_between(values, heat_frames, index)), len(masks)))

    def close(self) -> None:
        """Forget the masks; a second call does nothing."""
        super().close()
        self._masks.clear()

    def _mask(self, heat: np.ndarray) -> np.ndarray:
        """Otsu mask (H, W) of one map at the clip's size."""
        size, key = self._clip.size, (heat.shape, heat.tobytes())
        packed = self._masks.get(key)
        if packed is None:
            packed = self._masks.put(key, np.packbits(otsu_mask(resize(heat, size))))
        return np.unpackbits(packed, count=size[0] * size[1]).reshape(size).astype(bool)

    def _repeated(self, mask: np.ndarray, count: int) -> np.ndarray:
        """The mask `count` times, (count, H, W), as a view: candidates may be many."""
        return np.broadcast_to(mask, (count, *mask.shape))


def map_between(values: np.ndarray, frames: np.ndarray, index: int) -> np.ndarray:
    """The map at a moment, linear between two known ones, held before the first and after the last.

    Args:
        values: (T, h, w) floating.
        frames: (T,) ascending, the moment of each map.
        index: The moment asked for.

    Returns:
        (h, w), of the dtype of `values`.
    """
    after = int(np.searchsorted(frames, index))
    if after == 0 or after == len(frames):
        return np.asarray(values[min(after, len(frames) - 1)])
    share = (index - frames[after - 1]) / (frames[after] - frames[after - 1])
    return np.asarray((1 - share) * values[after - 1] + share * values[after], values.dtype)
