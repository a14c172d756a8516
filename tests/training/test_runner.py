"""A run of training: it can be interrupted anywhere, keeps what it did, and says what it cannot do."""

import json
import math
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset

from gazecut_training.runner import Runner, RunningLog, command

STEPS = 120


class Numbers(Dataset):
    """Step -> a number that stands for a batch."""

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, step: int) -> float:
        return math.sin(step)


class Sums(RunningLog):
    def __init__(self) -> None:
        self.seen = []

    def take(self) -> dict[str, object]:
        seen, self.seen = self.seen, []
        return {"count": len(seen), "sum": round(sum(seen), 6)}


class Halving:
    """A schedule: the full rate for ten steps, then half of it."""

    steps = STEPS

    def rate(self, step: int) -> float:
        return 1.0 if step < 10 else 0.5


class Toy(Runner):
    """Two numbers that learn, one of them by each optimizer."""

    def __init__(self, folder: Path, between: Callable[[int], None] = lambda step: None) -> None:
        torch.manual_seed(0)
        model = torch.nn.Linear(1, 1)
        optimizers = [torch.optim.AdamW([model.weight], 0.1), torch.optim.AdamW([model.bias], 0.01)]
        super().__init__(Halving(), folder, model, optimizers, Sums())
        self.exported: list[int] = []
        self.between = between

    def dataset(self) -> Dataset:
        return Numbers()

    def update(self, batch: float) -> None:
        self.between(self.step)
        self.log.seen.append(batch)
        (self.model(torch.tensor([batch])) - 1).square().sum().backward()
        self.norm = self.descend()

    def export(self, folder: Path) -> None:
        self.exported.append(self.step)
        folder.mkdir(exist_ok=True)


@pytest.fixture
def own_signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def own_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("stops", [(1,), (49, 50, 51), (119, 120)])
def test_a_run_interrupted_anywhere_ends_as_an_uninterrupted_one(tmp_path: Path, stops: tuple[int, ...]) -> None:
    whole = Toy(tmp_path / "whole")
    whole.run(minutes=math.inf, save_every=math.inf, workers=0)
    for stop in (*stops, STEPS):
        part = Toy(tmp_path / "parts")
        part.between = lambda step, part=part, stop=stop: setattr(part, "stopping", step + 1 == stop)
        if stop != stops[0]:
            part.load()
        part.run(minutes=math.inf, save_every=math.inf, workers=0)
        assert part.step == stop
    assert part.step == whole.step == STEPS
    assert part.seconds > 0
    for one, other in zip(whole.model.parameters(), part.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_log_has_a_line_for_every_fifty_steps(tmp_path: Path) -> None:
    Toy(tmp_path).run(minutes=math.inf, save_every=math.inf, workers=0)
    found = lines(tmp_path)
    assert [list(line) for line in found] == [["step", "minutes", "count", "sum"]] * 2
    assert [(line["step"], line["count"]) for line in found] == [(50, 50), (100, 50)]
    assert [line["sum"] for line in found] == [round(sum(map(math.sin, range(first, first + 50))), 6) for first in (0, 50)]


def test_it_saves_as_often_as_is_wanted_and_at_the_end(tmp_path: Path) -> None:
    seldom, often = Toy(tmp_path / "seldom"), Toy(tmp_path / "often")
    seldom.run(minutes=math.inf, save_every=math.inf, workers=0)
    often.run(minutes=math.inf, save_every=0, workers=0)
    assert seldom.exported == [STEPS]
    assert often.exported == [*range(1, STEPS + 1), STEPS]


def test_it_stops_after_the_first_step_beyond_its_minutes(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    toy.run(minutes=0, save_every=math.inf, workers=0)
    assert toy.step == 1
    assert toy.exported == [1]


def test_a_save_that_fails_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Toy(tmp_path)
    toy.run(minutes=0, save_every=math.inf, workers=0)

    def full(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="no space left"):
        toy.run(minutes=0, save_every=math.inf, workers=0)
    again = Toy(tmp_path)
    again.load()
    assert (toy.step, again.step) == (2, 1)


def test_a_state_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"step": Halving()}, tmp_path / "state.pt")
    with pytest.raises(Exception, match="weights_only"):
        Toy(tmp_path).load()


def test_rates_follow_the_schedule_and_long_gradients_are_scaled_down(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    toy.run(minutes=0, save_every=math.inf, workers=0)
    assert [optimizer.param_groups[0]["lr"] for optimizer in toy.optimizers] == [0.1, 0.01]
    toy.step = 10
    toy.model.weight.grad, toy.model.bias.grad = torch.tensor([[3.0]]), torch.tensor([4.0])
    taken: list[torch.Tensor] = []
    toy.optimizers[0].register_step_pre_hook(lambda *_: taken.append(toy.model.weight.grad.clone()))
    assert toy.descend() == pytest.approx(5.0)
    assert taken[0].item() == pytest.approx(0.6, rel=1e-4)
    assert [optimizer.param_groups[0]["lr"] for optimizer in toy.optimizers] == [0.05, 0.005]
    assert toy.model.weight.grad is None
    assert toy.step == 11


@pytest.mark.usefixtures("own_signals", "own_threads")
def test_sigterm_saves_and_stops_and_resume_goes_on(tmp_path: Path) -> None:
    made: list[Toy] = []

    def stopped(folder: Path) -> Toy:
        made.append(Toy(folder, lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == 6 else None))
        return made[-1]

    threads = torch.get_num_threads() + 1
    wanted = ["--output", str(tmp_path), "--workers", "0", "--threads", str(threads)]
    command("Learn.", stopped, wanted)
    assert made[0].step == 7
    assert torch.get_num_threads() == threads
    command("Learn.", stopped, [*wanted, "--resume"])
    assert made[1].step == STEPS
    assert [line["step"] for line in lines(tmp_path)] == [50, 100]


def test_nothing_to_go_on_from_is_a_wrong_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command("Learn.", Toy, ["--output", str(tmp_path / "none"), "--resume"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f'there is no "{tmp_path / "none" / "state.pt"}"; give the folder of a run, or start one without --resume' in said
    assert not (tmp_path / "none").exists()
