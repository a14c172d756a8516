"""Train the pocket multimodal LLM from scratch.

  python -m gazecut_training.train --output DIR             start (or start again)
  python -m gazecut_training.train --output DIR --resume    go on from DIR/state.pt
  python -m gazecut_training.train --output DIR --resume --minutes 20   stop after 20 minutes, to be resumed

DIR receives state.pt (weights, optimizer, step; every few minutes), log.jsonl (one line per 50 steps) and
checkpoint/ (what AutoModelForImageTextToText loads). The same config gives the same batches at every step, whether
or not the run was interrupted; SIGTERM saves and stops. Expect about one second per step on two cores.
"""

from collections import defaultdict
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

from gazecut_training.config import POCKET, Config
from gazecut_training.data import Batch, PocketData
from gazecut_training.encoding import Block
from gazecut_training.model import build_model, export
from gazecut_training.optim import build_optimizers
from gazecut_training.packing import hidden_states, prefix_positions, vision_tokens
from gazecut_training.runner import Runner, RunningLog, command
from gazecut_training.tokenizer import build_tokenizer

TEXT_WEIGHT: Final = 0.3  # of the loss of questions without vision, against 1 for those about scenes


class Trainer(Runner[Qwen2_5_VLForConditionalGeneration, list[Batch]]):
    """Trains the pocket multimodal LLM."""

    log: "_Log"

    def __init__(self, config: Config, folder: Path) -> None:
        tokenizer = build_tokenizer()
        model = build_model(tokenizer, config.seed, config.layers, config.depth)
        optimizers = build_optimizers(model, config.lr, config.lr_small, is_matrix)
        super().__init__(config, folder, model, optimizers, _Log())
        self._config, self._tokenizer = config, tokenizer

    def dataset(self) -> PocketData:
        """Step -> the batches of that step."""
        return PocketData(self._config)

    def update(self, batch: list[Batch]) -> None:
        """One optimizer step on scenes, and on questions without vision where the stage has some."""
        for part in batch:
            with torch.autocast("cpu", torch.bfloat16):
                loss = batch_loss(self.model, part, self.log)
            (loss * (TEXT_WEIGHT if part.grid is None else 1.0)).backward()  # type: ignore[no-untyped-call]
        self.descend()

    def export(self, folder: Path) -> None:
        """Write the model with its processor."""
        export(self.model, self._tokenizer, folder)


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon takes a parameter of the language model: weights of two or more axes, but for embeddings and output layer."""
    return parameter.ndim >= 2 and "embed_tokens" not in name and "lm_head" not in name


def batch_loss(model: Qwen2_5_VLForConditionalGeneration, batch: Batch, log: "_Log | None" = None, half: bool = True) -> Tensor:
    """Weighted cross-entropy of the answers of a batch, the mean."""
    weights = torch.cat([b.weights[b.weights > 0] for b in batch.blocks])
    logits, targets = [], []
    for block, hidden in zip(batch.blocks, forward(model, batch, half), strict=True):
        asked = block.weights > 0
        logits.append(model.lm_head(hidden[asked]))
        targets.append(block.ids.roll(-1, -1)[asked])
        if log is not None:
            log.add(batch.view, block, asked, logits[-1], targets[-1])
    losses = F.cross_entropy(torch.cat(logits), torch.cat(targets), reduction="none")
    loss = (losses * weights).sum() / weights.sum()
    if log is not None:
        log.loss(batch.view, float(loss.detach()))
    return loss


def forward(model: Qwen2_5_VLForConditionalGeneration, batch: Batch, half: bool) -> list[Tensor]:
    """Final hidden states (B, K, L, D) per block of a batch."""
    embed = model.model.language_model.embed_tokens
    clips = len(batch.blocks[0].ids)
    parts = [embed(torch.tensor(batch.before)).expand(clips, -1, -1)]
    if batch.patches is not None and batch.grid is not None:
        visual = vision_tokens(model, batch.patches, batch.grid[1:], half)
        parts += [visual.reshape(clips, -1, visual.shape[-1]), embed(torch.tensor(batch.after)).expand(clips, -1, -1)]
    positions = prefix_positions(len(batch.before), batch.grid, len(batch.after))
    return hidden_states(model, torch.cat(parts, 1), positions, [b.ids for b in batch.blocks], half)


class _Log(RunningLog):
    """Running losses and right answers, by view and by what a question probes."""

    def __init__(self) -> None:
        self._losses: dict[str, list[float]] = defaultdict(list)
        self._right: dict[str, list[bool]] = defaultdict(list)

    def loss(self, view: str, value: float) -> None:
        self._losses[view].append(value)

    def add(self, view: str, block: Block, asked: Tensor, logits: Tensor, targets: Tensor) -> None:
        right = torch.zeros(asked.shape, dtype=torch.bool)
        right[asked] = logits.argmax(-1) == targets
        probed = right.gather(-1, block.at[..., None])[..., 0].tolist()
        for names, values in zip(block.probes, probed, strict=True):
            for name, value in zip(names, values, strict=True):
                self._right[f"{view}/{name}"].append(value)

    def take(self) -> dict[str, object]:
        """Mean losses by view, and shares of right answers by view and probe."""
        line: dict[str, object] = {
            "loss": {k: round(sum(v) / len(v), 3) for k, v in sorted(self._losses.items())},
            "right": {k: round(sum(v) / len(v), 2) for k, v in sorted(self._right.items())},
        }
        self._losses.clear()
        self._right.clear()
        return line


def main() -> None:
    """Read the command line and train."""
    torch.set_float32_matmul_precision("medium")  # products outside autocast, of the optimizer too, may run in bfloat16
    command(__doc__, lambda folder: Trainer(POCKET, folder))


if __name__ == "__main__":
    main()
