"""Rules for trainers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from gazecut.errors import GazecutError
from gazecut.pipeline import Pipeline
from gazecut.testing.conformance.base import Conformance
from gazecut.training import Trained, Trainer, Training, Watcher


class Heard(Watcher):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.starts: list[tuple[str, int, int]] = []
        self.steps: list[tuple[str, int]] = []
        self.figures: list[Mapping[str, float]] = []

    def on_start(self, part: str, done: int, steps: int) -> None:
        """Note a part."""
        self.starts.append((part, done, steps))

    def on_step(self, part: str, step: int, figures: Mapping[str, float]) -> None:
        """Note a step."""
        self.steps.append((part, step))
        self.figures.append(figures)


class TrainerConformance(Conformance[Trainer]):
    """What a trainer keeps to: it writes where it is told, says what it does, and goes on where it stopped.

    Attributes:
        recipe: A recipe with components that it can train through, small ones: every rule trains.
        overrides: Put over the recipe.
        data: What it trains on.
    """

    kind = "trainer"
    recipe: ClassVar[str | dict[str, Any]]
    overrides: ClassVar[Mapping[str, Any]] = {}
    data: ClassVar[str]

    def test_every_part_says_what_came_of_it(self) -> None:
        """Every part has a folder with what was learned, and figures before and after."""
        with self._trained() as (trained, _, _):
            self.require(bool(trained), "nothing came of it", "one part or more")
            for each in trained:
                files = [path for path in each.folder.rglob("*") if path.is_file()]
                self.require(bool(files), f"{each.folder} is empty", "files with what was learned")
                shared = set(each.before) & set(each.after)
                self.require(bool(shared), f"figures {sorted(each.before)} and {sorted(each.after)}", "some of the same name")

    def test_it_writes_nowhere_else(self) -> None:
        """What it learned lies in the output folder."""
        with self._trained() as (trained, output, _):
            outside = [str(each.folder) for each in trained if not each.folder.is_relative_to(output)]
            self.require(not outside, ", ".join(outside), f"folders within {output}")

    def test_watchers_hear_of_every_step(self) -> None:
        """A watcher hears of each part's start and of every step, in order, with figures."""
        with self._trained() as (_, _, heard):
            wanted = [(part, step) for part, done, steps in heard.starts for step in range(done + 1, steps + 1)]
            self.require(heard.steps == wanted, heard.steps, str(wanted))
            self.require(all(heard.figures), "a step without figures", "figures of every step")

    def test_same_seed_learns_the_same(self) -> None:
        """Trained twice with one seed, it learns the same to the bit."""
        with self._trained() as (first, _, _), self._trained() as (second, _, _):
            for before, after in zip(first, second, strict=True):
                self.same(_contents(before.folder), _contents(after.folder), "what was learned", "the second time")

    def test_finished_training_is_not_done_again(self) -> None:
        """Resumed when it had finished, it takes no step and says the same."""
        with self._trained() as (first, output, _):
            again, heard = self._train(output, resume=True)
            self.require(not heard.steps, f"{len(heard.steps)} more steps", "none")
            self.same([each.after for each in first], [each.after for each in again], "figures", "after resuming")

    def test_an_earlier_training_is_not_overwritten(self) -> None:
        """Without resume, a folder that holds a training is refused."""
        with self._trained() as (_, output, _):
            self.check_refused(lambda: self._train(output), "a second training in one folder")

    def test_data_that_is_not_there_is_refused(self) -> None:
        """Data that is not there is refused in Gazecut's words, with exit status 2, before anything is written."""
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder, "out")
            try:
                self._train(output, data=str(Path(folder, "no-such-data")))
            except GazecutError as error:
                self.require(error.exit_status == 2, f"{type(error).__name__} of exit status {error.exit_status}", "a RequestError")
                self.require(not output.exists(), f"{output} was made", "nothing written")
                return
            self.require(False, "it trained on data that is not there", "a RequestError")

    @contextmanager
    def _trained(self) -> Iterator[tuple[list[Trained], Path, Heard]]:
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder, "out")
            trained, heard = self._train(output)
            yield trained, output, heard

    def _train(self, output: Path, *, resume: bool = False, data: str | None = None) -> tuple[list[Trained], Heard]:
        heard = Heard()
        parts = self._once("parts", self._parts)
        return list(self.build().train(Training(parts, self.data if data is None else data, output, resume, heard))), heard

    @classmethod
    def _parts(cls) -> Pipeline:
        return Pipeline.from_recipe(
            cls.recipe, overrides=cls.overrides, device=cls.runtime.device, seed=cls.runtime.seed, plugins=cls.plugins, cache=False
        )


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
