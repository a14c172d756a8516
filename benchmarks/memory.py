"""What a whole run needs of memory as the clip grows: 200, 2,000 and 5,000 frames of 256 px.

    python benchmarks/memory.py                        table to benchmarks/results/memory.md
    python benchmarks/memory.py --frames 200 400

Every figure comes from a process of its own that does what `gazecut segment` does, files included: with the clip as a whole, in windows,
or piped in. Beside stands the plain way: every encoded frame kept for the way back.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from pages import publish, typed
from rich.progress import track
from watch import segmenting

from gazecut.manifest import machine_name
from gazecut.world import HELD_OUT, paint, plan

FRAMES = (200, 2_000, 5_000)
SEED = HELD_OUT + 5
SIZE, FPS = 256, 24
PERIOD = 96  # frames in which the objects go to the end of their ways and back
PAINTED_AT_ONCE = 50


@dataclass(frozen=True)
class Way:
    """How a clip is segmented.

    Attributes:
        overrides: Of recipe `pocket`.
        piped: Whether the clip comes through a pipe.
        about: A sentence on it for the page; none where the name says it.
    """

    overrides: tuple[str, ...] = ()
    piped: bool = False
    about: str = ""


WINDOWS = "sampler={use: windows}"
WAYS = {
    "whole clip": Way(),
    "windows": Way((WINDOWS,)),
    "stream": Way((WINDOWS,), piped=True, about="*Stream*: the same windows, the file piped into `gazecut segment -`."),
    "every frame kept": Way(("segmenter.kept_frames=1000000",), about="*Every frame kept*: each encoded frame waits for the way back."),
}


@dataclass(frozen=True)
class Cost:
    """What a run took.

    Attributes:
        frames: Frames of the clip.
        seconds: From the command line to the last file.
        megabytes: Most memory that was resident at a time.
        codes: Size of `masks.json`, in MB: the run-length codes.
    """

    frames: int
    seconds: float
    megabytes: float
    codes: float


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=list(FRAMES), help="lengths of the clips, the first is compared with")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), help="how they are segmented (default all)")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "memory.md", help="where the table goes")
    arguments = parser.parse_args()
    costs: dict[str, list[Cost]] = {way: [] for way in arguments.ways}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for frames in arguments.frames:
            clip, expression = write_clip(folder / f"{frames}.mp4", frames)
            for way in track(arguments.ways, f"{frames} frames"):
                costs[way].append(segment_cost(clip, expression, frames, WAYS[way]))
    publish(report(costs), arguments.output)


def pictures(count: int) -> Iterator[np.ndarray]:
    """Frames (256, 256, 3) uint8 RGB of one scene whose objects go to and fro."""
    scene = plan(SEED, objects=3, theme="free")
    phase = np.arange(count) / PERIOD % 2
    for moments in np.array_split(np.minimum(phase, 2 - phase), -(-count // PAINTED_AT_ONCE)):
        yield from paint(scene, moments, SIZE)[0]


def write_clip(path: Path, count: int) -> tuple[Path, str]:
    """Encode the frames; the file, which can be piped, and what names one of its objects."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS), options={"crf": "12", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        for image in pictures(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    body = plan(SEED, objects=3, theme="free").bodies[0]
    return path, f"the {body.colour} {body.shape}"


def segment_cost(clip: Path, expression: str, frames: int, way: Way) -> Cost:
    """One run in a process of its own.

    Raises:
        subprocess.CalledProcessError: The run failed.
    """
    with tempfile.TemporaryDirectory() as output:
        changes = [part for override in way.overrides for part in ("--set", override)]
        spent = segmenting(clip, expression, Path(output), *changes, piped=way.piped)
        codes = (Path(output) / "masks.json").stat().st_size / 2**20
    return Cost(frames, spent.seconds[0], spent.megabytes, codes)


def report(costs: dict[str, list[Cost]]) -> str:
    """The table as Markdown, with how it was measured."""
    lines = ["| segmented | frames | seconds | peak (MB) | codes (MB) | peak less codes, to the first |", "|---|---|---|---|---|---|"]
    for way, rows in costs.items():
        base = rows[0].megabytes - rows[0].codes
        for cost in rows:
            more = (cost.megabytes - cost.codes) / base - 1
            lines.append(f"| {way} | {cost.frames:,} | {cost.seconds:.0f} | {cost.megabytes:.0f} | {cost.codes:.2f} | {more:+.1%} |")
    return "\n".join(
        [
            "# Memory of a run as the clip grows",
            "",
            f"`{typed()}` on {machine_name()}, {os.cpu_count()} cores, no GPU.",
            "",
            f"Recipe `pocket`, clips of {SIZE}x{SIZE} at {FPS} frames per second, three objects, one asked for; `gazecut segment` with all",
            "its exporters. Peaks are of resident memory, Python and its libraries included.",
            *(WAYS[way].about for way in costs if WAYS[way].about),
            "",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    main()
