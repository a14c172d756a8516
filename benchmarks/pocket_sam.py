"""What the pocket SAM 2 can do on held-out scenes, alone and within recipe `pocket`, with the other segmenters beside.

    python benchmarks/pocket_sam.py               60 scenes of each kind and 50 for the recipe, tables to benchmarks/results/pocket_sam.md
    python benchmarks/pocket_sam.py --scenes 10 --recipe-scenes 5

Scenes are the pocket world's own ("world") and those that training made harder: they cross, leave, come back and vanish ("hard").
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

import torch
from pages import publish, typed
from rich.progress import track

from gazecut import Pipeline
from gazecut.manifest import machine_name
from gazecut.world import HELD_OUT
from gazecut.world_score import Trial, score_world, summarise
from gazecut_training.sam_evaluate import KINDS, Clicked, Examiner, Followed, click_rows, following_rows

WANTED = {
    "click, random: median IoU": 0.93,
    "click, random: tenth percentile": 0.65,
    "object or background by predicted IoU: AUROC": 0.97,
    "occluded or leaving: J": 0.83,
    "without the object: empty": 0.75,
    "J": 0.88,
}
"""Least figures by the end of a row's name; the first that fits counts."""

SEGMENTERS: Mapping[str, Sequence[str]] = {
    "pocket SAM 2 (the recipe's own)": (),
    "`classical`": ("segmenter={use: classical, figure: 0.8}",),
    "`attention`": ("segmenter=attention",),
}
EXPRESSIONS = 2  # of each scene


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=60, help="held-out scenes of each kind (default 60; half for 16 frames)")
    parser.add_argument("--recipe-scenes", type=int, default=50, help="held-out scenes for the recipe (default 50)")
    parser.add_argument(
        "--first-seed", type=int, default=HELD_OUT, help=f"seed of the first scene (default {HELD_OUT}, the first held out)"
    )
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "pocket_sam.md", help="where the tables go")
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.scenes)
    text = "\n".join(
        [
            "# The pocket SAM 2 on held-out scenes",
            "",
            f"`{typed()}` on {machine_name()}, no GPU, torch on {torch.get_num_threads()} of its threads.",
            "",
            "## Alone",
            "",
            f"{len(seeds)} scenes of each kind at 8 frames, {len(seeds) // 2} at 16, all 256 px. Clicks are single ones: on a pixel of a "
            "visible object drawn at random, or on its innermost one; what follows from a click follows from the innermost one. J is over "
            "all frames but the prompted one where an object is seen. n: clicks, objects followed, or frames without the object.",
            "",
            *bars(seeds),
            "",
            "## In recipe `pocket`",
            "",
            f"{arguments.recipe_scenes} scenes of 8 frames, two expressions each; only the segmenter changes.",
            "",
            *recipes(arguments.recipe_scenes, arguments.first_seed),
            "",
        ]
    )
    publish(text, arguments.output)


def bars(seeds: range) -> Iterator[str]:
    """The table of the model alone, with what is wanted of it."""
    with resources.as_file(resources.files("gazecut_segmenter") / "pocket") as folder:
        examiner = Examiner(folder)
    figures: dict[str, list[str]] = {}
    for kind in KINDS:
        clicks: list[Clicked] = list(track(examiner.clicks(kind, seeds), f"clicks, {kind}", total=None))
        tracks: list[Followed] = []
        for length, some in ((8, seeds), (16, seeds[: len(seeds) // 2])):
            tracks += track(examiner.following(kind, some, length), f"{length} frames, {kind}", total=None)
        for name, figure, count in (*click_rows(clicks), *following_rows(tracks)):
            figures.setdefault(name, []).append(f"{figure:.3f} ({count})" if count else "none")
    yield "| | wanted | " + " | ".join(f"{kind} (n)" for kind in KINDS) + " |"
    yield "|---|---|" + "---|" * len(KINDS)
    for name, values in figures.items():
        least = next((str(least) for end, least in WANTED.items() if name.endswith(end)), "")
        yield f"| {name} | {least} | {' | '.join(values)} |"


def recipes(scenes: int, first_seed: int) -> Iterator[str]:
    """The table of the recipe with one segmenter after the other."""
    yield "| segmenter | J | F | J&F | J&F without motion | J&F worst tenth | seconds a scene |"
    yield "|---|---|---|---|---|---|---|"
    for name, overrides in SEGMENTERS.items():
        pipeline = Pipeline.from_recipe("pocket", overrides=overrides, device="cpu", cache=False)
        start = time.perf_counter()
        trials = list(track(score_world(pipeline, scenes, first_seed, EXPRESSIONS), name, total=EXPRESSIONS * scenes))
        seconds = (time.perf_counter() - start) / max(scenes, 1)
        means = summarise(trials)
        everything, still = means["all"], means["all but motion"]
        yield (
            f"| {name} | {everything['J']:.3f} | {everything['F']:.3f} | {everything['J&F']:.3f} | {still['J&F']:.3f} | "
            f"{worst_tenth(trials):.3f} | {seconds:.2f} |"
        )


def worst_tenth(trials: Sequence[Trial]) -> float:
    """J&F that a tenth of the trials stays below."""
    ranked = sorted(trial.quality for trial in trials)
    return ranked[len(ranked) // 10]


if __name__ == "__main__":
    main()
