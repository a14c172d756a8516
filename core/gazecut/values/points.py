"""Point prompts for a segmenter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gazecut.errors import ShapeError
from gazecut.values.check import check_dtype, check_shape


@dataclass(frozen=True, eq=False)
class Points:
    """P points as columns; several rows may belong to one candidate (several clicks, negatives, box corners).

    Attributes:
        frame: (P,) int64, index into the sampled frames, ascending.
        candidate: (P,) int64, which object of its frame a point prompts, from 0 in each frame.
        x: (P,) float64 in [0, 1], fraction of the frame's width.
        y: (P,) float64 in [0, 1], fraction of the frame's height.
        label: (P,) int64: 1 on the object, 0 beside it, 2 and 3 top-left and bottom-right corner of a box.
        score: (P,) float64, attention at the point, in [0, 1].

    Raises:
        ShapeError: Columns of different length or dtype, or a coordinate outside [0, 1].
    """

    frame: np.ndarray
    candidate: np.ndarray
    x: np.ndarray
    y: np.ndarray
    label: np.ndarray
    score: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.frame)
        for name in ("frame", "candidate", "label"):
            check_shape(f"points.{name}", getattr(self, name), (count,))
            check_dtype(f"points.{name}", getattr(self, name), "int64")
        for name in ("x", "y", "score"):
            check_shape(f"points.{name}", getattr(self, name), (count,))
            check_dtype(f"points.{name}", getattr(self, name), "float64")
        for name in ("x", "y"):
            column = getattr(self, name)
            if count and not (column.min() >= 0 and column.max() <= 1):
                raise ShapeError(f"points.{name} spans {column.min():g} to {column.max():g}; wanted fractions in [0, 1].")
        if count and (np.diff(self.frame) < 0).any():
            raise ShapeError("points.frame goes back in time; wanted points frame by frame, ascending.")

    @classmethod
    def single_clicks(cls, rows: np.ndarray) -> Points:
        """One positive click per candidate.

        Args:
            rows: (P, 4) floating: frame, x, y, score.
        """
        check_shape("point rows", rows, ("P", 4))
        frame = rows[:, 0].astype(np.int64)
        candidate = np.arange(len(rows)) - np.searchsorted(frame, frame)
        x, y, score = rows[:, 1:].astype(np.float64).T
        return cls(frame, candidate, x, y, np.ones(len(rows), np.int64), score)

    def __len__(self) -> int:
        return len(self.frame)

    def at(self, frame: int) -> Points:
        """The points of one sampled frame."""
        here = self.frame == frame
        return Points(self.frame[here], self.candidate[here], self.x[here], self.y[here], self.label[here], self.score[here])

    def candidate_scores(self) -> np.ndarray:
        """Best attention of each candidate's points, (K,) float64, candidates ascending; of one frame's points."""
        return np.array([self.score[self.candidate == candidate].max() for candidate in np.unique(self.candidate)], np.float64)
