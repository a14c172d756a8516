"""Train the pocket multimodal LLM from scratch.

  python -m gazecut_training.train --output DIR             start (or start again)
  python -m gazecut_training.train --output DIR --resume    go on from DIR/state.pt
  python -m gazecut_training.train --output DIR --resume --minutes 20   stop after 20 minutes, to be resumed

DIR receives state.pt (weights, optimizer, step; every few minutes), log.jsonl (one line per 50 steps) and
checkpoint/ (what AutoModelForImageTextToText loads). The same config gives the same batches at every step, whether
or not the run was interrupted; SIGTERM saves and stops. Expect about one second per step on two cores.
"""

import argparse
import json
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Qwen2_5_VLForConditionalGeneration

from gazecut_training.config import POCKET, Config
from gazecut_training.data import Batch, PocketData
from gazecut_training.encoding import Block
from gazecut_training.model import build_model, export
from gazecut_training.optim import build_optimizers
from gazecut_training.packing import hidden_states, prefix_positions, vision_tokens
from gazecut_training.tokenizer import build_tokenizer

LOG_STEPS: Final = 50
TEXT_WEIGHT: Final = 0.3
CLIP: Final = 1.0  # gradient norm


class Trainer:
    """Holds the model, the optimizers and the step; `run` goes on until the steps or the minutes are used up."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.config, self.folder = config, folder
        self.tokenizer = build_tokenizer()
        self.model = build_model(self.tokenizer, config.seed, config.layers, config.depth)
        self.optimizers = build_optimizers(self.model, config.lr, config.lr_small)
        self.step = 0
        self.seconds = 0.0
        self.stopping = False

    def save(self) -> None:
        """Write the state, atomically, and the checkpoint folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
        }
        torch.save(state, self.folder / "state.tmp")
        (self.folder / "state.tmp").replace(self.folder / "state.pt")
        export(self.model, self.tokenizer, self.folder / "checkpoint")

    def load(self) -> None:
        """Go back to the saved state."""
        state = torch.load(self.folder / "state.pt", weights_only=True)
        self.step, self.seconds = state["step"], state["seconds"]
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def run(self, minutes: float, save_every: float, workers: int) -> None:
        """Train.

        Args:
            minutes: Stop after so many minutes.
            save_every: Minutes between saves.
            workers: Processes that render; 0 renders in this one.
        """
        start = saved = time.monotonic()
        before = self.seconds
        log = _Log(self.folder / "log.jsonl")
        for batches in self._batches(workers):
            self.update(batches, log)
            now = time.monotonic()
            self.seconds = before + now - start
            if self.step % LOG_STEPS == 0:
                log.write(self.step, self.seconds)
            if now - start > 60 * minutes or self.stopping:
                break
            if now - saved > 60 * save_every:
                self.save()
                saved = time.monotonic()
        self.save()

    def update(self, batches: list[Batch], log: "_Log") -> None:
        """One optimizer step."""
        factor = self.config.rate(self.step)
        for optimizer, rate in zip(self.optimizers, (self.config.lr, self.config.lr_small), strict=True):
            optimizer.param_groups[0]["lr"] = rate * factor
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16):
                loss = batch_loss(self.model, batch, log)
            (loss * (TEXT_WEIGHT if batch.grid is None else 1.0)).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1

    def _batches(self, workers: int) -> Iterator[list[Batch]]:
        steps = range(self.step, self.config.steps)
        context = "spawn" if workers else None
        return iter(
            DataLoader(
                PocketData(self.config),
                batch_size=None,
                sampler=steps,
                num_workers=workers,
                multiprocessing_context=context,
                prefetch_factor=4 if workers else None,
            )
        )


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
    positions, following = prefix_positions(len(batch.before), batch.grid, len(batch.after))
    return hidden_states(model, torch.cat(parts, 1), positions, following, [b.ids for b in batch.blocks], half)


class _Log:
    """Running losses and right answers, by view and by what a question probes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._clear()

    def _clear(self) -> None:
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

    def write(self, step: int, seconds: float) -> None:
        line = {
            "step": step,
            "minutes": round(seconds / 60, 2),
            "loss": {k: round(sum(v) / len(v), 3) for k, v in sorted(self._losses.items())},
            "right": {k: round(sum(v) / len(v), 2) for k, v in sorted(self._right.items())},
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._clear()


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on from OUTPUT/state.pt")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many minutes (default: when done)")
    parser.add_argument("--save-every", type=float, default=4.0, help="minutes between saves (default: 4)")
    parser.add_argument("--workers", type=int, default=1, help="rendering processes (default: 1)")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (default: 2)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_float32_matmul_precision("medium")
    trainer = Trainer(POCKET, arguments.output)
    if arguments.resume:
        trainer.load()
    signal.signal(signal.SIGTERM, lambda number, frame: setattr(trainer, "stopping", True))
    trainer.run(arguments.minutes, arguments.save_every, arguments.workers)


if __name__ == "__main__":
    main()
