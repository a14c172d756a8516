"""Batches of rendered scenes with questions, each a pure function of (config, step)."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from gazecut.world import Body, Expression, Kind, Plan, expressions, paint, plan
from gazecut.world.paint import area
from gazecut_training.config import Config, Stage, View, training_seed
from gazecut_training.encoding import Block, around_vision, encode, opening
from gazecut_training.model import FRAME_SIZE, FRAMES, FRAMES_PER_SLOT, VIDEO_SIZE
from gazecut_training.packing import patch_windows
from gazecut_training.questions import Asker, Question, Shown, category_question, pick

GRIDS: Final[dict[View, tuple[int, int, int]]] = {  # slots and tokens (t, h, w)
    "crop": (1, 8, 8),
    "image": (1, 8, 8),
    "pair": (1, 8, 8),
    "frame": (1, 16, 16),
    "clip": (4, 8, 8),
}
STILL_VIEWS: Final = ("crop", "image", "frame")
VISIBLE: Final = 0.35  # share of a named object that must be seen
FILLER_CAPS: Final = (0, 3, 5, 10)  # most filler words in a batch, drawn evenly: padding follows the longest
SMALL_CLIPS: Final = 0.35  # share of frames that come from a 128 px clip, enlarged
LARGE_CLIPS: Final = 0.25  # share of clips that come from 256 px, reduced


@dataclass(frozen=True)
class Batch:
    """Scenes in one view with their questions, or questions without vision.

    Attributes:
        view: How the scenes are shown, or "text".
        patches: (S * windows, 64, F) uint8 from `patch_windows`, or None.
        grid: Slots and tokens (t, h, w), or None.
        before: Token ids before the visual tokens.
        after: Token ids between the visual tokens and the questions.
        blocks: Questions.
    """

    view: str
    patches: Tensor | None
    grid: tuple[int, int, int] | None
    before: tuple[int, ...]
    after: tuple[int, ...]
    blocks: list[Block]


class PocketData(Dataset[list[Batch]]):
    """Step -> the batches of that step."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def __len__(self) -> int:
        return self._config.steps

    def __getitem__(self, step: int) -> list[Batch]:
        stage = self._config.stage(step)
        rng = np.random.default_rng([self._config.seed, step])
        batches = [scene_batch(rng, stage)]
        if stage.text:
            batches.append(text_batch(rng, stage.text))
        return batches


def scene_batch(rng: np.random.Generator, stage: Stage) -> Batch:
    """Scenes in one view, with their questions."""
    view = pick(rng, stage.views)
    clips: list[NDArray[np.uint8]] = []
    short: list[list[Question]] = []
    long: list[list[Question]] = []
    while len(clips) < stage.batch[view]:
        frames, shown = _show(rng, stage, view)
        if shown.named:
            ask = Asker(rng, stage, shown)
            clips.append(frames)
            short.append([ask.short() for _ in range(stage.short)])
            long.append([ask.long() for _ in range(stage.long)])
    size = clips[0].shape[-2]
    fillers = int(rng.choice(FILLER_CAPS))
    slots = torch.from_numpy(np.stack(clips)).view(-1, 1 if view in STILL_VIEWS else FRAMES_PER_SLOT, size, size, 3)
    before, after = around_vision(opening(rng))
    blocks = [encode(rng, questions, fillers) for questions in (short, long) if questions[0]]
    return Batch(view, patch_windows(slots), GRIDS[view], before, after, blocks)


def text_batch(rng: np.random.Generator, count: int) -> Batch:
    """Category questions, which have no visual tokens."""
    before = opening(rng)
    questions = [[category_question(rng, plan(training_seed(rng))) for _ in range(count)]]
    return Batch("text", None, None, before, (), [encode(rng, questions)])


def _show(rng: np.random.Generator, stage: Stage, view: View) -> tuple[NDArray[np.uint8], Shown]:
    """Frames (T, size, size, 3) of a drawn scene, and what can be asked about them."""
    counts = stage.objects.get(view)
    theme = pick(rng, stage.themes) if stage.themes else None
    number = int(rng.choice(counts)) if counts else None
    scene = plan(training_seed(rng), objects=number, theme=theme, scale=2.0 if view == "crop" else 1.0)
    if rng.random() < stage.plain:
        scene = replace(scene, ground=replace(scene.ground, pattern="plain"))
    moments = _moments(rng, view)
    frames, labels = _picture(rng, scene, view, moments)
    seen = [_seen(labels, i, body) for i, body in enumerate(scene.bodies)]
    named: dict[Kind, list[Expression]] = {}
    for expression in expressions(scene):
        if all(seen[i] >= VISIBLE for i in expression.object_ids):
            named.setdefault(expression.kind, []).append(expression)
    return frames, Shown(scene, named, 0.5 if view == "clip" else float(moments.mean()), view not in STILL_VIEWS)


def _moments(rng: np.random.Generator, view: View) -> NDArray[np.float64]:
    if view == "clip":
        return np.linspace(0.0, 1.0, FRAMES)
    if view == "pair":
        return (int(rng.integers(FRAMES - 1)) + np.arange(2.0)) / (FRAMES - 1)
    return rng.random(1)


def _picture(
    rng: np.random.Generator, scene: Plan, view: View, moments: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Frames and labels, some of them from clips of the other size."""
    if view == "frame" and rng.random() < SMALL_CLIPS:
        frames, labels = paint(scene, moments, VIDEO_SIZE)
        return resize(frames, FRAME_SIZE), labels
    if view == "clip" and rng.random() < LARGE_CLIPS:
        frames, labels = paint(scene, moments, FRAME_SIZE)
        return resize(frames, VIDEO_SIZE), labels
    return paint(scene, moments, FRAME_SIZE if view == "frame" else VIDEO_SIZE)


def resize(frames: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Bicubic with antialiasing, as the processor resizes; (T, H, W, 3) uint8 in and out."""
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2)
    resized = F.interpolate(pixels, (size, size), mode="bicubic", antialias=True)
    return np.ascontiguousarray(resized.permute(0, 2, 3, 1).numpy())


def _seen(labels: NDArray[np.uint8], index: int, body: Body) -> float:
    """Share of a body's area that is visible, the mean over frames."""
    return float((labels == index + 1).mean()) / area(body)
