"""A run of training: steps, saves, the log and the command line; what is trained, and how, is a subclass's.

A folder receives state.pt (weights, optimizers, step), log.jsonl (a line per 50 steps) and checkpoint/ (for use). A run is a
function of its config: batch n is a function of n alone, so an interrupted run ends with the weights of an uninterrupted one.
"""

import argparse
import json
import math
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

Model = TypeVar("Model", bound=nn.Module)
Batch = TypeVar("Batch")

LOG_STEPS: Final = 50  # from line to line of the log
LARGEST_NORM: Final = 1.0  # longer gradients are scaled down to it
AHEAD: Final = 4  # batches that a process renders in advance


class Schedule(Protocol):
    """What a runner asks of a config."""

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        ...

    def rate(self, step: int) -> float:
        """Factor on the learning rates at a step, counted from 0."""
        ...


class RunningLog(ABC):
    """Figures noted since the last line."""

    @abstractmethod
    def take(self) -> dict[str, object]:
        """What stands in a line beside the step and the time; the figures are forgotten."""

    def write(self, path: Path, step: int, seconds: float) -> None:
        """Add a line to a file.

        Args:
            path: The file.
            step: Steps that are done.
            seconds: Time that they took.
        """
        line = {"step": step, "minutes": round(seconds / 60, 2)} | self.take()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")


class Runner(ABC, Generic[Model, Batch]):
    """Holds the model, the optimizers and the step; `run` goes on until the steps or the minutes are used up.

    Attributes:
        folder: Of the run.
        model: What is trained.
        optimizers: Made with the full learning rates, see `Schedule.rate`.
        step: Steps that are done.
        seconds: Time that they took.
        log: Takes note of them.
        stopping: Once true, `run` saves and returns after the step it is at.
    """

    def __init__(self, schedule: Schedule, folder: Path, model: Model, optimizers: Sequence[Optimizer], log: RunningLog) -> None:
        self.folder, self.model, self.optimizers, self.log = folder, model, optimizers, log
        self.step = 0
        self.seconds = 0.0
        self.stopping = False
        self._schedule = schedule

    @abstractmethod
    def dataset(self) -> Dataset[Batch]:
        """Step -> the batch of that step."""

    @abstractmethod
    def update(self, batch: Batch) -> None:
        """One step: gradients of a batch, then `descend`."""

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write the model as those load it who use it."""

    def descend(self) -> float:
        """Move the parameters along their gradients, at the rates of the step, and count it.

        Returns:
            The norm of the gradients before they were clipped.
        """
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), LARGEST_NORM)
        factor = self._schedule.rate(self.step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return float(norm)

    def save(self) -> None:
        """Write the state, whole or not at all, and the checkpoint folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
        }
        fresh = self.folder / "state.tmp"
        torch.save(state, fresh)
        fresh.replace(state_path(self.folder))
        self.export(self.folder / "checkpoint")

    def load(self) -> None:
        """Go back to the saved state.

        Raises:
            FileNotFoundError: Nothing was saved.
        """
        state = torch.load(state_path(self.folder), weights_only=True)
        self.step, self.seconds = state["step"], state["seconds"]
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def run(self, minutes: float, save_every: float, workers: int) -> None:
        """Train, and save at the end.

        Args:
            minutes: Stop after the first step that ends later than this.
            save_every: Minutes between saves.
            workers: Processes that render; 0 renders in this one.
        """
        start = saved = time.monotonic()
        before = self.seconds
        for batch in self._batches(workers):
            self.update(batch)
            now = time.monotonic()
            self.seconds = before + now - start
            if self.step % LOG_STEPS == 0:
                self.log.write(self.folder / "log.jsonl", self.step, self.seconds)
            if now - start > 60 * minutes or self.stopping:
                break
            if now - saved > 60 * save_every:
                self.save()
                saved = time.monotonic()
        self.save()

    def _batches(self, workers: int) -> Iterator[Batch]:
        return iter(
            DataLoader(
                self.dataset(),
                batch_size=None,
                sampler=range(self.step, self._schedule.steps),
                num_workers=workers,
                multiprocessing_context="spawn" if workers else None,
                prefetch_factor=AHEAD if workers else None,
            )
        )


def state_path(folder: Path) -> Path:
    """Where the state of a run lies."""
    return folder / "state.pt"


def command(description: str | None, make: Callable[[Path], Runner[Any, Any]], arguments: Sequence[str] | None = None) -> None:
    """Train as the command line says; SIGTERM saves and stops.

    Args:
        description: What --help says first.
        make: Makes the runner of a folder.
        arguments: Those of the command line; None takes them from there.

    Raises:
        SystemExit: Status 2: an argument is wrong, or there is nothing to go on from; nothing was trained.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on from OUTPUT/state.pt")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many minutes (default: when done)")
    parser.add_argument("--save-every", type=float, default=4.0, help="minutes between saves (default: 4)")
    parser.add_argument("--workers", type=int, default=1, help="rendering processes (default: 1)")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (default: 2)")
    given = parser.parse_args(arguments)
    state = state_path(given.output)
    if given.resume and not state.is_file():
        parser.error(f'argument --resume: there is no "{state}"; give the folder of a run, or start one without --resume')
    torch.set_num_threads(given.threads)
    runner = make(given.output)
    if given.resume:
        runner.load()
    signal.signal(signal.SIGTERM, lambda number, frame: setattr(runner, "stopping", True))
    runner.run(given.minutes, given.save_every, given.workers)
