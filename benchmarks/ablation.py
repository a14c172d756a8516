"""What each part of DecAF is worth on the pocket world: heat maps for every combination, final masks for the telling ones.

    python benchmarks/ablation.py                       100 held-out scenes, tables to benchmarks/results/ablation.md
    python benchmarks/ablation.py --scenes 20 --masks 5

Every scene is asked once; all variants are worked out from the same traces.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from pages import publish, typed
from rich.progress import track

from gazecut import Pipeline
from gazecut.arrays import namespace, unit_range
from gazecut.interview import Interview
from gazecut.manifest import machine_name
from gazecut.metrics import contour_accuracy, region_similarity
from gazecut.notes import Reading
from gazecut.protocols import Attribution, FusionStrategy, MLLMBackend, MLLMSession
from gazecut.session import ClipSession
from gazecut.values import Answer, Frames, GridLayout, HeatMaps, MapSet, Query, QueryMaps, Question, TraceSpec
from gazecut.world import HELD_OUT, Scene, render
from gazecut.world_score import map_correlation, pointing_game

WEIGHTINGS = ("mean", "max", "vision-max")
NAMES = {"mean": "plain", "max": "Rollout-Max", "vision-max": "V-Max"}
VIEWS = ("video", "frame", "average")
UNSMOOTHED = {"video": 1, "frame": 1}


@dataclass(frozen=True)
class Variant:
    """One way to make the fused map."""

    weighting: str
    first_layer: int
    view: str = "average"
    background: bool = True
    smooth: bool = True

    @property
    def title(self) -> str:
        """The column it belongs to."""
        return f"{self.view} {'object - background' if self.background else 'object only'}{', smoothed' if self.smooth else ''}"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=100, help="held-out scenes (default 100)")
    parser.add_argument("--masks", type=int, default=40, help="of them, scenes that are also segmented (default 40)")
    parser.add_argument(
        "--first-seed", type=int, default=HELD_OUT, help=f"seed of the first scene (default {HELD_OUT}, the first held out)"
    )
    parser.add_argument("--recipe", default="pocket", help="recipe whose model, sampler and segmenter are used (default pocket)")
    parser.add_argument("--set", action="append", default=[], metavar="STAGE.OPTION=VALUE", help="override an option of the recipe")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "ablation.md", help="where the tables go")
    arguments = parser.parse_args()
    pipeline = Pipeline.from_recipe(arguments.recipe, overrides=arguments.set, device="cpu")
    bench = Bench(pipeline)
    for number in track(range(arguments.scenes), description="scenes"):
        bench.scene(render(arguments.first_seed + number, frames=8, size=256), masks=number < arguments.masks)
    text = bench.report(arguments)
    publish(text, arguments.output)


class Listener:
    """What an interview asks of a clip, with traces of every layer kept; stands where it expects a witness."""

    def __init__(self, mllm: MLLMBackend, frames: Frames) -> None:
        """Open nothing yet."""
        self._mllm, self._frames = mllm, frames
        self.sessions: dict[str, MLLMSession] = {}
        self.answers: dict[Query, Answer] = {}

    def ask(self, asked: Sequence[tuple[Query, str]]) -> list[Reading]:
        """Answers to worded queries."""
        for query, text in asked:
            if query.view not in self.sessions:
                self.sessions[query.view] = self._mllm.open(self._frames, query.view)
            self.answers[query] = self.sessions[query.view].ask([Question(text, TraceSpec())])[0]
        return [Reading(self.answers[query].texts) for query, _ in asked]

    def complete(self, texts: Sequence[str]) -> Sequence[str]:
        """Answers to turns without the clip."""
        return self._mllm.complete_many(texts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for session in self.sessions.values():
            session.close()


class Bench:
    """Collects scores of every variant over scenes."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._pointing: dict[Variant, list[float]] = defaultdict(list)
        self._correlation: dict[Variant, list[float]] = defaultdict(list)
        self._masks: dict[Variant, list[tuple[float, float]]] = defaultdict(list)
        self._layers = 0
        self._attributions: dict[str, Attribution] = {name: self._attribution(name) for name in WEIGHTINGS}

    def scene(self, scene: Scene, masks: bool) -> None:
        """Ask one expression of a scene, and score every variant."""
        expression = scene.expressions[0]
        truth = scene.truth(expression)
        with self._pipeline.open(scene.frames) as session:
            raw, layouts = self._ask(session, expression.text)
            sampled = session.frames.indices
            chosen = set(self.mask_variants())
            for variant, maps in self._variants(raw, layouts, len(sampled)):
                self._pointing[variant].append(pointing_game(maps, truth[sampled]))
                self._correlation[variant].append(map_correlation(maps, truth[sampled]))
                if masks and variant in chosen:
                    found = session.segment_maps(maps, sampled).masks
                    self._masks[variant].append((region_similarity(truth, found).mean(), contour_accuracy(truth, found).mean()))

    def mask_variants(self) -> list[Variant]:
        """The recipe's own way, and each thing about it changed alone."""
        own = self._own()
        others = [
            replace(own, background=False),
            replace(own, view="video"),
            replace(own, view="frame"),
            replace(own, weighting="mean"),
            replace(own, weighting="max"),
            replace(own, smooth=False),
            *[replace(own, first_layer=layer) for layer in range(self._layers) if layer != own.first_layer],
        ]
        return list(dict.fromkeys([own, *others]))

    def report(self, arguments: argparse.Namespace) -> str:
        """All tables as Markdown."""
        lines = [
            "# Ablation on the pocket world",
            "",
            f"`{typed()}` on {machine_name()}, no GPU. One expression per held-out scene, recipe `{arguments.recipe}`.",
            "",
            "## Final masks",
            "",
            f"{len(next(iter(self._masks.values()), []))} scenes; each row changes one thing about the recipe's own way (first row).",
            "",
            "| way | J | F | J&F | pointing |",
            "|---|---|---|---|---|",
            *self._mask_rows(),
        ]
        for title, scores in (("Pointing game of the maps", self._pointing), ("Correlation of the maps with the truth", self._correlation)):
            lines += ["", f"## {title}", "", f"{arguments.scenes} scenes; every frame.", "", *self._table(scores)]
        return "\n".join(lines) + "\n"

    def _mask_rows(self) -> Iterator[str]:
        for variant in self.mask_variants():
            if scores := self._masks.get(variant):
                region, contour = np.mean(scores, axis=0)
                pointing = _mean(self._pointing[variant])
                name = f"{NAMES[variant.weighting]} from layer {variant.first_layer}, {variant.title}"
                yield f"| {name} | {region:.3f} | {contour:.3f} | {(region + contour) / 2:.3f} | {pointing:.3f} |"

    def _table(self, scores: dict[Variant, list[float]]) -> list[str]:
        columns = list(dict.fromkeys(variant.title for variant in scores))
        rows: dict[str, dict[str, float]] = defaultdict(dict)
        for variant, values in scores.items():
            rows[f"{NAMES[variant.weighting]}, layer {variant.first_layer}"][variant.title] = _mean(values)
        head = [f"| rollout from | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
        return head + [f"| {name} | {' | '.join(f'{row[column]:.3f}' for column in columns)} |" for name, row in rows.items()]

    def _own(self) -> Variant:
        options = self._pipeline.recipe.attribution.options.model_dump()
        return Variant(options["head_weighting"], options["first_layer"])

    def _ask(self, session: ClipSession, expression: str) -> tuple[dict[Query, Answer], dict[str, GridLayout]]:
        queries: Sequence[Query] = [Query("object", "video", "object")]
        for strategy in reversed(self._fusion(self._own())):
            queries = strategy.plan(queries)
        with Listener(self._pipeline.mllm, session.frames) as listener:
            Interview(listener, self._pipeline.recipe.prompts).ask([expression], queries)
            layouts = {view: heard.layout for view, heard in listener.sessions.items()}
        self._layers = len(next(iter(listener.answers.values())).traces[0].layers)
        return listener.answers, layouts

    def _variants(self, answers: dict[Query, Answer], layouts: dict[str, GridLayout], frames: int) -> Iterator[tuple[Variant, np.ndarray]]:
        for weighting in WEIGHTINGS:
            for first_layer in range(self._layers):
                maps = MapSet(
                    tuple(self._maps(query, answer, layouts[query.view], weighting, first_layer) for query, answer in answers.items())
                )
                for background in (False, True):
                    asked = maps if background else MapSet(maps.with_role("object"))
                    for smooth in (False, True):
                        for view in VIEWS:
                            variant = Variant(weighting, first_layer, view, background, smooth)
                            yield variant, _fused(asked, self._fusion(variant), frames)

    def _maps(self, query: Query, answer: Answer, layout: GridLayout, weighting: str, first_layer: int) -> QueryMaps:
        traces = [replace(trace, layers=trace.layers[first_layer:]) for trace in answer.traces]
        scores = [self._attributions[weighting].scores(trace) for trace in traces]
        return QueryMaps(query, HeatMaps(layout.fold(namespace(*scores).concat(scores)), layout.frames_per_slot))

    def _attribution(self, weighting: str) -> Attribution:
        build = self._pipeline.registry
        options = build.config_class("attribution", "rollout").model_validate({"head_weighting": weighting, "first_layer": 0})
        attribution: Attribution = build.build("attribution", "rollout", options, self._pipeline.runtime)
        return attribution

    def _fusion(self, variant: Variant) -> list[FusionStrategy]:
        build = self._pipeline.registry
        own = next(stage for stage in self._pipeline.recipe.fusion if stage.use == "contrastive").options.model_dump(mode="json")
        smoothing = {"sigma": own["sigma"], "kernel": own["kernel"] if variant.smooth else UNSMOOTHED}
        chosen = {
            "contrastive": {**smoothing, "strength": 1.0 if variant.background else 0.0},
            "complementary": {"fold": variant.view},
        }
        return [
            build.build("fusion", name, build.config_class("fusion", name).model_validate(options), self._pipeline.runtime)
            for name, options in chosen.items()
        ]


def _fused(maps: MapSet, chain: Sequence[FusionStrategy], frames: int) -> np.ndarray:
    for strategy in chain:
        maps = strategy.fuse(maps)
    fused = maps.fused
    return HeatMaps(unit_range(fused.values), fused.frames_per_slot).per_frame(frames).numpy().astype(np.float32)


def _mean(values: Sequence[float]) -> float:
    return float(np.nanmean(values)) if len(values) else float("nan")


if __name__ == "__main__":
    main()
