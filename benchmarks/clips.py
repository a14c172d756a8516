"""What reading a clip costs, alone and in a whole run: 300 frames of 1280x720 in four kinds of file.

    python benchmarks/clips.py                        table to benchmarks/results/clips.md
    python benchmarks/clips.py --frames 60 --kinds h264 phone

Every figure comes from a process of its own. Beside stands the plain way: all frames at once with numpy.stack.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from pages import publish, typed
from rich.progress import track
from watch import Spent, in_own_process, segmenting

from gazecut.manifest import machine_name

FRAMES, HEIGHT, WIDTH = 300, 720, 1280
FASTEST = {"deadline": "realtime", "cpu-used": "8", "row-mt": "1"}
EXPRESSION = "the red circle"

READ = """
import sys
import numpy as np
from gazecut.clip import open_clip
tick()
clip = open_clip(sys.argv[1])
tick()
if sys.argv[2] == "stack":
    np.stack(list(clip.frames()))
else:
    for frame in clip.frames():
        pass
tick()
"""


@dataclass(frozen=True)
class Kind:
    """A kind of video file.

    Attributes:
        name: File name.
        codec: Encoder.
        options: Of the encoder.
        rotation: Counter-clockwise turn that sets it upright, in degrees.
    """

    name: str
    codec: str
    options: dict[str, str]
    rotation: int = 0


KINDS = {
    "h264": Kind("h264.mp4", "libx264", {"preset": "veryfast"}),
    "vp9": Kind("vp9.webm", "libvpx-vp9", FASTEST),
    "av1": Kind("av1.mp4", "libsvtav1", {"preset": "12"}),
    "phone": Kind("phone.mov", "libx264", {"preset": "veryfast"}, rotation=-90),
}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"frames of each clip (default {FRAMES})")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), help="kinds of file (default all)")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "clips.md", help="where the table goes")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in track(arguments.kinds, "Kinds"):
            path = write_clip(KINDS[name], Path(folder), arguments.frames)
            read, stacked, segmented = read_cost(path), read_cost(path, "stack"), segment_cost(path, Path(folder) / f"out-{name}")
            rows.append((path.name, read, stacked, segmented))
    publish(report(rows, arguments.frames), arguments.output)


def pictures(count: int) -> Iterator[np.ndarray]:
    """Frames (720, 1280, 3) uint8 RGB: a red circle that crosses a soft, drifting ground."""
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    ground = cv2.GaussianBlur(noise, (0, 0), 4)
    for number in range(count):
        image = np.ascontiguousarray(np.roll(ground, 2 * number, axis=1))
        yield cv2.circle(image, (150 + 3 * number, HEIGHT // 2), 80, (230, 20, 20), -1)


def write_clip(kind: Kind, folder: Path, frames: int = FRAMES) -> Path:
    """Encode the frames as a file of that kind."""
    path = folder / kind.name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(kind.codec, rate=30, options=kind.options)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.set_display_rotation(kind.rotation)
        for image in pictures(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def read_cost(path: Path, way: str = "frames") -> Spent:
    """Open a clip and take its frames, one after another or as a "stack"; each is a lap."""
    return in_own_process(READ, str(path), way)


def segment_cost(path: Path, output: Path) -> Spent:
    """The whole of `gazecut segment` with recipe `pocket`, as one lap.

    Raises:
        subprocess.CalledProcessError: The run failed.
    """
    return segmenting(path, EXPRESSION, output, "--recipe", "pocket")


def report(rows: Sequence[tuple[str, Spent, Spent, Spent]], frames: int) -> str:
    """The table as Markdown, with how it was measured."""
    lines = [
        "| file | open (s) | of the run | all frames (s) | peak (MB) | stacked (MB) | stacked : one by one | `segment` (s) | peak (MB) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, read, stacked, segmented in rows:
        (opening, taking), (whole,) = read.processor, segmented.processor
        lines.append(
            f"| {name} | {opening:.2f} | {opening / whole:.1%} | {taking:.2f} | {read.megabytes:.0f} | {stacked.megabytes:.0f} "
            f"| {stacked.megabytes / read.megabytes:.1f} | {whole:.1f} | {segmented.megabytes:.0f} |"
        )
    return "\n".join(
        [
            "# What reading a clip costs",
            "",
            f"`{typed()}` on {machine_name()}, {os.cpu_count()} cores, no GPU.",
            f"{frames} frames of {WIDTH}x{HEIGHT}; `phone.mov` is stored lying and comes upright.",
            "",
            *lines,
            "",
            "Opening decodes the file once, so that the number of frames is true and damage shows before a model runs; beside it, its part",
            "of the time of a whole `gazecut segment` with recipe `pocket`. Times are CPU seconds of all threads; peaks are of resident",
            "memory, Python and its libraries included; stacked is that of `numpy.stack` over all frames.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
