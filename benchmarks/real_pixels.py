"""Masks on real video, apart from any MLLM: a blurred, noisy truth stands in for the attention.

    python benchmarks/real_pixels.py                               both segmenters, table to benchmarks/results/real_pixels.md
    python benchmarks/real_pixels.py --segmenter classical --output classical.md

Reads DAVIS sequences from ../shared/data/davis_mini. The stand-in is the union of a frame's objects, averaged over the cells
of a 14 x 26 grid on 16 uniform frames, blurred by one cell, with noise of standard deviation 0.1. Everything after the maps is
what the recipe `pocket` does. J and F are means over all frames; these are four sequences, not Ref-DAVIS17.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy loads; waiting threads of it would count as CPU time

import cv2
import numpy as np
from pages import publish, typed
from PIL import Image

from gazecut import Pipeline
from gazecut.arrays import unit_range
from gazecut.manifest import machine_name
from gazecut.metrics import contour_accuracy, region_similarity
from gazecut.resize import area_average

DATA = Path(__file__).parents[2] / "shared" / "data" / "davis_mini" / "valid"
SEQUENCES = ("blackswan", "car-shadow", "dogs-jump", "libby")
GRID = (14, 26)
KEY_FRAMES = 16
BLUR, NOISE = 1.0, 0.1  # standard deviations, in cells and in units of the map


@dataclass(frozen=True)
class Score:
    """One segmenter on one sequence.

    Attributes:
        frames: Length of the clip.
        size: (H, W) in pixels.
        jaccard: Mean J over all frames.
        contour: Mean F over all frames.
        seconds: CPU time of the whole call: decoding, points, key-frame loop, masks.
    """

    frames: int
    size: tuple[int, int]
    jaccard: float
    contour: float
    seconds: float


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segmenter", nargs="+", default=["classical", "attention"], help="segmenters to compare (default both)")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "real_pixels.md", help="where the table goes")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        parser.error(f"no folder {DATA}; lay the sequences {', '.join(SEQUENCES)} of DAVIS there: JPEGImages/NAME and Annotations/NAME")
    cv2.setNumThreads(1)
    scores = {segmenter: [score(segmenter, name) for name in SEQUENCES] for segmenter in arguments.segmenter}
    publish(report(scores), arguments.output)


def score(segmenter: str, name: str, data: Path = DATA) -> Score:
    """Segment one sequence from its stand-in for the attention.

    Args:
        segmenter: A segmenter's name.
        name: A DAVIS sequence.
        data: Folder with JPEGImages and Annotations.
    """
    truth = truth_of(name, data)
    maps, indices = stand_in(truth)
    pipeline = Pipeline.from_recipe("decaf-qwen2.5-vl-7b", overrides={"segmenter.use": segmenter}, device="cpu", cache=False)
    start = time.process_time()
    result = pipeline.segment_maps(data / "JPEGImages" / name, maps, indices)
    seconds = time.process_time() - start
    masks = result.masks
    jaccard, contour = region_similarity(truth, masks).mean(), contour_accuracy(truth, masks).mean()
    return Score(len(truth), truth.shape[1:], float(jaccard), float(contour), seconds)


def truth_of(name: str, data: Path = DATA) -> np.ndarray:
    """Union of a sequence's annotated objects, (T, H, W) bool."""
    paths = sorted((data / "Annotations" / name).glob("*.png"))
    return np.stack([np.asarray(Image.open(path)) > 0 for path in paths])


def stand_in(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a good attention map could look like, made from the truth.

    Args:
        truth: (T, H, W) bool.

    Returns:
        Maps (16, 14, 26) float32 in [0, 1] over the whole clip, and the frames (16,) int64 that they belong to.
    """
    indices = np.linspace(0, len(truth) - 1, KEY_FRAMES).astype(np.int64)
    covered = area_average(truth[indices].astype(np.float64), GRID)
    blurred = np.stack([cv2.GaussianBlur(cells, (0, 0), BLUR, borderType=cv2.BORDER_REFLECT) for cells in covered])
    noisy = blurred + np.random.default_rng(0).normal(0, NOISE, blurred.shape)
    return np.asarray(unit_range(noisy.clip(0, 1)), np.float32), indices


def report(scores: Mapping[str, Sequence[Score]]) -> str:
    """The table as Markdown, with how it was measured."""
    head = "".join(f" {segmenter} J | F | frames/s |" for segmenter in scores)
    lines = [f"| sequence | frames | size |{head}", "| --- " * (3 + 3 * len(scores)) + "|"]
    for row, name in enumerate(SEQUENCES):
        one = [entries[row] for entries in scores.values()]
        cells = "".join(f" {entry.jaccard:.3f} | {entry.contour:.3f} | {entry.frames / entry.seconds:.1f} |" for entry in one)
        lines.append(f"| {name} | {one[0].frames} | {one[0].size[1]} x {one[0].size[0]} |{cells}")
    means = "".join(
        f" {np.mean([entry.jaccard for entry in entries]):.3f} | {np.mean([entry.contour for entry in entries]):.3f} | |"
        for entries in scores.values()
    )
    lines.append(f"| **mean** | | |{means}")
    return "\n".join(
        [
            "# Masks on real video, from a stand-in for the attention",
            "",
            f"`{typed()}` on {machine_name()}, one thread.",
            "The attention is the truth, averaged over a 14 x 26 grid on 16 frames, blurred by a cell, with noise of 0.1.",
            "Frames per second: frames of the clip by CPU seconds of everything after the maps, image decoding included.",
            "",
            *lines,
            "",
            "Four DAVIS sequences, semi-supervised masks, union of objects: not to be quoted as Ref-DAVIS17.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
