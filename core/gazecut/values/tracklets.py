"""Candidates of a segmenter, and tracklets: candidates followed over the sampled frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gazecut.errors import ShapeError
from gazecut.values.check import check_dtype, check_finite, check_shape
from gazecut.values.masks import MaskTrack

HARD_LOGIT = 10.0


@dataclass(frozen=True, eq=False)
class Candidates:
    """What a segmenter made of one frame's points.

    Attributes:
        masks: (K, H, W) bool at the clip's size, candidates ascending.
        predicted_iou: (K,) float32 in [0, 1], the segmenter's own trust in each mask.

    Raises:
        ShapeError: Masks and trust do not fit each other or their form, or a trust is not finite.
    """

    masks: np.ndarray
    predicted_iou: np.ndarray

    def __post_init__(self) -> None:
        check_shape("candidates.masks", self.masks, ("K", "H", "W"))
        check_dtype("candidates.masks", self.masks, "bool")
        check_shape("candidates.predicted_iou", self.predicted_iou, (len(self.masks),))
        check_finite("candidates.predicted_iou", self.predicted_iou, "one finite number per candidate")


@dataclass(frozen=True, eq=False)
class FrameMasks:
    """Masks of all propagated objects on one frame.

    Attributes:
        frame: Index into the clip.
        masks: (K, H, W) bool, objects in the order they were given.
        logits: (K, h', w') float16 at the segmenter's low resolution, or None for a segmenter without (hard masks).
    """

    frame: int
    masks: np.ndarray
    logits: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_shape("frame masks", self.masks, ("K", "H", "W"))
        check_dtype("frame masks", self.masks, "bool")
        if self.logits is not None:
            check_shape("frame logits", self.logits, (len(self.masks), "h", "w"))


@dataclass(frozen=True, eq=False)
class Tracklet:
    """One candidate followed over the T sampled frames.

    Attributes:
        prompt_frame: Index into the sampled frames of the frame that prompted it.
        prompt_xy: (n, 2) float64, its points on that frame, fractions of width and height.
        attention: Attention at its prompt, V_p in [0, 1].
        predicted_iou: The segmenter's trust in its mask on the prompt frame, in [0, 1].
        track: Its masks on the T sampled frames.
        logits: (T, h', w') float16; +-10 where the segmenter has hard masks only.
    """

    prompt_frame: int
    prompt_xy: np.ndarray
    attention: float
    predicted_iou: float
    track: MaskTrack
    logits: np.ndarray

    def __post_init__(self) -> None:
        check_shape("tracklet.logits", self.logits, (len(self.track), "h", "w"))
        if not 0 <= self.prompt_frame < len(self.track):
            raise ShapeError(f"tracklet.prompt_frame is {self.prompt_frame}; wanted 0 to {len(self.track) - 1}.")

    @property
    def object_score(self) -> float:
        """V_p + predicted IoU, in [0, 2] (DecAF, section 3.3: the order in which suppression goes)."""
        return self.attention + self.predicted_iou

    @property
    def masks(self) -> np.ndarray:
        """(T, H, W) bool on the sampled frames."""
        return self.track.masks()


@dataclass(frozen=True)
class Tracklets:
    """Every candidate that is left at the end of the key-frame loop, in the order the loop added them."""

    items: tuple[Tracklet, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Tracklet]:
        return iter(self.items)

    def __getitem__(self, index: int) -> Tracklet:
        return self.items[index]


@dataclass(frozen=True, eq=False)
class Judgement:
    """What a scorer says of K tracklets.

    Attributes:
        scores: (K,) float64, finite; larger is better.
        kept: (K,) bool, by the scorer's keep rule.
        consistency: (K,) float64 agreement with the attention, or None for scorers without.
        reasons: Why each was kept or not, K short phrases such as "not above 0.8"; None for scorers that do not tell.
        fallback: The kept ones missed the rule, and stay only because something shall. Where a clip is looked at in windows, of which
            most may not show the object at all, that is no reason to keep any.
    """

    scores: np.ndarray
    kept: np.ndarray
    consistency: np.ndarray | None = None
    reasons: tuple[str, ...] | None = None
    fallback: bool = False

    def __post_init__(self) -> None:
        check_shape("judgement.scores", self.scores, ("K",))
        check_shape("judgement.kept", self.kept, (len(self.scores),))
        check_dtype("judgement.kept", self.kept, "bool")
        check_finite("judgement.scores", self.scores, "one finite number per tracklet")
        if self.consistency is not None:
            check_shape("judgement.consistency", self.consistency, (len(self.scores),))
        if self.reasons is not None and len(self.reasons) != len(self.scores):
            raise ShapeError(f"judgement.reasons has {len(self.reasons)} phrases; wanted one per tracklet, {len(self.scores)}.")
