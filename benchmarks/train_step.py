"""What a step of training soft prompts costs: memory and time beside the number of tokens, and the 7B model's by arithmetic.

    python benchmarks/train_step.py                  1,024 to 4,096 visual tokens, table to benchmarks/results/train_step.md
    python benchmarks/train_step.py --tokens 1024 2048

The pocket model looks at a clip at a size that gives so many visual tokens; one question, 8 soft tokens, one way there and back. Every
figure comes from a process of its own; memory is what the step needs on top of the loaded model and the frames.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from pages import publish, typed
from watch import watched, worked

from gazecut.manifest import machine_name
from gazecut.pipeline import Pipeline
from gazecut.values import Frames, Question, Steering

PLACES = ("before-text", "before-vision")
TOKENS = (1024, 2048, 4096)
SLOTS, CELL = 4, 16  # of the pocket model's video view: temporal slots of 8 frames, pixels of a visual token
LAYERS, WIDTH, HEADS, GROUPS, HEAD, MLP, VOCABULARY = 28, 3584, 28, 4, 128, 18944, 152064  # Qwen2.5-VL 7B
VISUAL, TEXT, SOFT, FIRST = 2912, 90, 64, 14  # a 16-frame clip of 480 x 854, a question, soft tokens, first layer of the rollout
BYTES = 2  # bfloat16
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}  # freed memory goes back at once


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=list(TOKENS), help="visual tokens (default 1024 2048 4096)")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "train_step.md", help="where the table goes")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(_step(**json.loads(arguments.worker))))  # noqa: T201  what the parent process reads
        return
    rows = ["| place | visual tokens | memory of a step, MiB | per token, KiB | seconds |", "|---|---|---|---|---|"]
    for place in PLACES:
        for tokens in arguments.tokens:
            found = worked(__file__, {"place": place, "tokens": tokens}, ENVIRONMENT)
            memory = found["bytes"]
            per_token = memory / found["tokens"] / 2**10
            rows.append(f"| {place} | {found['tokens']:.0f} | {memory / 2**20:.0f} | {per_token:.1f} | {found['seconds']:.2f} |")
    text = "\n".join(
        [
            "# A step of training soft prompts",
            "",
            f"`{typed()}` on {machine_name()}. Pocket model, float32, one thread.",
            "",
            *rows,
            "",
            *_large(),
        ]
    )
    publish(text, arguments.output)


def _step(place: str, tokens: int) -> dict[str, float]:
    side = round((tokens / SLOTS) ** 0.5)
    overrides = {"mllm.views.video.tokens_per_frame": side * side, "attribution.head_weighting": "mean", "attribution.first_layer": 3}
    parts = Pipeline.from_recipe("pocket", overrides=overrides, device="cpu", cache=False)
    images = np.random.default_rng(0).integers(0, 256, (2 * SLOTS, side * CELL, side * CELL, 3), dtype=np.uint8)
    soft = torch.randn(8, parts.mllm.width, generator=torch.Generator().manual_seed(0)).requires_grad_()
    frames, spec = Frames(images, np.arange(2 * SLOTS), 8.0), parts.attribution.spec

    def run() -> None:
        with parts.mllm.differentiable(frames, "video", spec) as session:
            (tracing,) = session.trace([Question("the red circle.", spec, Steering(soft, place))])
            (scores,) = parts.attribution.scores_many(tracing.traces)
            scores.square().sum().backward()

    return {"tokens": SLOTS * side * side, **watched(run)}


def _large() -> list[str]:
    """The estimate for Qwen2.5-VL 7B, with its arithmetic."""
    tokens, own = VISUAL + TEXT + SOFT, TEXT + SOFT
    traced = LAYERS - FIRST
    weights = 8.29e9 * BYTES
    prefix = VISUAL * LAYERS * 2 * GROUPS * HEAD * BYTES + VISUAL * traced * HEADS * HEAD * BYTES
    kept = LAYERS * (10 * WIDTH + 3 * MLP) * BYTES  # of each token that carries a graph: what the way back needs of a layer
    rolled = traced * tokens * (HEADS + GROUPS) * HEAD * BYTES + 2 * HEADS * tokens * 4
    logits = VOCABULARY * 4 * 2
    behind = weights + prefix + own * kept + rolled + logits
    before = weights + prefix + tokens * kept + rolled + logits

    def gib(count: float) -> str:
        return f"{count / 2**30:.2f} GiB"

    return [
        "## The 7B shape, by arithmetic",
        "",
        f"{VISUAL} visual tokens, {TEXT} of text, {SOFT} soft, N = {tokens}; rollout from layer {FIRST}; bfloat16. Not measured.",
        "",
        "| what | how | memory |",
        "|---|---|---|",
        f"| weights, frozen | 8.29 G parameters x {BYTES} | {gib(weights)} |",
        f"| prefix, constant | {VISUAL} tokens x ({LAYERS} layers x 2 x {GROUPS} x {HEAD} keys and values "
        f"+ {traced} layers x {HEADS} x {HEAD} queries) x {BYTES} | {gib(prefix)} |",
        f"| what the way back needs of a token | {LAYERS} layers x (10 x {WIDTH} + 3 x {MLP}) x {BYTES} | {kept / 2**20:.2f} MiB |",
        f"| of the question's own {own} tokens | soft prompts behind the visual tokens | {gib(own * kept)} |",
        f"| of all {tokens} tokens | soft prompts before them; waits in host memory | {gib(tokens * kept)} |",
        f"| queries and keys of the rollout | {traced} layers x {tokens} x {HEADS + GROUPS} x {HEAD} x {BYTES} | {gib(rolled)} |",
        f"| **a step, behind the visual tokens** | | **{gib(behind)}** |",
        f"| **a step, before them** | all of it, {gib(tokens * kept)} of that on the host | **{gib(before)}** |",
        "",
        "No attention matrix is among these: one layer's would be 28 x N x N x 4 bytes, "
        f"{gib(HEADS * tokens * tokens * 4)}, and the product of {traced} layers needs them all.",
        "",
    ]


if __name__ == "__main__":
    main()
