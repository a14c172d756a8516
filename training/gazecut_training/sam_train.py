"""Train the pocket SAM 2 from scratch.

  python -m gazecut_training.sam_train --output DIR             start (or start again)
  python -m gazecut_training.sam_train --output DIR --resume    go on from DIR/state.pt
  python -m gazecut_training.sam_train --output DIR --resume --minutes 20   stop after 20 minutes, to be resumed

DIR receives state.pt (weights, optimizers, step; every few minutes), log.jsonl (one line per 50 steps) and checkpoint/ (what segmenter
sam2-hf loads). The same config gives the same batches at every step, whether or not the run was interrupted; SIGTERM saves and stops.
"""

import time
from collections import defaultdict
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from transformers import Sam2VideoModel

from gazecut_training.optim import build_optimizers
from gazecut_training.runner import Runner, RunningLog, command
from gazecut_training.sam_config import POCKET_SAM, SamConfig
from gazecut_training.sam_data import ClipBatch, ImageBatch, SamData
from gazecut_training.sam_follow import Answers, Pupil, answer_clips, answer_images
from gazecut_training.sam_losses import Lesson, lesson
from gazecut_training.sam_model import build_sam, export_sam

WEIGHTS: Final = {"click": 1.0, "several": 0.4, "prompted": 0.3, "followed": 2.0}  # of losses, by what was asked
ABSENT: Final = 3.0  # weight of followed frames without the object, in the judgement of presence
ADAM: Final = ("embed", "token", "encoding", "no_object", "no_memory", "occlusion")  # in names of what AdamW trains


class SamTrainer(Runner[Sam2VideoModel, ImageBatch | ClipBatch]):
    """Trains the pocket SAM 2."""

    log: "_Log"

    def __init__(self, config: SamConfig, folder: Path) -> None:
        model = build_sam(config.seed, config.side)
        optimizers = build_optimizers(model, config.lr, config.lr, is_matrix)
        super().__init__(config, folder, model, optimizers, _Log())
        self._config, self._pupil = config, Pupil(model)

    def dataset(self) -> SamData:
        """Step -> the batch of that step."""
        return SamData(self._config)

    def update(self, batch: ImageBatch | ClipBatch) -> None:
        """One optimizer step."""
        began = time.monotonic()
        batch_loss(self._pupil, batch, self._config.absence, self.log).backward()  # type: ignore[no-untyped-call]
        norm = self.descend()
        self.log.add(_view(batch), norm=norm, seconds=time.monotonic() - began)

    def export(self, folder: Path) -> None:
        """Write the model."""
        export_sam(self.model, folder)


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon takes a parameter of SAM 2: weights of linear layers, but for what is looked up or added."""
    return parameter.ndim == 2 and not any(part in name for part in ADAM)


def batch_loss(pupil: Pupil, batch: ImageBatch | ClipBatch, absence: float, log: "_Log | None" = None) -> Tensor:
    """What a step minimises.

    Args:
        pupil: The model.
        batch: What it is shown.
        absence: Weight of the judgement whether an object is there.
        log: Where to note how it went.
    """
    parts: dict[str, Answers]
    if isinstance(batch, ImageBatch):
        one, several = answer_images(pupil, batch)
        parts = {"click": one, "several": several}
    else:
        clicked, prompted, followed = answer_clips(pupil, batch)
        parts = {"click": clicked, "prompted": prompted, "followed": followed}
    losses = []
    for name, answers in parts.items():
        found = lesson(answers.decoded, answers.truth, ABSENT if name == "followed" else 1.0)
        losses.append(WEIGHTS[name] * found.total(absence))
        if log is not None:
            log.lesson(f"{_view(batch)}/{name}", found)
    return torch.stack(losses).sum()


def _view(batch: ImageBatch | ClipBatch) -> str:
    return "image" if isinstance(batch, ImageBatch) else f"clip{batch.images.shape[1]}"


class _Log(RunningLog):
    """Running losses and figures, by what was shown and asked."""

    def __init__(self) -> None:
        self._figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, name: str, **figures: float) -> None:
        for figure, value in figures.items():
            self._figures[name][figure].append(value)

    def lesson(self, name: str, found: Lesson) -> None:
        self.add(name, mask=float(found.mask.detach()), trust=float(found.trust.detach()), presence=float(found.presence.detach()))
        self._figures[name]["iou"] += found.iou[found.there].tolist()
        self._figures[name]["empty"] += found.right[~found.there].float().tolist()
        self._figures[name]["there"] += found.right[found.there].float().tolist()

    def take(self) -> dict[str, object]:
        """Means of all figures, with median and tenth percentile of IoU."""
        line: dict[str, object] = {}
        for name, figures in sorted(self._figures.items()):
            shown = {figure: float(np.mean(values)) for figure, values in figures.items() if values}
            if ious := figures.get("iou"):
                shown |= {"median": float(np.median(ious)), "low": float(np.quantile(ious, 0.1))}
            line[name] = {figure: round(value, 3) for figure, value in shown.items()}
        self._figures.clear()
        return line


def main() -> None:
    """Read the command line and train."""
    command(__doc__, lambda folder: SamTrainer(POCKET_SAM, folder))


if __name__ == "__main__":
    main()
