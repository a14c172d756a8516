"""DecAF's loop over key frames: prompt, suppress, replace, propagate, judge, keep, propagate over the whole clip.

Where the authors' code departs from the paper (arXiv 2510.19592, section 3.3), their code is followed; the departures are
named where they happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import array_api_compat
import numpy as np

from gazecut import rle
from gazecut.arrays import Array, namespace, to_numpy
from gazecut.errors import SegmenterError
from gazecut.optional import OverlapSession, SweepSession
from gazecut.protocols import SegmenterSession
from gazecut.resize import area_average
from gazecut.values import Candidates, FrameMasks, HeatMaps, MaskTrack, Points, Tracklet, Tracklets
from gazecut.values.tracklets import HARD_LOGIT
from gazecut.wording import counted


@dataclass(frozen=True, eq=False)
class KeyFrames:
    """The sampled frames of one expression, with what the loop needs to know of them.

    Attributes:
        indices: (T,) int64, where in the clip they stand.
        heat: Fused maps (T, h, w) in [0, 1].
        points: Prompts on them.
    """

    indices: np.ndarray
    heat: HeatMaps
    points: Points


def mask_overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair.

    Args:
        first: (K, H, W) bool.
        second: (L, H, W) bool.

    Returns:
        (K, L) float64; two empty masks overlap by 0.
    """
    packed = _packed(second)
    overlaps = np.zeros((len(first), len(second)))
    for row, mask in enumerate(_packed(first)):
        intersection = np.bitwise_count(packed & mask).sum(axis=1, dtype=np.int64)
        union = np.bitwise_count(packed | mask).sum(axis=1, dtype=np.int64)
        overlaps[row] = intersection / np.maximum(union, 1)
    return overlaps


def _packed(masks: np.ndarray) -> np.ndarray:
    """Eight pixels a byte: (K, ceil(H * W / 8)) uint8."""
    return np.packbits(masks.reshape(len(masks), masks.shape[1] * masks.shape[2]), axis=1)


def suppress(
    masks: Array, scores: Array, iou_threshold: float, previous_masks: Array | None = None, previous_scores: Array | None = None
) -> tuple[Array, Array]:
    """Non-maximum suppression among a frame's candidates, then against the tracklets that already cross the frame.

    As the authors' code does it: candidates that a candidate suppressed stay so even where it is dropped in favour of a
    previous tracklet; previous tracklets beaten by it before that stay deleted, unless no candidate is kept at all.

    Args:
        masks: (K, H, W) bool, candidates of one frame.
        scores: (K,) their object scores.
        iou_threshold: Overlap above which (strictly) two masks are the same thing.
        previous_masks: (P, H, W) bool, earlier tracklets on this frame.
        previous_scores: (P,) their object scores.

    Returns:
        `kept` (n,) int64 by falling score, and `deleted_previous` (m,) int64 ascending; of the kind of `masks`.
    """
    xp = namespace(masks)
    candidates = to_numpy(masks)
    earlier = np.zeros((0, *candidates.shape[1:]), bool) if previous_masks is None else to_numpy(previous_masks)
    earlier_scores = np.zeros(0) if previous_scores is None else to_numpy(previous_scores)
    among, against = mask_overlaps(candidates, candidates), mask_overlaps(candidates, earlier)
    kept, deleted = suppress_overlapping(among, to_numpy(scores), against, earlier_scores, iou_threshold)
    device = array_api_compat.device(masks)
    return xp.asarray(np.array(kept, np.int64), device=device), xp.asarray(np.array(deleted, np.int64), device=device)


def suppress_overlapping(
    among: np.ndarray, scores: np.ndarray, against: np.ndarray, previous_scores: np.ndarray, iou_threshold: float
) -> tuple[list[int], list[int]]:
    """`suppress` on overlaps that are known already.

    Args:
        among: (K, K) overlaps of the candidates.
        scores: (K,) their object scores.
        against: (K, P) overlaps with previous tracklets.
        previous_scores: (P,) their object scores.
        iou_threshold: Overlap above which (strictly) two masks are the same thing.

    Returns:
        Kept candidates by falling score, and deleted previous tracklets ascending.
    """
    open_candidates = np.ones(len(scores), bool)
    kept: list[int] = []
    deleted: set[int] = set()
    for candidate in np.argsort(-scores, kind="stable"):
        if not open_candidates[candidate]:
            continue
        open_candidates &= among[candidate] <= iou_threshold
        same = np.flatnonzero(against[candidate] > iou_threshold)
        stronger = np.flatnonzero(previous_scores[same] >= scores[candidate])
        beaten = same[: stronger[0]] if len(stronger) else same
        deleted.update(beaten.tolist())
        if not len(stronger):
            kept.append(int(candidate))
    return (kept, sorted(deleted)) if kept else ([], [])


def keep_tracklets(object_scores: Array, consistency: Array, threshold: float) -> Array:
    """Tracklets whose mean score is above the threshold, or the best one where none is.

    The score is (V_p + IoU + s_ac) / 3; the comparison is strict, unlike the paper's.

    Args:
        object_scores: (K,) V_p + predicted IoU, in [0, 2].
        consistency: (K,) attention consistency s_ac.
        threshold: Keep above this.

    Returns:
        (n,) int64 ascending, of the same kind and on the same device; empty only for K = 0.
    """
    scores = to_numpy((object_scores + consistency) / 3)
    xp = namespace(object_scores, consistency)
    return xp.asarray(keep_above(scores, threshold), device=array_api_compat.device(object_scores))


def keep_above(scores: np.ndarray, threshold: float, otherwise_best: bool = True) -> np.ndarray:
    """Indices of scores strictly above a threshold, (n,) int64 ascending; the best one, if wanted, where none is.

    Args:
        scores: (K,) one per tracklet.
        threshold: Keep above this.
        otherwise_best: Whether something is kept at any rate.
    """
    kept = np.flatnonzero(scores > threshold)
    return np.array([scores.argmax()]) if otherwise_best and len(scores) and not len(kept) else kept


def find_tracklets(
    session: SegmenterSession, key: KeyFrames, suppress_above: float, on_frame: Callable[[], object] = lambda: None
) -> Tracklets:
    """Prompt every key frame that has points, in time order, and follow what survives suppression over all key frames.

    Args:
        session: A segmenter's session on the clip.
        key: Sampled frames, maps and points.
        suppress_above: Overlap above which (strictly) two masks are the same thing.
        on_frame: Called after each key frame.

    Returns:
        Every candidate left at the end.
    """
    overlaps = session.overlaps if isinstance(session, OverlapSession) else mask_overlaps
    found: list[Tracklet] = []
    heat = key.heat.numpy()
    for position, frame in enumerate(key.indices.tolist()):
        here = key.points.at(position)
        if len(here):
            candidates = session.masks_at(frame, here, heat[position])
            scores = here.candidate_scores() + candidates.predicted_iou
            previous = np.stack([tracklet.track.mask(position) for tracklet in found]) if found else candidates.masks[:0]
            kept, deleted = suppress_overlapping(
                overlaps(candidates.masks, candidates.masks),
                scores,
                overlaps(candidates.masks, previous),
                np.array([tracklet.object_score for tracklet in found]),
                suppress_above,
            )
            found = [tracklet for index, tracklet in enumerate(found) if index not in deleted]
            found += _followed(session, key, position, here, candidates, kept)
        on_frame()
    return Tracklets(tuple(found))


def follow_kept(session: SegmenterSession, kept: Sequence[Tracklet], key: KeyFrames, length: int) -> tuple[MaskTrack, ...]:
    """Prompt kept tracklets again by their mask on their own key frame, and follow them over the whole clip.

    Tracklets of one key frame are followed together; groups of different key frames share no memory, but a session may take all
    of them through the clip at once. The prompt is the tracklet's mask after propagation, not the mask that its point gave.

    Args:
        session: A segmenter's session on the clip.
        kept: Tracklets to follow.
        key: Sampled frames and maps.
        length: Frames of the clip.

    Returns:
        One track of `length` frames per tracklet, in their order.
    """
    starts = sorted({tracklet.prompt_frame for tracklet in kept})
    groups = [[index for index, tracklet in enumerate(kept) if tracklet.prompt_frame == start] for start in starts]
    prompts = [
        (int(key.indices[start]), np.stack([kept[index].track.mask(start) for index in group]))
        for start, group in zip(starts, groups, strict=True)
    ]
    recorders = [_Recorder(len(masks), masks.shape[1:], range(length), grid=None) for _, masks in prompts]
    for number, item in _sweep(session, prompts, range(length), key):
        recorders[number].record(item)
    tracks: dict[int, MaskTrack] = {}
    for group, recorder in zip(groups, recorders, strict=True):
        tracks.update(zip(group, recorder.tracks(), strict=True))
    return tuple(tracks[index] for index in range(len(kept)))


def _sweep(
    session: SegmenterSession, prompts: Sequence[tuple[int, np.ndarray]], frames: Sequence[int], key: KeyFrames
) -> Iterator[tuple[int, FrameMasks]]:
    """Which prompt, and its masks on a frame: all prompts together where the session offers that, else one after another."""
    if isinstance(session, SweepSession):
        yield from session.propagate_together(prompts, frames, key.heat, key.indices)
        return
    for number, (frame, masks) in enumerate(prompts):
        for item in session.propagate(frame, masks, frames, key.heat, key.indices):
            yield number, item


class _Recorder:
    """Collects what a propagation streams: codes always, logits where tracklets are judged by them."""

    def __init__(self, objects: int, size: tuple[int, int], frames: Sequence[int], grid: tuple[int, int] | None) -> None:
        self._size, self._grid = size, grid
        self._place = {clip_index: position for position, clip_index in enumerate(frames)}
        self._codes: list[list[rle.Rle | None]] = [[None] * len(frames) for _ in range(objects)]
        self._logits: dict[int, np.ndarray] = {}
        self._seen: set[int] = set()

    def record(self, item: FrameMasks) -> None:
        """Take the masks of one frame; each wanted one must come once."""
        if item.frame in self._seen or item.frame not in self._place:
            how = "twice" if item.frame in self._seen else "unasked"
            raise SegmenterError(f"the segmenter gave frame {item.frame} {how}; each asked frame must come once.")
        if len(item.masks) != len(self._codes):
            found = f"{counted(len(item.masks), 'mask')} on frame {item.frame} for {counted(len(self._codes), 'object')}"
            raise SegmenterError(f"the segmenter gave {found}; each object must have one.")
        self._seen.add(item.frame)
        place = self._place[item.frame]
        for codes, mask in zip(self._codes, item.masks, strict=True):
            codes[place] = rle.encode(mask) if mask.any() else None
        if self._grid:
            self._logits[place] = _logits(item, self._grid)

    def tracks(self) -> tuple[MaskTrack, ...]:
        """One track per object."""
        missing = sorted(self._place.keys() - self._seen)
        if missing:
            raise SegmenterError(f"the segmenter gave no masks for frames {missing[:5]}; each asked frame must come once.")
        return tuple(MaskTrack(self._size, tuple(codes)) for codes in self._codes)

    def logits(self) -> np.ndarray:
        """(K, T, h', w') float16."""
        return np.stack([self._logits[place] for place in range(len(self._place))], axis=1)


def _logits(item: FrameMasks, grid: tuple[int, int]) -> np.ndarray:
    """Low-resolution logits of one frame; hard masks become +-10, averaged over the cells of the map's grid."""
    if item.logits is not None:
        return item.logits.astype(np.float16)
    return np.asarray((2 * area_average(item.masks.astype(np.float32), grid) - 1) * HARD_LOGIT, np.float16)


def _followed(
    session: SegmenterSession, key: KeyFrames, position: int, points: Points, candidates: Candidates, kept: Sequence[int]
) -> list[Tracklet]:
    """The kept candidates of one key frame as tracklets over all key frames."""
    if not kept:
        return []
    frames = key.indices.tolist()
    recorder = _Recorder(len(kept), candidates.masks.shape[1:], frames, grid=key.heat.values.shape[1:])
    for item in session.propagate(frames[position], candidates.masks[list(kept)], frames, key.heat, key.indices):
        recorder.record(item)
    tracklets = []
    for index, track, logits in zip(kept, recorder.tracks(), recorder.logits(), strict=True):
        own = points.candidate == np.unique(points.candidate)[index]
        prompt_xy = np.stack([points.x[own], points.y[own]], axis=1)
        attention, predicted_iou = float(points.score[own].max()), float(candidates.predicted_iou[index])
        tracklets.append(Tracklet(position, prompt_xy, attention, predicted_iou, track, logits))
    return tracklets
