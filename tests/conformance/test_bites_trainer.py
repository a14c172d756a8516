"""A trainer that breaks one rule fails that rule alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from gazecut.errors import DataError, OutputError, TrainingError
from gazecut.testing import FAKE_RECIPE, TrainerConformance
from gazecut.training import Trained, Training

STEPS = 3


class Good:
    """Counts to three, and writes it down."""

    def __init__(self) -> None:
        self.runs = 0

    def train(self, training: Training) -> Sequence[Trained]:
        if training.data != "numbers":
            raise DataError(f'there is no data "{training.data}"; wanted numbers.')
        folder, record = self.folder(training), training.output / "steps"
        done = int(record.read_text()) if training.resume and record.exists() else 0
        if record.exists() and not training.resume:
            raise OutputError("there is a training already; resume it.")
        training.watcher.on_start("count", done, STEPS)
        for step in range(done + 1, STEPS + 1):
            self.tell(training, step)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "learned").write_text(self.learned())
        training.output.mkdir(parents=True, exist_ok=True)
        record.write_text(str(STEPS))
        return [Trained("count", folder, STEPS, {"loss": 1.0}, {"loss": 0.5})]

    def folder(self, training: Training) -> Path:
        return training.output / "count"

    def learned(self) -> str:
        return "three"

    def tell(self, training: Training, step: int) -> None:
        training.watcher.on_step("count", step, {"loss": 1 / step})


class Silent(Good):
    def tell(self, training: Training, step: int) -> None:
        if step != 2:
            super().tell(training, step)


class Fickle(Good):
    calls = 0

    def learned(self) -> str:
        Fickle.calls += 1
        return str(Fickle.calls)


class Elsewhere(Good):
    def folder(self, training: Training) -> Path:
        return training.output.parent / "elsewhere"


class Empty(Good):
    def train(self, training: Training) -> Sequence[Trained]:
        return [Trained(each.part, each.folder, each.step, {"loss": 1.0}, {"gain": 1.0}) for each in super().train(training)]


class Restless(Good):
    """Takes its steps again when it is resumed."""

    def train(self, training: Training) -> Sequence[Trained]:
        if training.resume and (training.output / "steps").exists():
            (training.output / "steps").write_text("1")
        return super().train(training)


class Careless(Good):
    """Writes over an earlier training."""

    def train(self, training: Training) -> Sequence[Trained]:
        if not training.resume and training.data == "numbers":
            (training.output / "steps").unlink(missing_ok=True)
        return super().train(training)


class Blaming(Good):
    """Calls wrong data a failed training."""

    def train(self, training: Training) -> Sequence[Trained]:
        try:
            return super().train(training)
        except DataError as error:
            raise TrainingError(str(error)) from error


VIOLATIONS: dict[str, Callable[[], Good]] = {
    "test_every_part_says_what_came_of_it": Empty,
    "test_it_writes_nowhere_else": Elsewhere,
    "test_watchers_hear_of_every_step": Silent,
    "test_same_seed_learns_the_same": Fickle,
    "test_finished_training_is_not_done_again": Restless,
    "test_an_earlier_training_is_not_overwritten": Careless,
    "test_data_that_is_not_there_is_refused": Blaming,
}

PLUGIN = """
from gazecut.components import ComponentSpec, hookimpl

@hookimpl
def register_trainer(register):
    register(ComponentSpec(name="fake", summary="counts to three", target="made_up:Good", config="made_up_trainer_options:NoOptions"))
"""


@pytest.fixture
def case(plugin_folder, make_case: Callable) -> Callable:
    (plugin_folder.path / "made_up_trainer.py").write_text(PLUGIN)
    (plugin_folder.path / "made_up_trainer_options.py").write_text(
        "from gazecut.options import Options\nclass NoOptions(Options):\n    '''There are none.'''\n"
    )
    plugins = ("gazecut.testing.plugin", "made_up_trainer")
    return lambda build: make_case(TrainerConformance, build, recipe=FAKE_RECIPE, data="numbers", plugins=plugins)


def test_every_rule_has_a_violation(own_rules: Callable) -> None:
    assert set(VIOLATIONS) == own_rules(TrainerConformance)


def test_the_good_one_breaks_nothing(broken: Callable, case: Callable) -> None:
    assert broken(case(Good)) == {}


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_a_violation_fails_its_rule_alone(rule: str, broken: Callable, case: Callable) -> None:
    assert set(broken(case(VIOLATIONS[rule]))) == {rule}
