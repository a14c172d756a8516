"""What segmenting one expression gives: masks, and the evidence for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gazecut.interview import AnswerRecord, PromptWeights
from gazecut.output import write_output
from gazecut.protocols import Clip, Exporter
from gazecut.values import MaskTrack, Points, Tracklet


@dataclass(frozen=True)
class FoundObject:
    """One kept object.

    Attributes:
        id: From 1, in the order that the loop found them; its value in palette masks.
        score: Its tracklet's score.
        track: Its masks on every frame of the clip.
    """

    id: int
    score: float
    track: MaskTrack


@dataclass(frozen=True, eq=False)
class JudgedTracklet:
    """A candidate left at the end of the key-frame loop, with what the scorer said of it.

    Attributes:
        tracklet: The candidate.
        score: The scorer's score.
        kept: Whether it is part of the result.
        consistency: Its agreement with the attention; None for scorers without.
        reason: Why it was kept or not, in the scorer's words; None for scorers that do not tell.
    """

    tracklet: Tracklet
    score: float
    kept: bool
    consistency: float | None
    reason: str | None = None

    @property
    def prompt_frame(self) -> int:
        """Index into the sampled frames of the frame that prompted it."""
        return self.tracklet.prompt_frame

    @property
    def prompt_xy(self) -> np.ndarray:
        """Its points on that frame, (n, 2) fractions of width and height."""
        return self.tracklet.prompt_xy

    @property
    def object_score(self) -> float:
        """V_p + predicted IoU, in [0, 2]."""
        return self.tracklet.object_score

    @property
    def masks(self) -> np.ndarray:
        """Its masks on the sampled frames, (Ts, H, W) bool."""
        return self.tracklet.masks


@dataclass(frozen=True, eq=False)
class ResultMaps:
    """Heat maps on the sampled frames.

    Attributes:
        fused: (Ts, h, w) float32 in [0, 1].
        video: (Ts, h', w') float32 in [0, 1], the video view alone; None where it was not asked.
        frame: (Ts, h'', w'') float32 in [0, 1], the frame view alone; None where it was not asked.
    """

    fused: np.ndarray
    video: np.ndarray | None = None
    frame: np.ndarray | None = None


def suppressed_prompts(points: Points, tracklets: Sequence[JudgedTracklet], frames: int) -> np.ndarray:
    """How many candidates of each sampled frame left no tracklet, because a better one was the same thing.

    Args:
        points: What prompted the segmenter.
        tracklets: Every candidate left at the end of the loop.
        frames: Number of sampled frames Ts.

    Returns:
        (Ts,) int64.
    """
    prompted = np.array([len(np.unique(points.candidate[points.frame == frame])) for frame in range(frames)], np.int64)
    left = np.array([one.prompt_frame for one in tracklets], np.int64)
    return np.asarray(prompted - np.bincount(left, minlength=frames))


@dataclass(frozen=True, eq=False)
class Window:
    """One window of a clip that was looked at in windows, with its evidence for one expression.

    Attributes:
        frames: All frames that it saw, indices into the clip.
        own: Those whose masks are taken from it.
        frame_indices: (Ts,) int64, its sampled frames, indices into the clip.
        tracklets: Every candidate left at the end of its loop, on its sampled frames; without logits.
        objects: Ids of the result's objects that it shows.
        scores: Their scores in this window, in that order; the result has the best of all windows.
        answers: Everything asked about it, with the answers.
        category: The category chosen over its object answers; None where none was asked for.
        contrast: How far the attention for the object stands out of that for the background, in [0, 1]; None where that was not asked.
    """

    frames: range
    own: range
    frame_indices: np.ndarray
    tracklets: tuple[JudgedTracklet, ...]
    objects: tuple[int, ...]
    scores: tuple[float, ...]
    answers: tuple[AnswerRecord, ...]
    category: str | None
    contrast: float | None

    @property
    def best(self) -> JudgedTracklet | None:
        """The candidate with the best score; None where there is none."""
        return max(self.tracklets, key=lambda one: one.score, default=None)


@dataclass(frozen=True, eq=False)
class Result:
    """Masks of one expression on one clip.

    Of a clip that was looked at in windows, sampled frames are those of all windows, of each the ones among its own frames. Tracklets are
    those that such frames prompted: they are absent outside of their window, and have no logits. Answers, category and words are those
    of the window with the best score; `windows` has the others.

    Attributes:
        expression: As the user typed it; empty for `segment_maps`.
        clip: The clip.
        frame_indices: (Ts,) int64, the sampled frames.
        heatmaps: Where the model looked.
        points: What prompted the segmenter.
        tracklets: Every candidate left at the end of the loop.
        objects: The kept ones over the whole clip.
        answers: Everything asked, with the answers.
        category: The category chosen over all object answers; None where none was asked for.
        manifest: What is needed to repeat the run; what was measured stands under "measured".
        exporters: What `save` writes.
        prompt_weights: What each traced question's words weighed, in the order they were asked; none where model or attribution do not
            tell.
        windows: The windows in which the clip was looked at; none where it was looked at as a whole.
        remark: What people should know of it, such as how near the best candidate came where nothing was kept; empty for nothing.
    """

    expression: str
    clip: Clip
    frame_indices: np.ndarray
    heatmaps: ResultMaps
    points: Points
    tracklets: tuple[JudgedTracklet, ...]
    objects: tuple[FoundObject, ...]
    answers: tuple[AnswerRecord, ...]
    category: str | None
    manifest: Mapping[str, Any]
    exporters: Sequence[Exporter] = ()
    prompt_weights: tuple[PromptWeights, ...] = ()
    windows: tuple[Window, ...] = ()
    remark: str = ""

    @property
    def suppressed(self) -> np.ndarray:
        """As `suppressed_prompts` gives it, (Ts,) int64."""
        return suppressed_prompts(self.points, self.tracklets, len(self.frame_indices))

    def mask(self, frame: int) -> np.ndarray:
        """Union of all kept objects on one frame, (H, W) bool."""
        union = np.zeros(self.clip.size, bool)
        for found in self.objects:
            union |= found.track.mask(frame)
        return union

    @property
    def masks(self) -> np.ndarray:
        """Union of all kept objects, (T, H, W) bool; decodes the whole clip, so take `mask` for a long one."""
        return np.stack([self.mask(frame) for frame in range(self.clip.length)])

    def save(self, folder: str | Path, *, force: bool = False) -> Path:
        """Write everything that the recipe's exporters write; all of it or nothing. An earlier result there is replaced.

        Args:
            folder: Where to; made if it is not there.
            force: Write among files that Gazecut did not write, too.

        Returns:
            The folder.

        Raises:
            OutputError: The folder cannot be written, or holds other files.
        """
        return write_output(self, folder, self.exporters, force=force)

    def _repr_html_(self) -> str:
        """What notebooks show."""
        from gazecut.notebook import to_html

        return to_html(self)
