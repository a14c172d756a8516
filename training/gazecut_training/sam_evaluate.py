"""What a checkpoint of the pocket SAM 2 can do, through the session that recipes use.

  python -m gazecut_training.sam_evaluate CHECKPOINT [--scenes 60] [--first-seed 80000]

Scenes are the pocket world's own and those of `sam_scenes`, at 256 px. Clicks: IoU of the mask that predicted IoU chooses, for a pixel of
a visible object drawn at random and for its innermost one, and how well predicted IoU tells objects from background. Following: J over
all frames but the prompted one where the object is seen, and how often frames without it come out empty.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from transformers import Sam2VideoModel

from gazecut.clip import open_clip
from gazecut.values import HeatMaps, Points
from gazecut.work import Work
from gazecut.world import Plan, paint, plan
from gazecut_segmenter.config import Sam2HfOptions
from gazecut_segmenter.sam2_files import Checkpoint
from gazecut_segmenter.sam2_hf import HfNetwork
from gazecut_segmenter.sam2_session import Sam2Session
from gazecut_segmenter.sam2_weights import load
from gazecut_training.config import TRAINING_SEEDS
from gazecut_training.sam_scenes import hard_plan

Kind: TypeAlias = Literal["world", "hard"]
Prompt: TypeAlias = Literal["mask", "click"]
Way: TypeAlias = Literal["forward", "backward", "both ways"]

SIZE: Final = 256  # px, as the demo's frames
VISIBLE: Final = 160  # px of an object that is clicked at, 40 at 128 px
FOLLOWED: Final = 120  # px of an object that is followed from a frame
COUNTED: Final = 60  # px of an object whose J on a frame counts
EMPTY: Final = 48  # px that a frame without the object may have and still be called empty
DIP: Final = 0.6  # an object whose smallest area is below this share of its largest is occluded or leaves
BESIDE: Final = 4  # clicks on the background of each frame
NO_HEAT: Final = HeatMaps(np.zeros((1, 1, 1), np.float32))
KINDS: Final[tuple[Kind, ...]] = ("world", "hard")
WAYS: Final[tuple[Way, ...]] = ("forward", "backward", "both ways")


@dataclass(frozen=True)
class Clicked:
    """One click.

    Attributes:
        kind: Whose scene it was in.
        where: "random" or "centre" of an object, or "beside" all.
        iou: Of the chosen mask; 0 beside.
        trust: Predicted IoU.
    """

    kind: Kind
    where: Literal["random", "centre", "beside"]
    iou: float
    trust: float


@dataclass(frozen=True)
class Followed:
    """One object followed from one frame.

    Attributes:
        kind: Whose scene it was in.
        length: Frames of the clip.
        prompt: What it was prompted by.
        way: Where it was followed to.
        dips: Whether it is occluded or leaves.
        similarity: J of each frame but the prompted one where it is seen.
        empty: Of each frame without it, whether it came out empty.
    """

    kind: Kind
    length: int
    prompt: Prompt
    way: Way
    dips: bool
    similarity: NDArray[np.float64]
    empty: NDArray[np.bool_]


class Examiner:
    """Opens sessions of one checkpoint, or of a model that was made of it."""

    def __init__(self, checkpoint: Path, model: Sam2VideoModel | None = None) -> None:
        self._network = HfNetwork(load(Checkpoint(checkpoint)) if model is None else model)
        self._options = Sam2HfOptions(weights=str(checkpoint))

    def clicks(self, kind: Kind, seeds: Iterable[int]) -> Iterator[Clicked]:
        """Click at every object that is seen on two frames of each scene, and beside all."""
        for seed in seeds:
            frames, labels = paint(scene_of(kind, seed), np.array([0.3, 0.8]), SIZE)
            rng = np.random.default_rng([seed, 3])
            with self._session(frames) as session:
                for frame, label in enumerate(labels):
                    yield from self._clicked(kind, session, frame, label, rng)

    def following(self, kind: Kind, seeds: Iterable[int], length: int) -> Iterator[Followed]:
        """Follow every object that is seen on the prompted frame of each scene, by mask and by click, every way."""
        for seed in seeds:
            frames, labels = paint(scene_of(kind, seed), np.linspace(0.0, 1.0, length), SIZE)
            with self._session(frames) as session:
                for way, start in zip(WAYS, (0, length - 1, length // 2), strict=True):
                    shown = objects_in(labels[start], FOLLOWED)
                    truth = np.array([labels == each for each in shown])  # (K, T, H, W)
                    for prompt in ("mask", "click") if shown else ():
                        masks = truth[:, start] if prompt == "mask" else _masks_of_clicks(session, start, truth[:, start])
                        found = np.zeros_like(truth)
                        for item in session.propagate(start, masks, range(length), NO_HEAT, np.array([start])):
                            found[:, item.frame] = item.masks
                        for one, other in zip(truth, found, strict=True):
                            yield _judged(kind, prompt, way, start, one, other)

    def _session(self, frames: NDArray[np.uint8]) -> Sam2Session:
        return Sam2Session(open_clip(frames), self._network, self._options, Work())

    def _clicked(
        self, kind: Kind, session: Sam2Session, frame: int, label: NDArray[np.uint8], rng: np.random.Generator
    ) -> Iterator[Clicked]:
        masks = [label == each for each in objects_in(label, VISIBLE)]
        random = [_pixel(rng, mask) for mask in masks]
        beside = [_pixel(rng, label == 0) for _ in range(BESIDE)] if (label == 0).any() else []
        truths = [*masks, *masks, *[np.zeros_like(label, bool)] * len(beside)]
        wheres: list[Literal["random", "centre", "beside"]] = ["random"] * len(masks)
        wheres += ["centre"] * len(masks)
        wheres += ["beside"] * len(beside)
        points = [*random, *[centre(mask) for mask in masks], *beside]
        found = session.masks_at(frame, _as_points(points), np.zeros((1, 1), np.float32))
        for where, truth, mask, trust in zip(wheres, truths, found.masks, found.predicted_iou, strict=True):
            yield Clicked(kind, where, similarity(truth, mask), float(trust))


def scene_of(kind: Kind, seed: int) -> Plan:
    """The scene of a seed, the pocket world's own or a hard one."""
    return plan(seed) if kind == "world" else hard_plan(seed)


def objects_in(label: NDArray[np.uint8], pixels: int) -> list[int]:
    """Labels with at least so many pixels."""
    return [number for number in range(1, int(label.max()) + 1) if (label == number).sum() >= pixels]


def centre(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """The innermost pixel of a mask, x and y in [0, 1]."""
    inside = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = divmod(int(inside.argmax()), mask.shape[1])
    return (column + 0.5) / mask.shape[1], (row + 0.5) / mask.shape[0]


def similarity(truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> float:
    """Intersection over union; 0 for two empty masks."""
    return float((truth & found).sum() / max(1, (truth | found).sum()))


def separation(inside: Sequence[float], outside: Sequence[float]) -> float:
    """Area under the ROC curve: how often a value from inside is larger than one from outside, ties for half."""
    one, other = np.asarray(inside)[:, None], np.asarray(outside)[None]
    return float((one > other).mean() + 0.5 * (one == other).mean())


def _judged(kind: Kind, prompt: Prompt, way: Way, start: int, truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> Followed:
    areas = truth.sum((1, 2))
    others = np.arange(len(truth)) != start
    counted = np.flatnonzero(others & (areas >= COUNTED))
    absent = np.flatnonzero(others & (areas == 0))
    return Followed(
        kind=kind,
        length=len(truth),
        prompt=prompt,
        way=way,
        dips=bool(areas.min() < DIP * areas.max()),
        similarity=np.array([similarity(truth[i], found[i]) for i in counted]),
        empty=np.array([found[i].sum() < EMPTY for i in absent], bool),
    )


def _masks_of_clicks(session: Sam2Session, frame: int, truth: NDArray[np.bool_]) -> NDArray[np.bool_]:
    points = _as_points([centre(mask) for mask in truth])
    return np.asarray(session.masks_at(frame, points, np.zeros((1, 1), np.float32)).masks)


def _as_points(places: Sequence[tuple[float, float]]) -> Points:
    return Points.single_clicks(np.array([(0.0, x, y, 1.0) for x, y in places]).reshape(-1, 4))


def _pixel(rng: np.random.Generator, mask: NDArray[np.bool_]) -> tuple[float, float]:
    places = np.flatnonzero(mask)
    row, column = divmod(int(places[rng.integers(len(places))]), mask.shape[1])
    return (column + 0.5) / mask.shape[1], (row + 0.5) / mask.shape[0]


def click_rows(clicks: Sequence[Clicked]) -> Iterator[tuple[str, float, int]]:
    """Name, figure and number of cases of what clicks are judged by."""
    for where in ("random", "centre"):
        ious = [each.iou for each in clicks if each.where == where]
        yield f"click, {where}: median IoU", float(np.median(ious)), len(ious)
        yield f"click, {where}: tenth percentile", float(np.quantile(ious, 0.1)), len(ious)
    inside = [each.trust for each in clicks if each.where == "random"]
    outside = [each.trust for each in clicks if each.where == "beside"]
    yield "object or background by predicted IoU: AUROC", separation(inside, outside), len(inside) + len(outside)


def following_rows(tracks: Sequence[Followed]) -> Iterator[tuple[str, float, int]]:
    """Name, figure and number of cases of what following is judged by."""
    lengths = sorted({each.length for each in tracks})
    for length in lengths:
        for prompt in ("mask", "click"):
            for way in WAYS:
                some = [each for each in tracks if (each.length, each.prompt, each.way) == (length, prompt, way)]
                yield f"{length} frames, {prompt}, {way}: J", mean(each.similarity for each in some), len(some)
    for length in lengths:
        dips = [each for each in tracks if each.length == length and each.dips]
        yield f"{length} frames, occluded or leaving: J", mean(each.similarity for each in dips), len(dips)
        absent = [each.empty for each in tracks if each.length == length]
        yield f"{length} frames, without the object: empty", mean(absent), sum(len(each) for each in absent)


def mean(parts: Iterable[NDArray[np.generic]]) -> float:
    """Mean over all values of all parts; nan for none."""
    values = np.concatenate([np.zeros(0), *parts])
    return float(values.mean()) if len(values) else float("nan")


def main() -> None:
    """Read the command line and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="folder that training wrote")
    parser.add_argument("--scenes", type=int, default=60, help="how many scenes of each kind (default: 60; half for 16 frames)")
    parser.add_argument("--first-seed", type=int, default=TRAINING_SEEDS, help="first seed (default: 80000, validation)")
    arguments = parser.parse_args()
    examiner = Examiner(arguments.checkpoint)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.scenes)
    for kind in KINDS:
        tracks = [*examiner.following(kind, seeds, 8), *examiner.following(kind, seeds[: len(seeds) // 2], 16)]
        for name, figure, count in (*click_rows(list(examiner.clicks(kind, seeds))), *following_rows(tracks)):
            print(f"{kind}  {name:48} {figure:.3f}  of {count}")  # noqa: T201 - what the command is for


if __name__ == "__main__":
    main()
