"""Objects that are seen briefly in long clips, and what it takes to find them.

    python benchmarks/long_clips.py                    20 held-out scenes of 2,000 frames, table to benchmarks/results/long_clips.md
    python benchmarks/long_clips.py --scenes 2 --set segmenter=attention

In each scene two objects go to and fro all the time; the third, which the sentence names, is there in frames 1,400 to 1,460 alone. Paths
and noise repeat, so that each fifth window comes again byte for byte, and the stage cache answers it: what is measured is the same, in a
fifth of the time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pages import publish, typed
from rich.progress import track

from gazecut import Pipeline
from gazecut.clip.indices import checked_indices
from gazecut.manifest import machine_name
from gazecut.metrics import region_similarity
from gazecut.result import Result
from gazecut.world import HELD_OUT, Expression, Plan, expressions, paint, plan

LENGTH = 2000
SEEN = range(1400, 1461)
STREAMED = (200, 2000)  # frames of the streams
THERE = 60  # frames from one end of a path to the other, and as many back
REPEATS = 2 * THERE  # twice that is five steps from window to window
SIZE = 256
FPS = 24.0
FOUND = 0.5
"""Mean J over the frames in which the target is there, from which it counts as found."""

WAYS: Mapping[str, Mapping[str, Any]] = {
    "windows of 64, overlap 16, 8 frames each": {"sampler": "windows"},
    "the same, contrast above 0.3": {"sampler": "windows", "tracklets.contrast_above": 0.3},
    "uniform, 16 frames, segmenter `attention`": {"sampler": "uniform", "sampler.frames": 16, "segmenter": "attention"},
    "uniform, 64 frames, segmenter `attention`": {"sampler": "uniform", "sampler.frames": 64, "segmenter": "attention"},
}
"""Sixteen frames is what the papers look at; of 2,000 they are 0, 133, ..., 1,332, 1,466, ... and none has the target. To follow something
else over 2,000 frames by SAM 2 would tell no more and take minutes, so the uniform rows interpolate maps instead."""


class LongClip:
    """Frames of a scene, painted when they are asked for.

    Attributes:
        name: What to call it.
        length: Number of frames.
        fps: Frames per second.
        size: (H, W) in pixels.
        sentence: What names the target.
    """

    def __init__(self, seed: int, length: int, seen: range) -> None:
        """Draw the scene of a seed.

        Args:
            seed: Which scene.
            length: Number of frames.
            seen: Frames in which the target is there.
        """
        self.name, self.length, self.fps, self.size = f"scene {seed}", length, FPS, (SIZE, SIZE)
        self.seen = seen
        whole = plan(seed, objects=3, theme="free")
        named = _named(seed, whole)
        self.sentence, self._target = named.text, named.object_ids[0]
        self._whole = whole
        self._others = replace(whole, bodies=tuple(body for number, body in enumerate(whole.bodies) if number != self._target))
        self._paint = lru_cache(maxsize=REPEATS + len(seen))(self._painted)

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 RGB, all or those at ascending indices."""
        for index in checked_indices(self.name, self.length, indices):
            yield self._paint(index % REPEATS, index in self.seen)[0].copy()

    def truth(self) -> np.ndarray:
        """Where the target is in the frames in which it is there, (T, H, W) bool."""
        return np.stack([self._paint(index % REPEATS, True)[1] == self._target + 1 for index in self.seen])

    def _painted(self, phase: int, seen: bool) -> tuple[np.ndarray, np.ndarray]:
        """Pixels and labels; noise is that of the moment, and comes again with it."""
        moment = abs((phase / THERE + 1) % 2 - 1)
        frames, labels = paint(self._whole if seen else self._others, np.array([moment]), SIZE)
        return frames[0], labels[0]


def _named(seed: int, scene: Plan) -> Expression:
    """A sentence that names one object by what it looks like: without it, the sentence is true of none."""
    fitting = [one for one in expressions(scene) if one.kind in ("colour", "name") and len(one.object_ids) == 1]
    return fitting[seed % len(fitting)]


@dataclass(frozen=True)
class Trial:
    """One scene, segmented in one way.

    Attributes:
        jaccard: Mean J over the frames in which the target is there.
        elsewhere: Share of the other frames in which something is marked.
        windows: Share of the windows without the target in which something is kept; nan without windows.
        seconds: It took.
    """

    jaccard: float
    elsewhere: float
    windows: float
    seconds: float


def score(clip: LongClip, result: Result, seconds: float) -> Trial:
    """Score a result; masks are decoded frame by frame."""
    found = np.stack([result.mask(frame) for frame in clip.seen])
    others = [frame for frame in range(clip.length) if frame not in clip.seen]
    marked = [any(one.track.codes[frame] is not None for one in result.objects) for frame in others]
    without = [window for window in result.windows if not set(window.frames) & set(clip.seen)]
    return Trial(
        jaccard=float(region_similarity(clip.truth(), found).mean()),
        elsewhere=float(np.mean(marked)),
        windows=float(np.mean([bool(window.objects) for window in without])) if without else float("nan"),
        seconds=seconds,
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=20, help="held-out scenes (default 20)")
    parser.add_argument("--first-seed", type=int, default=HELD_OUT, help=f"seed of the first scene (default {HELD_OUT})")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="STAGE.OPTION=VALUE", help="as for gazecut segment")
    parser.add_argument("--cache", type=Path, help="where results of stages stay, so that an interrupted run goes on; else nowhere")
    parser.add_argument("--ways", type=int, default=len(WAYS), help="only the first so many ways of sampling")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "long_clips.md", help="where the table goes")
    arguments = parser.parse_args()
    given = dict(each.split("=", 1) for each in arguments.overrides)
    ways = dict(list(WAYS.items())[: arguments.ways])
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.scenes)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    trials: dict[str, list[Trial]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as passing:
        os.environ["GAZECUT_CACHE"] = str(arguments.cache or passing)
        pipelines = {name: _pipeline({**way, **given}) for name, way in ways.items()}
        for seed in track(seeds, description="scenes"):
            for name, pipeline in pipelines.items():
                trials[name].append(_trial(pipeline, LongClip(seed, LENGTH, SEEN)))
            arguments.output.write_text("\n".join(_page(trials, [])), encoding="utf-8")
        delays = list(_delays(_pipeline(given), seeds[0]))
    publish("\n".join(_page(trials, delays)), arguments.output)


def _pipeline(overrides: Mapping[str, Any]) -> Pipeline:
    return Pipeline.from_recipe("pocket", overrides=[f"{key}={value}" for key, value in overrides.items()], device="cpu")


def _trial(pipeline: Pipeline, clip: LongClip) -> Trial:
    start = time.perf_counter()
    result = pipeline.segment(clip, clip.sentence)
    return score(clip, result, time.perf_counter() - start)


def _delays(pipeline: Pipeline, seed: int) -> Iterator[tuple[int, int]]:
    """Of streams: frames, and how many at most were taken from a frame to its masks, itself included."""
    for length in STREAMED:
        clip = LongClip(seed, length, SEEN)
        taken, delay = 0, 0

        def counted(clip: LongClip = clip) -> Iterator[np.ndarray]:
            nonlocal taken
            for frame in clip.frames():
                taken += 1
                yield frame

        for stretch in pipeline.stream(counted(), clip.sentence, fps=clip.fps):
            delay = max(delay, taken - stretch.frames.start)
        yield length, delay


def _page(trials: Mapping[str, list[Trial]], delays: list[tuple[int, int]]) -> Iterator[str]:
    count = len(next(iter(trials.values())))
    yield "# Long clips"
    yield ""
    yield f"`{typed()}` on {machine_name()}, no GPU, torch on {torch.get_num_threads()} of its threads."
    yield ""
    yield f"{count} held-out scenes of {LENGTH:,} frames ({SIZE} px, {FPS:g} fps); the target is there in frames {SEEN.start:,} to"
    yield f"{SEEN.stop - 1:,} alone, two others always. Found: mean J over those frames is at least {FOUND}. Paths and noise repeat every"
    yield f"{REPEATS} frames, each fifth window is like the one before: the stage cache answers it, and seconds are with that help."
    yield ""
    yield "| sampler | found | mean J | marked elsewhere: frames | windows without the target that keep something | s a scene |"
    yield "|---|---|---|---|---|---|"
    for name, some in trials.items():
        found = sum(trial.jaccard >= FOUND for trial in some)
        means = [float(np.mean([getattr(trial, key) for trial in some])) for key in ("jaccard", "elsewhere", "windows", "seconds")]
        windows = "-" if np.isnan(means[2]) else f"{means[2]:.0%}"
        yield f"| {name} | {found} of {count} | {means[0]:.3f} | {means[1]:.0%} | {windows} | {means[3]:.1f} |"
    yield ""
    if not delays:
        return
    yield "## Streams"
    yield ""
    yield "One scene by `pipeline.stream` in windows of 64 frames. Delay: frames that were taken when a frame's masks came, less its place."
    yield ""
    yield "| frames | longest delay, frames |"
    yield "|---|---|"
    for length, delay in delays:
        yield f"| {length:,} | {delay} |"
    yield ""


if __name__ == "__main__":
    main()
