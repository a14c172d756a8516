"""Make a trained pocket SAM 2 as doubtful as absent objects deserve.

  python -m gazecut_training.sam_calibrate CHECKPOINT [--scenes 60] [--first-seed 80000]

Whether an object is there is judged by the sign of one logit. Training balances that judgement over all followed frames, of which few are
without their object, and over clips of all lengths; on eight frames, where neighbours lie far apart, it believes too readily. The bias of
the logit is lowered in steps until enough of the frames without the object come out empty on hard validation scenes, and the checkpoint is
written with it. One that is doubtful enough stays as it is.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from gazecut_segmenter.sam2_files import Checkpoint
from gazecut_segmenter.sam2_weights import load
from gazecut_training.config import TRAINING_SEEDS
from gazecut_training.sam_evaluate import Examiner, mean

PRESENCE: Final = "mask_decoder.pred_obj_score_head.proj_out.bias"
LENGTH: Final = 8  # frames of a clip
STEP: Final = 0.25  # by which the bias is lowered at a time
MOST: Final = 2.0  # beyond it, objects that are there are lost by the dozen
WANTED: Final = 0.78  # share of frames without the object that are empty: .75 on scenes that are not these, with something to spare


def calibrate(checkpoint: Path, seeds: Sequence[int], wanted: float = WANTED) -> Iterator[tuple[float, float, float]]:
    """Lower the bias of the judgement of presence step by step, and write the checkpoint when enough is empty.

    Args:
        checkpoint: Folder with a `Sam2VideoModel`; its weights are replaced at the end, unless they are doubtful enough.
        seeds: Seeds of hard scenes.
        wanted: Share of frames without the object that shall come out empty.

    Yields:
        Of each step: how far the bias is lowered, the share that is empty, and J where the object is seen.

    Raises:
        ValueError: If not enough is empty with the bias lowered by `MOST`; the checkpoint is as it was.
    """
    model = load(Checkpoint(checkpoint))
    bias = model.get_parameter(PRESENCE)
    first = bias.detach().clone()
    examiner = Examiner(checkpoint, model)
    for doubt in np.arange(0.0, MOST + STEP / 2, STEP).tolist():
        with torch.no_grad():
            bias.copy_(first - doubt)
        tracks = list(examiner.following("hard", seeds, LENGTH))
        empty = mean(each.empty for each in tracks)
        yield doubt, empty, mean(each.similarity for each in tracks)
        if empty >= wanted:
            if doubt:
                file = checkpoint / "model.safetensors"
                save_file({**load_file(file), PRESENCE: bias.detach()}, whole := file.with_suffix(".new"), {"format": "pt"})
                whole.replace(file)  # an hour of training is in it
            return
    raise ValueError(f"with its bias lowered by {MOST}, {empty:.3f} of the frames without the object are empty; wanted {wanted}")


def main() -> None:
    """Read the command line and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="folder that training wrote; its weights are replaced")
    parser.add_argument("--scenes", type=int, default=60, help="how many hard scenes (default: 60)")
    parser.add_argument("--first-seed", type=int, default=TRAINING_SEEDS, help="first seed (default: 80000, validation)")
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.scenes)
    for doubt, empty, similarity in calibrate(arguments.checkpoint, seeds):
        print(f"bias lowered by {doubt:.2f}  empty {empty:.3f}  J {similarity:.3f}", flush=True)  # noqa: T201 - what the command is for


if __name__ == "__main__":
    main()
