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
from gazecut.errors import RequestError
from gazecut.wording import LONGEST, counted, shown, size_of

if TYPE_CHECKING:
    from gazecut.cli.stdin import Stdin
    from gazecut.pipeline import Pipeline
    from gazecut.protocols import Clip
    from gazecut.result import Result

TIME = "seconds, 1:02.5, or a frame such as 240f"
LONGEST_SLUG = 60  # characters; file systems allow 255 bytes
LONG_CLIP = (500, 60.0)  # frames and seconds from which a few frames of the whole clip are likely to miss something
STDIN = "-"

Raw = Annotated[
    str | None, typer.Option("--raw", metavar="WxH[@FPS]", help="Standard input is bare rgb24 frames of that size.", show_default=False)
]


def segment(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="Video file or folder of images; - for standard input.")],
    expressions: Annotated[list[str], typer.Argument(metavar="EXPRESSION", help="What to segment, in words.")],
    recipe: Recipe = "pocket",
    overrides: Overrides = None,
    output: Output = Path("out"),
    device: Device = "auto",
    seed: Seed = 0,
    begin: Annotated[str | None, typer.Option("--start", metavar="TIME", help=f"Begin there: {TIME}.", show_default=False)] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="TIME", help="Stop before that moment.", show_default=False)] = None,
    every: Annotated[int, typer.Option("--every", metavar="N", min=1, help="Look at each N-th frame only.")] = 1,
    raw: Raw = None,
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
    gazecut segment film.mkv "the red circle" --start 1:02.5 --end 1:10 --every 2
    gazecut segment film.mkv "the red circle" --set sampler.use=windows
    ffmpeg -i film.mkv -f matroska - | gazecut segment - "the red circle"
    ```

    Results of a long video grow in DIR/partial, window by window; after an interruption the same command goes on where it was.
    """
    from gazecut.cli.growth import growth
    from gazecut.cli.progress import progress_display
    from gazecut.output import check_destination
    from gazecut.pipeline import Pipeline

    folders = destinations(output, expressions)
    live = _standard_input(video, raw, part=(begin, end, every) != (None, None, 1))
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
        with pipeline.open(Path(video) if live is None else live.clip(), start=begin, end=end, every=every) as session:
            _hint(pipeline, session.clip)
            with growth(pipeline, session.clip, dict(zip(folders, expressions, strict=True)), force) as under_way:
                results = [under_way.finish(result) for result in session.segment_each(expressions, under_way.add)]
    _tell(results, folders, time.perf_counter() - start)
    if live is not None:
        live.check_end(output)


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


def _standard_input(video: str, raw: str | None, part: bool) -> Stdin | None:
    """Standard input, where the video is that."""
    from gazecut.cli.stdin import open_stdin

    if video == STDIN:
        return open_stdin(raw, part)
    if raw is not None:
        raise RequestError(f'--raw is for standard input, the video "-"; "{video}" says itself what it is.')
    return None


def _hint(pipeline: Pipeline, clip: Clip) -> None:
    """Tell of windows where a few frames of a long clip are all that will be looked at."""
    frames, seconds = LONG_CLIP
    sampler = pipeline.recipe.sampler
    few = sampler.use == "uniform" and clip.length > sampler.filled().get("frames", 0)
    if few and (clip.length > frames or clip.length / clip.fps > seconds):
        typer.echo(
            f"hint: of {clip.length:,} frames sampler uniform looks at a few, and misses what shows for a short time; "
            "--set sampler.use=windows looks at all of the video",
            err=True,
        )


def _tell(results: Sequence[Result], folders: Sequence[Path], seconds: float) -> None:
    """What was found, where it is, and what it took."""
    typer.echo("\n".join(columns(_rows(results, folders))))
    for result in results:
        if result.remark:
            typer.echo(f"{shown(result.expression, LONGEST)}: {result.remark}")
    typer.echo()
    typer.echo("\n".join(what_it_took(results[-1])))
    typer.echo(f"{seconds:.1f} s{where_computed(results)}")


def _rows(results: Sequence[Result], folders: Sequence[Path]) -> list[tuple[str, str, str]]:
    return [(shown(result.expression, LONGEST), _found(result), str(folder)) for result, folder in zip(results, folders, strict=True)]


def _found(result: Result) -> str:
    return counted(len(result.objects), "object") if result.objects else "nothing found"
