"""Figure and ground by GrabCut: seeds from a map, colour models from small images, one cut at full detail.

Learning the colour models is the slow part and needs no detail, so it happens on small images, several of them in one
mosaic where they share their models; the cut that follows keeps the models fixed and looks only where seeds are open.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from gazecut_segmenter.frames import resized

GAUSSIANS = 5  # of each colour model: OpenCV needs as many pixels of figure and of ground
MODEL_LENGTH = 13 * GAUSSIANS  # weight, mean and covariance of each
SEEDS = 2**31  # that OpenCV's generator tells apart; a larger one is an error to it
MARGIN = 8  # px of ground around the open seeds that a cut still looks at


def heat_seeds(heat: np.ndarray, figure: float, ground: float) -> np.ndarray:
    """Seeds of one map, by where its values lie around Otsu's threshold t.

    Args:
        heat: (h, w) floating in [0, 1].
        figure: Share of the way from t up to the peak at which pixels are figure for sure.
        ground: Share of t below which pixels are ground for sure.

    Returns:
        (h, w) uint8 GrabCut labels, split at t in between; a constant map is ground for sure.
    """
    levels = (heat * 255).astype(np.uint8)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    peak = int(levels.max())
    if levels.min() == peak:
        return np.full(levels.shape, cv2.GC_BGD, np.uint8)
    seeds = np.where(levels > threshold, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    seeds[levels >= threshold + figure * (peak - threshold)] = cv2.GC_FGD
    seeds[levels < ground * threshold] = cv2.GC_BGD
    return seeds


def learn_colors(images: Sequence[np.ndarray], seeds: Sequence[np.ndarray], longest_side: int, seed: int) -> np.ndarray | None:
    """Colours of ground and figure over several seeded images together.

    Args:
        images: n images (h, w, 3) uint8 of one size.
        seeds: Their labels, (h, w) uint8.
        longest_side: Longer side of the small images that are looked at, in pixels.
        seed: Of the random numbers that start the clustering.

    Returns:
        (2, 65) float64, OpenCV's mixtures of ground and figure, or None where one of them has too few pixels for one.
    """
    height, width = images[0].shape[:2]
    scale = min(1.0, longest_side / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    mosaic = np.concatenate([resized(image, size) for image in images])
    labels = np.concatenate([cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST) for labels in seeds])
    figure = np.count_nonzero(labels & 1)
    if min(figure, labels.size - figure) < GAUSSIANS:
        return None
    ground_model, figure_model = np.zeros((1, MODEL_LENGTH)), np.zeros((1, MODEL_LENGTH))
    cv2.setRNGSeed(seed % SEEDS)
    cv2.grabCut(mosaic, labels, (0, 0, 1, 1), ground_model, figure_model, 2, cv2.GC_INIT_WITH_MASK)
    return np.concatenate([ground_model, figure_model])


def cut(image: np.ndarray, seeds: np.ndarray, colors: np.ndarray | None) -> np.ndarray:
    """Figure of one image under fixed colours.

    Args:
        image: (h, w, 3) uint8.
        seeds: (h, w) uint8 labels.
        colors: (2, 65) float64 as learned; None takes the seeds as they are.

    Returns:
        (h, w) uint8, 0 or 1.
    """
    figure = (seeds & 1).astype(np.uint8)
    if colors is None:
        return figure
    count, islands, boxes, _ = cv2.connectedComponentsWithStats((seeds != cv2.GC_BGD).astype(np.uint8))
    figured = np.unique(islands[figure > 0])
    for island in range(1, count):
        left, top, width, height = boxes[island, :4]
        window = (slice(max(top - MARGIN, 0), top + height + MARGIN), slice(max(left - MARGIN, 0), left + width + MARGIN))
        if island in figured:
            inside = islands[window] == island
            figure[window][inside] = _cut_window(image[window], np.where(inside, seeds[window], np.uint8(cv2.GC_BGD)), colors)[inside]
    return figure


def _cut_window(image: np.ndarray, seeds: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Figure (h, w) uint8, 0 or 1, of one window; its seeds are overwritten."""
    ground, figure = colors[:1].copy(), colors[1:].copy()
    if (seeds & 1).all() or not (seeds & 1).any():
        return seeds & 1
    cv2.grabCut(np.ascontiguousarray(image), seeds, (0, 0, 1, 1), ground, figure, 1, cv2.GC_EVAL_FREEZE_MODEL)
    return seeds & 1
