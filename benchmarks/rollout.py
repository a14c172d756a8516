"""Rollout of a row beside the materialised product: time, memory, scaling, several prompts, gradients.

    python benchmarks/rollout.py                          on the CPU, two threads, three rounds
    python benchmarks/rollout.py --rounds 1 --largest 4096
    python benchmarks/rollout.py --device cuda            also the fused kernel beside SDPA, and 131,072 tokens

Every figure comes from a process of its own that times one call and watches its peak memory; ways that are compared take turns,
round by round, and medians are reported. Tables go to results/rollout.md, figures to results/rollout.json, the plot to results/rollout.png.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from loglog import Panel, save
from pages import publish, typed
from rich.progress import Progress
from watch import watched, worked

from gazecut.manifest import machine_name
from gazecut_mllm.rollout import Method, rollout_row, rollout_rows

LAYERS, HEADS, GROUPS, WIDTH = 8, 8, 2, 64  # of the comparison on the CPU, float32
BOTH = (1024, 2048, 4096)  # tokens at which the materialised product is measured too
OURS = (*BOTH, 8192, 16384)
OWN_TOKENS = 48  # of each prompt beside the shared trunk
PROMPTS, TRUNK = 8, 4096  # the last with one prompt
GRADIENT = (2048, 4096)
CARD_LAYER = (28, 4, 128)  # query heads, key heads, head dim: Qwen2.5-VL 7B, bfloat16
CARD_TOKENS = (3072, 8192, 32768)
LONGEST, LONGEST_LAYERS = 131072, 14

Layer = tuple[torch.Tensor, torch.Tensor, float]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda adds its own table (default cpu)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each figure (default 3)")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (default 2)")
    parser.add_argument("--largest", type=int, default=OURS[-1], help=f"most tokens on the CPU (default {OURS[-1]})")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(_measurement(json.loads(arguments.worker))))  # noqa: T201  what the parent process reads
        return
    figures = _measured(arguments)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "rollout.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    _plot(arguments.output / "rollout.png", figures)
    publish(_report(figures), arguments.output / "rollout.md")


def _measured(arguments: argparse.Namespace) -> dict[str, Any]:
    jobs = [{"what": "row", "kernel": kernel, "tokens": n} for n in OURS for kernel in ("chunked", "reference")]
    jobs = [job for job in jobs if job["tokens"] <= (arguments.largest if job["kernel"] == "chunked" else min(arguments.largest, BOTH[-1]))]
    jobs += [{"what": "prompts", "tokens": TRUNK}]
    jobs += [{"what": "gradient", "tokens": tokens} for tokens in GRADIENT]
    if arguments.device == "cuda":
        jobs += [{"what": "card", "tokens": tokens} for tokens in CARD_TOKENS] + [{"what": "longest"}]
    environment = {"OMP_NUM_THREADS": str(arguments.threads), "OMP_WAIT_POLICY": "PASSIVE"}
    found: list[list[dict[str, float]]] = [[] for _ in jobs]
    with Progress() as progress:
        task = progress.add_task("rollout", total=len(jobs) * arguments.rounds)
        for _ in range(arguments.rounds):
            for at, job in enumerate(jobs):
                found[at].append(worked(__file__, job, environment))
                progress.advance(task)
    results = [
        {**job, **{name: statistics.median(each[name] for each in runs) for name in runs[0]}, "runs": runs}
        for job, runs in zip(jobs, found, strict=True)
    ]
    card = torch.cuda.get_device_name() if arguments.device == "cuda" else None
    versions = {"torch": torch.__version__, "python": sys.version.split()[0]}
    return {
        "machine": machine_name(),
        "card": card,
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "versions": versions,
        "results": results,
    }


def _measurement(job: dict[str, Any]) -> dict[str, float]:
    """One measurement, in a process of its own."""
    torch.manual_seed(0)
    work = {"row": _row, "prompts": _prompts, "gradient": _gradient, "card": _card, "longest": _longest}[job["what"]]
    return work(job)


def _layers(tokens: int, count: int = LAYERS, leaves: bool = False) -> list[Layer]:
    return [
        (
            torch.randn(HEADS, tokens, WIDTH).mul_(2).requires_grad_(leaves),
            torch.randn(GROUPS, tokens, WIDTH).requires_grad_(leaves),
            WIDTH**-0.5,
        )
        for _ in range(count)
    ]


def _row(job: dict[str, Any]) -> dict[str, float]:
    tokens, kernel = job["tokens"], job["kernel"]
    layers, visual = _layers(tokens), torch.arange(16, tokens - OWN_TOKENS)
    rollout_row(_layers(64), torch.arange(32), kernel=kernel)
    with torch.inference_mode():
        return watched(lambda: rollout_row(layers, visual, kernel=kernel))


def _prompts(job: dict[str, Any]) -> dict[str, float]:
    trunk, found = job["tokens"] - OWN_TOKENS, []
    layers, visual = _layers(trunk + PROMPTS * OWN_TOKENS), torch.arange(16, trunk)
    one = [(query[:, : job["tokens"]], key[:, : job["tokens"]], scale) for query, key, scale in layers]
    rollout_row(_layers(64), torch.arange(32))
    with torch.inference_mode():
        for _ in range(3):
            alone, together = (
                watched(lambda: rollout_row(one, visual)),
                watched(lambda: rollout_rows(layers, visual, [OWN_TOKENS] * PROMPTS)),
            )
            ratios = {f"{name}_ratio": together[name] / alone[name] for name in ("seconds", "processor")}
            found.append({"one": alone["seconds"], "together": together["seconds"], **ratios})
    return {name: statistics.median(each[name] for each in found) for name in found[0]}


def _gradient(job: dict[str, Any]) -> dict[str, float]:
    tokens = job["tokens"]
    layers, visual = _layers(tokens, leaves=True), torch.arange(16, tokens - OWN_TOKENS)
    rollout_row(_layers(64, leaves=True), torch.arange(32)).square().sum().backward()
    return watched(lambda: rollout_row(layers, visual)[visual].square().sum().backward())


def _card_layer(tokens: int) -> Layer:
    heads, groups, width = CARD_LAYER
    query, key = (torch.randn(count, tokens, width, device="cuda", dtype=torch.bfloat16) for count in (heads, groups))
    return query, key, width**-0.5


def _card(job: dict[str, Any]) -> dict[str, float]:
    query, key, scale = _card_layer(job["tokens"])
    value, visual = torch.randn_like(key), torch.arange(16, job["tokens"] - OWN_TOKENS)

    def forward() -> object:
        # With a batch axis, as a model calls it: without one torch picks a slower kernel.
        return torch.nn.functional.scaled_dot_product_attention(query[None], key[None], value[None], is_causal=True, enable_gqa=True)

    layers = [(query, key, scale)]
    with torch.inference_mode():
        sdpa = _card_seconds(forward)
        fused, eight = (_card_seconds(work) for work in (lambda: rollout_row(layers, visual, kernel="fused"), lambda: _eight(layers)))
        chunked = _card_seconds(lambda: rollout_row(layers, visual, kernel="chunked"), repeats=3)
    return {"sdpa": sdpa, "fused": fused, "eight": eight, "chunked": chunked, "ratio": fused / sdpa}


def _eight(layers: list[Layer]) -> object:
    visual = torch.arange(16, layers[0][0].shape[1] - PROMPTS * OWN_TOKENS)
    return rollout_rows(layers, visual, [OWN_TOKENS] * PROMPTS, method=Method(kernel="fused"))


def _card_seconds(work: Callable[[], object], repeats: int = 20) -> float:
    """Median seconds of a call on the card, after three to warm up."""
    times = []
    for at in range(repeats + 3):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        if at >= 3:
            times.append(start.elapsed_time(end) / 1000)
    return statistics.median(times)


def _longest(_: dict[str, Any]) -> dict[str, float]:
    with torch.inference_mode():
        rollout_row([_card_layer(1024)], torch.arange(512))
        layers = [_card_layer(LONGEST) for _ in range(LONGEST_LAYERS)]
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before, start = torch.cuda.memory_allocated(), time.perf_counter()
        rollout_row(layers, torch.arange(16, LONGEST - OWN_TOKENS))
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "inputs": float(before), "bytes": float(torch.cuda.max_memory_allocated() - before)}


def _of(figures: dict[str, Any], **wanted: object) -> list[dict[str, Any]]:
    return [result for result in figures["results"] if all(result.get(name) == value for name, value in wanted.items())]


def _report(figures: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    lines = [
        "# Rollout without the matrix",
        "",
        f"`{typed()}` on {figures['machine']}, {figures['threads']} threads, {versions}; medians of "
        f"{figures['rounds']} rounds, ways taking turns. {LAYERS} layers, {HEADS} query heads, {GROUPS} key heads, head dim {WIDTH}, "
        "float32. Processor time is that of all threads: where other work shares the machine, it says more than the clock. Memory is the "
        "peak beside the inputs.",
        "",
        "| tokens | materialised | in chunks | faster | processor time, materialised | in chunks | faster | peak memory, materialised "
        "| in chunks | less |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for ours in _of(figures, what="row", kernel="chunked"):
        whole = _of(figures, what="row", kernel="reference", tokens=ours["tokens"])
        cells = []
        for name, unit, per in (("seconds", "s", 1.0), ("processor", "s", 1.0), ("bytes", "MB", 1e6)):
            cells += [f"{whole[0][name] / per:.2f} {unit}" if whole else "", f"{ours[name] / per:.2f} {unit}", _ratio(whole, ours, name)]
        lines.append(f"| {ours['tokens']} | {' | '.join(cells)} |")
    lines += ["", *_extras(figures), "", *_card_lines(figures), ""]
    return "\n".join(lines)


def _ratio(whole: list[dict[str, Any]], ours: dict[str, Any], name: str) -> str:
    return f"{whole[0][name] / ours[name]:.1f} x" if whole else ""


def _extras(figures: dict[str, Any]) -> list[str]:
    prompts = _of(figures, what="prompts")[0]
    short, long = (_of(figures, what="gradient", tokens=tokens)[0] for tokens in GRADIENT)
    return [
        f"- {PROMPTS} prompts with {OWN_TOKENS} tokens of their own after a trunk of {prompts['tokens'] - OWN_TOKENS}: "
        f"{prompts['together']:.2f} s together, {prompts['one']:.2f} s for one, {prompts['seconds_ratio']:.2f} times as much "
        f"({prompts['processor_ratio']:.2f} in processor time).",
        f"- Forward and backward: {short['seconds']:.2f} s and {short['bytes'] / 1e6:.0f} MB at {GRADIENT[0]} tokens, "
        f"{long['seconds']:.2f} s and {long['bytes'] / 1e6:.0f} MB at {GRADIENT[1]}, {long['bytes'] / short['bytes']:.2f} times the "
        "memory, gradients included.",
    ]


def _card_lines(figures: dict[str, Any]) -> list[str]:
    heads, groups, width = CARD_LAYER
    if figures["card"] is None:
        return ["Not run on a GPU: the fused kernel beside SDPA, and the longest sequence (`--device cuda`)."]
    longest = _of(figures, what="longest")[0]
    lines = [
        f"One layer on {figures['card']}: {heads} query heads, {groups} key heads, head dim {width}, bfloat16.",
        "",
        "| tokens | SDPA forward | fused | times SDPA | fused, eight prompts | in chunks |",
        "|---|---|---|---|---|---|",
    ]
    for each in _of(figures, what="card"):
        times = [f"{1000 * each[name]:.2f} ms" for name in ("sdpa", "fused", "eight", "chunked")]
        lines.append(f"| {each['tokens']} | {times[0]} | {times[1]} | {each['ratio']:.2f} | {times[2]} | {times[3]} |")
    return [
        *lines,
        "",
        f"{LONGEST} tokens, {LONGEST_LAYERS} layers: {longest['seconds']:.1f} s, {longest['bytes'] / 2**20:.0f} MiB beside the "
        f"{longest['inputs'] / 2**30:.1f} GiB of queries and keys.",
    ]


def _plot(path: Path, figures: dict[str, Any]) -> None:
    names = {"reference": "materialised", "chunked": "in chunks"}
    panels = []
    for quantity, title, unit in (("processor", "processor time, s", 1.0), ("bytes", "peak memory beside the inputs, MB", 1e6)):
        series = {
            name: [(each["tokens"], each[quantity] / unit) for each in _of(figures, what="row", kernel=kernel)]
            for kernel, name in names.items()
        }
        panels.append(Panel(title, series))
    save(path, panels, "tokens")


if __name__ == "__main__":
    main()
