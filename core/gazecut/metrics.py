"""Region similarity J and contour accuracy F of DAVIS (Perazzi et al., CVPR 2016, section 5), frame by frame."""

from __future__ import annotations

import cv2
import numpy as np

from gazecut.errors import ShapeError


def region_similarity(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """J: intersection over union of each frame; 1 where both are empty.

    Args:
        truth: (T, H, W) bool.
        prediction: (T, H, W) bool.

    Returns:
        (T,) float64 in [0, 1].

    Raises:
        ShapeError: The two differ in shape.
    """
    _check_pair(truth, prediction)
    axes = (1, 2)
    intersection = np.logical_and(truth, prediction).sum(axes)
    union = np.logical_or(truth, prediction).sum(axes)
    return np.where(union == 0, 1.0, intersection / np.maximum(union, 1))


def contour_accuracy(truth: np.ndarray, prediction: np.ndarray, bound: float = 0.008) -> np.ndarray:
    """F: harmonic mean of contour precision and recall within a tolerance.

    Args:
        truth: (T, H, W) bool.
        prediction: (T, H, W) bool.
        bound: Tolerance as a fraction of the frame's diagonal when below 1, else in pixels.

    Returns:
        (T,) float64 in [0, 1]; 1 where both contours are empty, 0 where one is.

    Raises:
        ShapeError: The two differ in shape.
    """
    _check_pair(truth, prediction)
    tolerance = bound if bound >= 1 else np.ceil(bound * np.hypot(*truth.shape[1:]))
    disk = _disk(int(tolerance))
    return np.array([_contour_f(_contour(a), _contour(b), disk) for a, b in zip(truth, prediction, strict=True)], np.float64)


def _check_pair(truth: np.ndarray, prediction: np.ndarray) -> None:
    if truth.ndim != 3 or truth.shape != prediction.shape:
        raise ShapeError(f"truth has shape {truth.shape}, prediction {prediction.shape}; wanted the same (T, H, W) of both.")


def _disk(radius: int) -> np.ndarray:
    offset = np.arange(-radius, radius + 1)
    return (offset[:, None] ** 2 + offset**2 <= radius**2).astype(np.uint8)


def _contour(mask: np.ndarray) -> np.ndarray:
    """Pixels that differ from their east, south or south-east neighbour (beyond the edge: from the edge's own repeat)."""
    padded = np.pad(np.asarray(mask, bool), ((0, 1), (0, 1)), mode="edge")
    here = padded[:-1, :-1]
    contour = (here ^ padded[:-1, 1:]) | (here ^ padded[1:, :-1]) | (here ^ padded[1:, 1:])
    contour[-1, -1] = False
    return np.asarray(contour)


def _contour_f(truth: np.ndarray, prediction: np.ndarray, disk: np.ndarray) -> float:
    if not truth.any() or not prediction.any():
        return float(truth.any() == prediction.any())
    near_truth = cv2.dilate(truth.astype(np.uint8), disk).astype(bool)
    near_prediction = cv2.dilate(prediction.astype(np.uint8), disk).astype(bool)
    precision = (prediction & near_truth).sum() / prediction.sum()
    recall = (truth & near_prediction).sum() / truth.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0
