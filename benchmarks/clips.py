"""What reading a clip costs, alone and in a whole run: 300 frames of 1280x720 in four kinds of file.

    python benchmarks/clips.py                        table to benchmarks/results/clips.md
    python benchmarks/clips.py --frames 60 --kinds h264 phone

Every figure comes from a process of its own. Beside stands the plain way: all frames at once with numpy.stack.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from rich.progress import track

from gazecut.manifest import machine_name

FRAMES, HEIGHT, WIDTH = 300, 720, 1280
FASTEST = {"deadline": "realtime", "cpu-used": "8", "row-mt": "1"}
EXPRESSION = "the red circle"

READ = """
import json, sys, time
from pathlib import Path
import numpy as np
from gazecut.clip import open_clip
start = time.process_time()
clip = open_clip(sys.argv[1])
opened = time.process_time()
if sys.argv[2] == "stack":
    np.stack(list(clip.frames()))
else:
    for frame in clip.frames():
        pass
"""
SEGMENT = """
import sys, time
from gazecut.cli import main
start = opened = time.process_time()
sys.argv = ["gazecut", "segment", sys.argv[1], sys.argv[2], "--recipe", "pocket", "--device", "cpu", "--no-cache", "--output", sys.argv[3]]
status = 0
try:
    main()
except SystemExit as end:
    status = end.code or 0
if status:
    sys.exit(status)
"""
REPORT = """
import json
from gazecut.meter import highest_resident  # a run forgets its peak stage by stage, and the system with it
ended = time.process_time()
print(json.dumps({"opening": opened - start, "rest": ended - opened, "megabytes": highest_resident() / 2**20}))
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


@dataclass(frozen=True)
class Cost:
    """What a process took.

    Attributes:
        opening: CPU seconds until the clip was open.
        rest: CPU seconds after that.
        megabytes: Most memory that was resident at a time.
    """

    opening: float
    rest: float
    megabytes: float


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
    text = report(rows, arguments.frames)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(text, encoding="utf-8")
    print(text)  # noqa: T201  the table is what the command is for


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


def read_cost(path: Path, way: str = "frames") -> Cost:
    """Open a clip and take its frames, one after another or as a "stack"."""
    return _cost(READ, str(path), way)


def segment_cost(path: Path, output: Path) -> Cost:
    """The whole of `gazecut segment` with recipe `pocket`.

    Raises:
        subprocess.CalledProcessError: The run failed.
    """
    return _cost(SEGMENT, str(path), EXPRESSION, str(output))


def _cost(code: str, *arguments: str) -> Cost:
    command = [sys.executable, "-c", code + REPORT, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def report(rows: Sequence[tuple[str, Cost, Cost, Cost]], frames: int) -> str:
    """The table as Markdown, with how it was measured."""
    lines = [
        "| file | open (s) | of the run | all frames (s) | peak (MB) | stacked (MB) | stacked : one by one | `segment` (s) | peak (MB) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, read, stacked, segmented in rows:
        share, ratio = read.opening / segmented.rest, stacked.megabytes / read.megabytes
        lines.append(
            f"| {name} | {read.opening:.2f} | {share:.1%} | {read.rest:.2f} | {read.megabytes:.0f} | {stacked.megabytes:.0f} "
            f"| {ratio:.1f} | {segmented.rest:.1f} | {segmented.megabytes:.0f} |"
        )
    return "\n".join(
        [
            "# What reading a clip costs",
            "",
            f"`python benchmarks/clips.py --frames {frames}` on {machine_name()}, {os.cpu_count()} cores, no GPU.",
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
