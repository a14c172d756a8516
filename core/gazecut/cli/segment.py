"""`gazecut segment`: the main job."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gazecut.cli.installed import asked_plugins
from gazecut.cli.options import Device, Force, NoCache, Output, Overrides, Recipe, Seed, VerifyWeights
from gazecut.cli.tables import columns
from gazecut.wording import counted, size_of

if TYPE_CHECKING:
    from gazecut.result import Result

TIME = "seconds, 1:02.5, or a frame such as 240f"
LONGEST_SLUG = 60  # characters; file systems allow 255 bytes


def segment(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="Video file or folder of images.")],
    expressions: Annotated[list[str], typer.Argument(metavar="EXPRESSION...", help="What to segment, in words.")],
    recipe: Recipe = "pocket",
    overrides: Overrides = None,
    output: Output = Path("out"),
    device: Device = "auto",
    seed: Seed = 0,
    begin: Annotated[str | None, typer.Option("--start", metavar="TIME", help=f"Begin there: {TIME}.", show_default=False)] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="TIME", help="Stop before that moment.", show_default=False)] = None,
    every: Annotated[int, typer.Option("--every", metavar="N", min=1, help="Look at each N-th frame only.")] = 1,
    force: Force = False,
    no_cache: NoCache = False,
    verify_weights: VerifyWeights = False,
) -> None:
    """Segment what a sentence names, in every frame of a video.

    Several sentences share one look at the video. Each gets a folder of its own then.

    ```
    gazecut segment clip.mp4 "the red circle" -o out
    gazecut segment clip.mp4 "the red circle" "the star moving left"
    gazecut segment frames/ "the dog" -r decaf-qwen2.5-vl-7b --device cuda
    gazecut segment clip.mp4 "the red circle" --set selector.threshold=0.7
    gazecut segment film.mkv "the red circle" --start 1:02.5 --end 1:10 --every 2
    ```
    """
    from gazecut.cli.progress import progress_display
    from gazecut.output import check_destination
    from gazecut.pipeline import Pipeline

    folders = destinations(output, expressions)
    start = time.perf_counter()
    with progress_display() as display:
        pipeline = Pipeline.from_recipe(
            recipe,
            overrides=overrides or (),
            device=device,
            seed=seed,
            observers=[display],
            plugins=asked_plugins(),
            cache=not no_cache,
            verify_weights=verify_weights,
        )
        for folder in folders:
            check_destination(folder, force=force)
        with pipeline.open(video, start=begin, end=end, every=every) as session:
            results = []
            for result, folder in zip(session.segment_each(expressions), folders, strict=True):
                with pipeline.observers.stage("write"):
                    result.save(folder, force=force)
                results.append(result)
    typer.echo("\n".join(columns(_rows(results, folders))))
    typer.echo()
    typer.echo("\n".join(what_it_took(results[-1])))
    typer.echo(f"{time.perf_counter() - start:.1f} s{where_computed(results)}")


def destinations(output: Path, expressions: Sequence[str]) -> list[Path]:
    """The output folder itself for one expression, a folder within it each for several."""
    if len(expressions) == 1:
        return [output]
    taken: dict[str, int] = {}
    folders = []
    for expression in expressions:
        name = slug(expression)
        taken[name] = taken.get(name, 0) + 1
        folders.append(output / (name if taken[name] == 1 else f"{name}-{taken[name]}"))
    return folders if len(set(folders)) == len(folders) else [output / f"{number:02d}" for number in range(1, len(folders) + 1)]


def slug(expression: str) -> str:
    """An expression as the name of a folder: its words, lower case, joined by "-"."""
    return "-".join(re.findall(r"\w+", expression.lower()))[:LONGEST_SLUG].rstrip("-") or "expression"


def where_computed(results: Iterable[Result]) -> str:
    """The device of the multimodal LLM, as the manifest says."""
    devices = {str(result.manifest["weights"]["mllm"]["device"]) for result in results if "mllm" in result.manifest["weights"]}
    return f" on {', '.join(sorted(devices))}" if devices else ""


def what_it_took(result: Result) -> Iterator[str]:
    """Seconds and peak memory by stage, and the work done, of the session that gave a result as its last."""
    measured = result.manifest["measured"]
    peaks = measured["peak_memory_bytes"]["stages"]
    rows = [(stage, f"{seconds:.2f}", size_of(peaks.get(stage, 0))) for stage, seconds in measured["seconds"].items()]
    yield from columns([("STAGE", "SECONDS", "PEAK MEMORY"), *rows])
    done = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in measured["work"].items() if count)
    yield f"\nwork: {done or 'none'}"


def _rows(results: Sequence[Result], folders: Sequence[Path]) -> list[tuple[str, str, str]]:
    return [(result.expression, _found(result), str(folder)) for result, folder in zip(results, folders, strict=True)]


def _found(result: Result) -> str:
    return counted(len(result.objects), "object") if result.objects else "nothing found"
