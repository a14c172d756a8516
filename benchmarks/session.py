"""What a second question costs: expressions together and one by one, a question after its prefix, a second run, a sweep.

    python benchmarks/session.py
    python benchmarks/session.py --rounds 1 --expressions 8

Expressions and questions: a random Qwen2.5-VL at toy size on 16 frames, a video prefix of 1,568 tokens and a frame prefix of 12,544,
both views, answers of four tokens, prompts about as long as those of the large models. Second runs and sweep: the recipe `pocket`.
Ways that are compared take turns, round by round, and medians are reported. Tables go to results/session.md, figures to
results/session.json, the plot to results/session.png.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loglog import Panel, save
from pages import publish, typed
from rich.progress import Progress
from tiny_qwen import NEW_TOKENS, save_tiny_qwen

from gazecut import Pipeline
from gazecut.manifest import machine_name
from gazecut.prompts import prompt_set, render
from gazecut.values import Question
from gazecut.world import HELD_OUT
from gazecut.world import render as render_scene

FRAMES, SIDE, TOKENS = 16, 224, 196  # px, tokens of a temporal slot
COUNTS = (1, 2, 4, 8, 16)
WORDS = ("red", "green", "blue", "white", "small", "large", "left", "right", "top", "low", "round", "thin", "thick", "dark", "old", "new")
STAGES = ("look", "ask", "attribute")  # the share of the multimodal LLM
THRESHOLDS = tuple(round(0.1 * step, 1) for step in range(1, 10))
CHANGES = {
    "fusion": "fusion.contrastive.sigma=2",
    "selector": "selector.threshold=0.7",
    "segmenter": "segmenter.fill_holes=4",
    "scorer": "scorer.keep.above=0.7",
}
TIMER = """
import sys, time
start = time.perf_counter()
from gazecut import Pipeline
for overrides in sys.argv[2:]:
    Pipeline.from_recipe("pocket", overrides=overrides.split(), device="cpu").segment(sys.argv[1], "the red circle")
print(time.perf_counter() - start)
"""


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each figure (default 3)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--expressions", type=int, default=COUNTS[-1], help=f"most expressions (default {COUNTS[-1]})")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name, Progress() as progress:
        pipeline = _tiny(Path(name) / "tiny")
        parts = [
            *_expressions(pipeline, [count for count in COUNTS if count <= arguments.expressions]),
            ("question", lambda: _question(pipeline)),
            ("second runs", lambda: _second_runs(Path(name), arguments.threads)),
            ("sweep", lambda: _sweep(Path(name), arguments.threads)),
        ]
        task = progress.add_task("session", total=len(parts) * arguments.rounds)
        for _ in range(arguments.rounds):
            for title, measure in parts:
                found.setdefault(title, []).append(measure())
                progress.advance(task)
    medians = {title: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for title, runs in found.items()}
    about = {
        "machine": machine_name(),
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "versions": {"torch": torch.__version__, "python": sys.version.split()[0]},
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "session.json").write_text(
        json.dumps({**about, "medians": medians, "runs": found}, indent=1) + "\n", encoding="utf-8"
    )
    _plot(arguments.output / "session.png", medians)
    publish(_report(about, medians), arguments.output / "session.md")


def _tiny(folder: Path) -> Pipeline:
    """A pipeline on the random model, warmed up; after the maps come the cheapest components."""
    prompts = prompt_set("decaf")
    save_tiny_qwen(folder, [prompts.template(role) for role in ("object", "background", "category")])
    overrides = {
        "mllm.weights": str(folder),
        "mllm.views.video.tokens_per_frame": TOKENS,
        "mllm.max_new_tokens": NEW_TOKENS,
        "sampler.frames": FRAMES,
        "selector": "argmax",
        "segmenter": "attention",
    }
    pipeline = Pipeline.from_recipe("pocket", overrides=overrides, device="cpu", cache=False)
    with pipeline.open(_frames()[:2]) as session:
        session.segment(_names(1)[0])
    return pipeline


def _frames() -> np.ndarray:
    return render_scene(HELD_OUT, frames=FRAMES, size=SIDE).frames


def _names(count: int) -> list[str]:
    return [f"the {word} thing that moves over the ground" for word in WORDS[:count]]


def _expressions(pipeline: Pipeline, counts: list[int]) -> Iterator[tuple[str, Callable[[], dict[str, float]]]]:
    for count in counts:
        yield f"together {count}", lambda count=count: _asked(pipeline, [_names(count)])
        yield f"one by one {count}", lambda count=count: _asked(pipeline, [[name] for name in _names(count)])


def _asked(pipeline: Pipeline, sessions: list[list[str]]) -> dict[str, float]:
    """Seconds and work of the multimodal LLM's share, a fresh session for each list of expressions."""
    total: dict[str, float] = {}
    for expressions in sessions:
        before = time.process_time()
        with pipeline.open(_frames()) as session:
            measured = session.segment_many(expressions)[-1].manifest["measured"]
        shares = {stage: measured["seconds"].get(stage, 0.0) for stage in STAGES}
        work = {name: measured["work"][name] for name in ("vision_runs", "prefills", "prompt_tokens", "generated_tokens", "rollout_passes")}
        for key, value in {"seconds": sum(shares.values()), "processor": time.process_time() - before, **shares, **work}.items():
            total[key] = total.get(key, 0.0) + value
    return total


def _question(pipeline: Pipeline) -> dict[str, float]:
    """Seconds of the forward pass of a question after its prefix, beside those of the prefix and the question in one."""
    spans: list[tuple[float, int]] = []
    backend: Any = pipeline.mllm
    model = backend._reader.hf.model  # the passes are counted from within
    text = render(prompt_set("decaf").template("object"), expression=_names(1)[0])
    started = [0.0]
    hooks = [
        model.register_forward_pre_hook(lambda *_: started.__setitem__(0, time.perf_counter())),
        model.register_forward_hook(lambda _m, _i, output: spans.append((time.perf_counter() - started[0], output.logits.shape[1]))),
    ]
    found = {}
    with pipeline.open(_frames()) as session:
        for view in ("video", "frame"):
            spans.clear()
            with pipeline.mllm.open(session.frames, view) as opened:
                prefill, done = sum(seconds for seconds, _ in spans), len(spans)
                opened.ask([Question(text)])
            # each batch of frames reads the question once, then its answer token by token
            batches = (len(spans) - done) // NEW_TOKENS
            asked = sum(seconds for seconds, _ in spans[done::NEW_TOKENS][:batches])
            found |= {f"{view} prefill": prefill, f"{view} question": asked, f"{view} share": asked / (prefill + asked)}
    for hook in hooks:
        hook.remove()
    return found


def _second_runs(folder: Path, threads: int) -> dict[str, float]:
    """Seconds of a first run on `pocket` and of others with an option changed after the maps; processes, and calls from Python."""
    clip = _clip(folder)
    with tempfile.TemporaryDirectory() as cache:
        command = [str(Path(sys.executable).parent / "gazecut"), "segment", str(clip), "the red circle", "--force", "-o", f"{cache}/out"]
        found = {"process first": _seconds(command, cache, threads)}
        for stage, change in CHANGES.items():
            found[f"process {stage}"] = _seconds([*command, "--set", change], cache, threads)
    with tempfile.TemporaryDirectory() as cache:
        found["python first"] = _timed(clip, [""], cache, threads)
        for stage, change in CHANGES.items():
            found[f"python {stage}"] = _timed(clip, [change], cache, threads)
    return found


def _sweep(folder: Path, threads: int) -> dict[str, float]:
    """Seconds of one run in a fresh process with an empty cache, and of a sweep of nine thresholds."""
    clip, found = _clip(folder), {}
    for title, thresholds in (("one", THRESHOLDS[:1]), ("nine", THRESHOLDS)):
        with tempfile.TemporaryDirectory() as cache:
            found[title] = _timed(clip, [f"scorer.keep.above={threshold}" for threshold in thresholds], cache, threads)
    return {**found, "ratio": found["nine"] / found["one"]}


def _clip(folder: Path) -> Path:
    """Frames of a scene as images."""
    from PIL import Image

    clip = folder / "clip"
    clip.mkdir(exist_ok=True)
    for number, frame in enumerate(render_scene(HELD_OUT, frames=24, size=256).frames):
        Image.fromarray(frame).save(clip / f"{number:03d}.png")
    return clip


def _timed(clip: Path, overrides: list[str], cache: str, threads: int) -> float:
    """Seconds that a process tells of the calls in it."""
    done = subprocess.run(
        [sys.executable, "-c", TIMER, str(clip), *overrides], env=_environment(cache, threads), check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def _seconds(command: list[str], cache: str, threads: int) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=_environment(cache, threads), check=True, capture_output=True)
    return time.perf_counter() - start


def _environment(cache: str, threads: int) -> dict[str, str]:
    return {**os.environ, "GAZECUT_CACHE": f"{cache}/stages", "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}


def _report(about: dict[str, Any], medians: dict[str, dict[str, float]]) -> str:
    counts = [count for count in COUNTS if f"together {count}" in medians]
    one = medians["together 1"]
    lines = [
        "# What a second question costs",
        "",
        f"`{typed()}` on {about['machine']}, no GPU, torch {about['versions']['torch']} on {about['threads']} thread(s); medians of "
        f"{about['rounds']} rounds.",
        "",
        "## Expressions on one clip",
        "",
        "Seconds of the multimodal LLM's share: looking, asking, attributing. One by one opens a fresh session for each expression.",
        "",
        "| expressions | together | x one | one by one | x one | processor, together | x one | prompt tokens | prefixes | rollout passes |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for count in counts:
        ours, alone = medians[f"together {count}"], medians[f"one by one {count}"]
        lines.append(
            f"| {count} | {ours['seconds']:.2f} s | {ours['seconds'] / one['seconds']:.2f} | {alone['seconds']:.2f} s "
            f"| {alone['seconds'] / one['seconds']:.2f} | {ours['processor']:.2f} s | {ours['processor'] / one['processor']:.2f} "
            f"| {ours['prompt_tokens']:.0f} | {ours['prefills']:.0f} | {ours['rollout_passes']:.0f} |"
        )
    question = medians["question"]
    lines += ["", "## A question after its prefix", "", "| view | prefix | question | share of both |", "|---|---|---|---|"]
    for view in ("video", "frame"):
        prefill, asked, share = (question[f"{view} {what}"] for what in ("prefill", "question", "share"))
        lines.append(f"| {view} | {prefill:.3f} s | {asked:.3f} s | {share:.3f} |")
    second, sweep = medians["second runs"], medians["sweep"]
    lines += ["", "## `pocket` again, with another option after the maps", "", f"| | first | {' | '.join(CHANGES)} |"]
    lines += ["|---|---|" + "---|" * len(CHANGES)]
    for kind, title in (("process", "`gazecut segment`"), ("python", "from Python, in a fresh process")):
        first = second[f"{kind} first"]
        cells = [f"{second[f'{kind} {stage}']:.2f} s ({second[f'{kind} {stage}'] / first:.2f})" for stage in CHANGES]
        lines.append(f"| {title} | {first:.2f} s | {' | '.join(cells)} |")
    lines += [
        "",
        f"A sweep of nine scorer thresholds: {sweep['nine']:.2f} s, {sweep['ratio']:.2f} times one run ({sweep['one']:.2f} s).",
        "",
    ]
    return "\n".join(lines)


def _plot(path: Path, medians: dict[str, dict[str, float]]) -> None:
    counts = [count for count in COUNTS if f"together {count}" in medians]
    series = {way: [(count, medians[f"{way} {count}"]["seconds"]) for count in counts] for way in ("together", "one by one")}
    tokens = {way: [(count, medians[f"{way} {count}"]["prompt_tokens"]) for count in counts] for way in series}
    save(path, [Panel("seconds of the MLLM's share", series), Panel("prompt tokens read", tokens)], "expressions on one clip")


if __name__ == "__main__":
    main()
