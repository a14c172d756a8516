"""What soft prompts and the attribute turn are worth on the pocket world: the paper's Tables 3 and 4, and both papers' parts combined.

    python benchmarks/steerseg.py                     50 held-out scenes, tables to benchmarks/results/steerseg.md
    python benchmarks/steerseg.py --train             trains what is missing first, into soft-prompts/pocket
    python benchmarks/steerseg.py --scenes 10 --prompts runs/mine

Soft prompts of P tokens are looked for in PROMPTS/tokens-P (what ships has 24), those from another seed in PROMPTS/seed-1. A row whose
soft prompts are missing says so. A training stands in NAME.unfinished until it is done, and goes on when it was interrupted. What was
asked before is taken from the stage cache.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pages import publish, typed
from rich.progress import track

from gazecut import Pipeline
from gazecut.arrays import to_numpy
from gazecut.errors import WeightsError
from gazecut.manifest import machine_name
from gazecut.training import Training
from gazecut.world import HELD_OUT
from gazecut.world_score import Trial, score_world
from gazecut_fusion.soft_prompt_files import SoftPrompt, load_soft_prompt, save_soft_prompt
from gazecut_fusion.soft_prompt_places import locate

RECIPE = "pocket-steerseg"
SHIPPED = "package:gazecut_fusion/pocket"
TOKENS = (4, 8, 24, 64)  # the paper's Table 4 has 4 to 128
VIEWS: tuple[Literal["video", "frame"], ...] = ("video", "frame")
EXPRESSIONS = 2  # of each scene
TRAINED_TOKENS = 24  # of what ships, and of what is trained from another seed
TRAINING: dict[str, Any] = {
    "text": "the large red circle moving left in the middle",
    "steps": 160,
    "batch": 2,
    "expressions": 4,
    "frames": 2,
    "lr": 0.08,
    "warmup": 10,
    "clip_norm": 0.5,
    "correlation": 1.0,
    "answers": 0.3,
    "validation": 12,
    "validate_every": 40,
}
"""Options of the trainer for what `--train` trains, beside tokens and seed."""
SELECTIONS: dict[str, dict[str, Any]] = {
    "threshold, attention-consistency": {"selector": "threshold", "scorer": "attention-consistency"},
    "argmax, pearson": {"selector": "argmax", "scorer": "pearson"},
}
COLUMNS = ("J&F", "J", "F", "correlation", "video", "frame", "answers (video)", "answers (frame)", "attributes")


@dataclass(frozen=True)
class Way:
    """One way to ask and to choose.

    Attributes:
        recipe: Built-in recipe.
        soft: Where its soft prompts are; None asks without.
        attributes: Whether attributes are asked for first (CoT), where the recipe is SteerSeg's.
        selection: Selector and scorer; None leaves the recipe's.
    """

    recipe: str = RECIPE
    soft: str | None = None
    attributes: bool = True
    selection: str | None = None

    @property
    def overrides(self) -> dict[str, Any]:
        """What it changes about the recipe."""
        changes: dict[str, Any] = dict(SELECTIONS[self.selection]) if self.selection else {}
        if self.recipe != RECIPE:
            return changes
        steering = [{"use": "soft-prompt", "weights": dict.fromkeys(VIEWS, self.soft), "place": _place(self.soft)}] if self.soft else []
        prompts = "steerseg" if self.attributes else "steerseg-plain"
        return {**changes, "prompts": prompts, "fusion": [*steering, {"use": "complementary", "fold": "frame"}]}


class Bench:
    """Scores ways on the same scenes; each way once."""

    def __init__(self, scenes: int, first_seed: int) -> None:
        self._scenes, self._first_seed = scenes, first_seed
        self._known: dict[Way, list[Trial]] = {}

    def trials(self, way: Way, title: str) -> list[Trial]:
        """Scores of every expression, in one order for all ways."""
        if way not in self._known:
            pipeline = Pipeline.from_recipe(way.recipe, overrides=way.overrides, device="cpu")
            scored = score_world(pipeline, self._scenes, self._first_seed, EXPRESSIONS)
            self._known[way] = list(track(scored, title, total=EXPRESSIONS * self._scenes))
        return self._known[way]

    def row(self, name: str, way: Way, beside: Way | None = None) -> str:
        """A row of a table; where another way is beside, how much more the maps agree with the truth, expression by expression."""
        found = self.trials(way, name)
        cells = [f"{value:.3f}" if np.isfinite(value) else "-" for value in _means(found)]
        if beside is not None:
            gain = np.array([_alignment(one) - _alignment(other) for one, other in zip(found, self.trials(beside, name), strict=True)])
            gain = gain[np.isfinite(gain)]
            cells.append("" if way == beside else f"{gain.mean():+.3f} ± {gain.std(ddof=1) / len(gain) ** 0.5:.3f}")
        return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=50, help="held-out scenes (default 50)")
    parser.add_argument("--first-seed", type=int, default=HELD_OUT, help=f"seed of the first scene (default {HELD_OUT})")
    parser.add_argument("--prompts", type=Path, default=Path("soft-prompts/pocket"), help="folders of soft prompts (default %(default)s)")
    parser.add_argument("--tokens", type=int, nargs="*", default=TOKENS, help="numbers of soft tokens (default 4 to 64)")
    parser.add_argument("--train", action="store_true", help="train soft prompts that are missing")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "steerseg.md", help="where the tables go")
    arguments = parser.parse_args()
    bench = Bench(arguments.scenes, arguments.first_seed)
    text = "\n".join(
        [
            "# SteerSeg on the pocket world",
            "",
            f"`{typed()}` on {machine_name()}, no GPU. {arguments.scenes} scenes, {EXPRESSIONS} expressions each, all held out. "
            "Correlation is that of map and truth over all cells, the mean of both views as in the paper's Table 3; its gain is over the "
            "row without either, expression by expression, ± one standard error. Attributes are answers of the attribute turn in the "
            "asked form.",
            "",
            *_components(bench, arguments),
            "",
            *_numbers(bench, arguments),
            "",
            *_combinations(bench),
            "",
        ]
    )
    publish(text, arguments.output)


def _components(bench: Bench, arguments: argparse.Namespace) -> Iterator[str]:
    """Table 3: soft prompts and attributes, each with and without."""
    yield from ("## Soft prompts and attributes", "", *_head("soft prompts, attributes", "gain"))
    neither = Way(attributes=False)
    yield bench.row("no, no", neither, neither)
    yield bench.row("no, yes", Way(), neither)
    shipped, other = _address(SHIPPED), _trained(arguments, "seed-1", tokens=TRAINED_TOKENS, seed=1)
    if shipped:
        with _untrained(shipped) as start:
            yield from _without_and_with("before training", start, bench, neither)
    yield from _without_and_with("yes", shipped, bench, neither)
    yield from _without_and_with("yes, another seed", other, bench, neither)


def _without_and_with(name: str, soft: str | None, bench: Bench, beside: Way) -> Iterator[str]:
    for told, attributes in {"no": False, "yes": True}.items():
        yield bench.row(f"{name}, {told}", Way(soft=soft, attributes=attributes), beside) if soft else _missing(f"{name}, {told}")


def _numbers(bench: Bench, arguments: argparse.Namespace) -> Iterator[str]:
    """Table 4: the number of soft tokens, with attributes."""
    yield from ("## Number of soft tokens", "", *_head("tokens", "gain"))
    yield bench.row("0", Way(), Way())
    for tokens in arguments.tokens:
        soft = _address(SHIPPED) if tokens == TRAINED_TOKENS else _trained(arguments, f"tokens-{tokens}", tokens=tokens)
        yield bench.row(str(tokens), Way(soft=soft), Way()) if soft else _missing(str(tokens))


def _combinations(bench: Bench) -> Iterator[str]:
    """Maps of either paper with selection of either."""
    yield from ("## Maps and selection of both papers", "", *_head("maps; selector, scorer"))
    maps = {"DecAF": Way("pocket"), "SteerSeg without soft prompts": Way(), "SteerSeg": Way(soft=_address(SHIPPED))}
    for name, way in maps.items():
        for selection in SELECTIONS:
            there = way.soft or name != "SteerSeg"
            title = f"{name}; {selection}"
            yield bench.row(title, Way(way.recipe, way.soft, way.attributes, selection)) if there else _missing(title)


def _head(first: str, *more: str) -> list[str]:
    names = (first, *COLUMNS, *more)
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]


def _missing(name: str) -> str:
    return f"| {name} | not trained yet; `--train` does |"


def _trained(arguments: argparse.Namespace, name: str, **options: Any) -> str | None:
    """The address of soft prompts that are there, or were trained now; a training that was interrupted goes on."""
    folder = (arguments.prompts / name).resolve()  # absolute, or it could be the name of something on the hub
    if arguments.train and not folder.exists():
        unfinished = folder.with_name(f"{name}.unfinished")
        pipeline = Pipeline.from_recipe(RECIPE, device="cpu")
        config = pipeline.registry.config_class("trainer", "soft-prompt")
        trainer = pipeline.registry.build("trainer", "soft-prompt", config(**TRAINING, **options), pipeline.runtime)
        trainer.train(Training(pipeline, "pocket-world", unfinished, resume=unfinished.exists()))
        unfinished.rename(folder)
    return _address(str(folder))


def _address(address: str) -> str | None:
    """The address itself where it holds soft prompts of both views."""
    try:
        for view in VIEWS:
            locate(address, view)
    except WeightsError:
        return None
    return address


def _place(address: str) -> str:
    return load_soft_prompt(locate(address, "frame")).record.place


@contextmanager
def _untrained(address: str) -> Iterator[str]:
    """A folder with soft prompts as those of an address were before training: token embeddings of their text, repeated and cut."""
    model: Any = Pipeline.from_recipe(RECIPE, device="cpu").mllm
    with tempfile.TemporaryDirectory() as folder:
        for view in VIEWS:
            prompt = load_soft_prompt(locate(address, view))
            text = to_numpy(model.embed(prompt.record.initial_text))
            start = np.resize(text, prompt.embeddings.shape).astype(np.float32)  # repeats whole rows, as the widths are equal
            save_soft_prompt(SoftPrompt(start, prompt.record), Path(folder) / view)
        yield folder


def _means(trials: Sequence[Trial]) -> list[float]:
    return [
        _mean([trial.quality for trial in trials]),
        _mean([trial.jaccard for trial in trials]),
        _mean([trial.contour for trial in trials]),
        _mean([_alignment(trial) for trial in trials]),
        *(_mean([trial.alignment[view] for trial in trials]) for view in VIEWS),
        *(_mean([trial.answers[view] for trial in trials]) for view in VIEWS),
        _mean([trial.attributes for trial in trials]),
    ]


def _alignment(trial: Trial) -> float:
    """Correlation of map and truth, the mean of both views; nan where neither can be told."""
    return _mean(list(trial.alignment.values()))


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


if __name__ == "__main__":
    main()
