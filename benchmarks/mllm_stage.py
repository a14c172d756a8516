"""What the multimodal LLM's stage of DecAF costs on 16 frames, with models of real shape and random weights.

    python benchmarks/mllm_stage.py --device cuda    Qwen2.5-VL-7B and InternVL3-8B: 40 GB of GPU memory, 17 GB of disk for each in turn
    python benchmarks/mllm_stage.py --tiny           the same way through tiny models, on a CPU, in seconds

One expression by the recipe `decaf-NAME` with both views, prompts of the object, the background and the category, answers of four
tokens. A first run warms up; medians of the others. Seconds are taken when the device has done what it was given: vision tower, prefill
(the rest of what opens a view, pixels included), generation (questions and answers), rollout. Everything after the maps is left out.
Table to results/mllm_stage.md, figures to results/mllm_stage.json; a tiny run prints its table and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pages import publish, typed
from random_weights import SHAPES, save_random

from gazecut import Pipeline
from gazecut.components import hookimpl
from gazecut.manifest import machine_name
from gazecut.meter import highest_resident
from gazecut.prompts import prompt_set

FRAMES, SIZE, TINY_SIZE = 16, (480, 854), (96, 160)  # px
NEW_TOKENS = 4
EXPRESSION = "the red thing that moves over the ground"
SHARES = {"vision": "vision", "look": "prefill", "ask": "generation", "attribute": "rollout"}


class Clock:
    """Seconds by stage, exclusive of stages within; the device is waited for whenever it stops."""

    def __init__(self, device: torch.device) -> None:
        """Nothing was measured yet."""
        self.seconds: dict[str, float] = {}
        self._device, self._open, self._last = device, [""], time.perf_counter()

    @hookimpl
    def on_stage_start(self, stage: str) -> None:
        """What comes now is this stage's."""
        self._tick()
        self._open.append(stage)

    @hookimpl
    def on_stage_end(self, stage: str) -> None:
        """What comes now is again that of the stage around it."""
        self._tick()
        del self._open[self._open.index(stage) :]

    def _tick(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._last
        self._last = now


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the models compute (default cpu)")
    parser.add_argument("--models", nargs="+", choices=sorted(SHAPES), default=list(SHAPES), help="which to measure (default both)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each figure (default 3)")
    parser.add_argument("--tiny", action="store_true", help="tiny models: shows that it runs, measures nothing of interest")
    parser.add_argument("--folder", type=Path, help="where checkpoints are put meanwhile (default: the system's folder for such files)")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    arguments = parser.parse_args()
    if arguments.device == "cpu" and not arguments.tiny:
        parser.error("models of real shape take hours on a CPU: give --device cuda, or --tiny")
    device = torch.device(arguments.device)
    rows = [measured(name, device, arguments.rounds, arguments.tiny, arguments.folder) for name in arguments.models]
    text = report(rows, f"{machine_name()}, torch {torch.__version__}", device)
    if not arguments.tiny:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "mllm_stage.json").write_text(
            json.dumps({"machine": machine_name(), "rows": rows}, indent=1) + "\n", encoding="utf-8"
        )
        publish(text, arguments.output / "mllm_stage.md")
    else:
        print(text)  # noqa: T201  the table is what the command is for


def measured(name: str, device: torch.device, rounds: int, tiny: bool, folder: Path | None = None) -> dict[str, Any]:
    """Medians of one model: seconds of each share, counts of work, and the most memory in use, in bytes."""
    texts = [prompt_set("decaf").template(role) for role in ("object", "background", "category")]
    with tempfile.TemporaryDirectory(dir=folder) as place:
        parameters = save_random(Path(place), name, texts, NEW_TOKENS, device, tiny)
        clock = Clock(device)
        pipeline = _pipeline(name, place, device, clock)
        backend: Any = pipeline.mllm  # weights are read here
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with _vision_timed(backend._reader.hf.model, clock):
            runs = [_run(pipeline, clock, TINY_SIZE if tiny else SIZE) for _ in range(rounds + 1)][1:]
        peak = backend.peak_memory() or highest_resident()
    medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    return {"name": f"{name}, tiny" if tiny else name, "parameters": parameters, "peak": peak, **medians}


def report(rows: list[dict[str, Any]], machine: str, device: torch.device) -> str:
    """The table, as Markdown."""
    where = "of the device" if device.type == "cuda" else "of the process"
    lines = [
        "# The multimodal LLM's stage of DecAF",
        "",
        f"`{typed()}` on {machine}.",
        f"Random weights, {FRAMES} frames, one expression, answers of {NEW_TOKENS} tokens. Peak is memory {where}.",
        "",
        "| model | parameters | seconds | peak | " + " | ".join(SHARES.values()) + " | prompt tokens | answer tokens |",
        "|---|---|---|---|" + "---|" * (len(SHARES) + 2),
    ]
    for row in rows:
        total = sum(row[share] for share in SHARES.values())
        shares = " | ".join(f"{row[share]:.2f} s ({row[share] / total:.0%})" for share in SHARES.values())
        lines.append(
            f"| {row['name']} | {row['parameters'] / 1e6:,.1f} M | {total:.2f} | {row['peak'] / 2**30:.1f} GiB | {shares} "
            f"| {row['prompt_tokens']:.0f} | {row['generated_tokens']:.0f} |"
        )
    return "\n".join([*lines, ""])


def _pipeline(name: str, weights: str, device: torch.device, clock: Clock) -> Pipeline:
    """The recipe of the paper with the cheapest components after the maps."""
    overrides = {
        "mllm.weights": weights,
        "mllm.max_new_tokens": NEW_TOKENS,
        "sampler.frames": FRAMES,
        "attribution.first_layer": _first_layer(Path(weights)),
        "selector": "argmax",
        "segmenter": "attention",
    }
    return Pipeline.from_recipe(f"decaf-{name}", overrides=overrides, device=str(device), observers=[clock], cache=False)


def _first_layer(weights: Path) -> int:
    """The middle of the language model, as the recipes have it."""
    return int(json.loads((weights / "config.json").read_text(encoding="utf-8"))["text_config"]["num_hidden_layers"]) // 2


@contextmanager
def _vision_timed(model: Any, clock: Clock) -> Iterator[None]:
    """Time of the vision tower counts for itself."""
    tower = getattr(model.model, "visual", None) or model.model.vision_tower
    hooks = [
        tower.register_forward_pre_hook(lambda *_: clock.on_stage_start("vision")),
        tower.register_forward_hook(lambda *_: clock.on_stage_end("vision")),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _run(pipeline: Pipeline, clock: Clock, size: tuple[int, int]) -> dict[str, float]:
    """Seconds of each share and counts of work of one run on noise."""
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, *size, 3), dtype=np.uint8)
    clock.seconds.clear()
    work = pipeline.segment(frames, EXPRESSION).manifest["measured"]["work"]
    seconds = {share: clock.seconds.get(stage, 0.0) for stage, share in SHARES.items()}
    return {**seconds, "prompt_tokens": work["prompt_tokens"], "generated_tokens": work["generated_tokens"]}


if __name__ == "__main__":
    main()
