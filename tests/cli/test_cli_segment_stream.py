"""`gazecut segment -`: a video from standard input, and the same masks as from its file."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from gazecut.cli.growth import growth
from gazecut.clip import open_clip
from gazecut.clip.passing import PassingClip
from gazecut.components import hookimpl
from gazecut.protocols import Clip
from gazecut.stretch import Stretch
from gazecut.testing import fake_pipeline, moving_square, samples
from gazecut.world.files import write_video

FRAMES, SIZE = 70, (48, 64)
RECIPE = """
version: 1
about: fakes in windows
sampler: {use: windows, frames: 4, length: 16, overlap: 4}
mllm: {use: fake}
prompts: decaf
attribution: {use: fake}
fusion: [{use: fake-difference}, {use: fake-mean}]
selector: {use: fake}
segmenter: {use: fake}
scorer: {use: fake}
exporters: [{use: masks}, {use: overlay, shortest_side: 0}, {use: heatmaps}, {use: sheet}, {use: manifest}]
"""
COMMAND = ("--plugin", "gazecut.testing.plugin", "segment")
OPTIONS = ("-r", "windows.yaml", "--device", "cpu")
HOW = 'Pipe a video in, in a form that is read as it comes: ffmpeg -i IN -f matroska - | gazecut segment - "the dog"'
FORMS = {
    "matroska": ("libx264", {}),
    "webm": ("libvpx", {}),
    "mpegts": ("libx264", {}),
    "mp4": ("libx264", {"movflags": "frag_keyframe+empty_moov"}),
    "yuv4mpegpipe": ("wrapped_avframe", {}),
    "mjpeg": ("mjpeg", {}),
    "h264": ("libx264", {}),
}


def encoded(form: str, frames: int = FRAMES) -> bytes:
    """A video as an encoder writes it into a pipe: it cannot go back to fill in what it learns later."""
    file = io.BytesIO()
    pipe = type("Pipe", (), {"write": lambda self, content: file.write(content)})()
    codec, options = FORMS[form]
    with av.open(pipe, "w", format=form, options=options) as container:
        stream = container.add_stream(codec, rate=12)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for image in moving_square(frames, SIZE).images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


Segment = Callable[..., Any]


@pytest.fixture
def segment(gazecut: Any, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Segment:
    """segment(video, *arguments, stdin=bytes or file) -> Ended."""
    (workdir / "windows.yaml").write_text(RECIPE)

    def call(video: str, *arguments: str, stdin: Any = b"") -> Any:
        if isinstance(stdin, bytes):
            (workdir / "stdin").write_bytes(stdin)
            stdin = (workdir / "stdin").open("rb")
        with stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            return gazecut(*COMMAND, video, *arguments, *OPTIONS)

    return call


def evidence(folder: Path) -> dict[str, bytes]:
    """All files of a result but the record and the sheet, which name the clip."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name not in ("run.json", "sheet.png"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.parametrize("form", FORMS)
def test_a_pipe_gives_what_the_file_gives(segment: Segment, workdir: Path, form: str) -> None:
    content = encoded(form)
    (workdir / f"clip.{form}").write_bytes(content)
    assert segment(f"clip.{form}", "the square", "-o", "file").status == 0
    ended = segment("-", "the square", "-o", "pipe", "--no-cache", stdin=content)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("the square   1 object   pipe\n")
    file, pipe = evidence(workdir / "file"), evidence(workdir / "pipe")
    assert len(pipe) == FRAMES + 3
    assert file.keys() == pipe.keys()
    assert [name for name in file if file[name] != pipe[name]] == []
    assert (workdir / "pipe" / "evidence" / "sheet.png").exists()


def test_bare_frames_give_what_their_array_gives(segment: Segment, workdir: Path) -> None:
    images = moving_square(FRAMES, SIZE).images
    ended = segment("-", "the square", "--raw", f"{SIZE[1]}x{SIZE[0]}@12.5", "-o", "raw", stdin=images.tobytes())
    assert (ended.status, ended.err) == (0, "")
    windows = {"sampler": {"use": "windows", "frames": 4, "length": 16, "overlap": 4}}
    result = fake_pipeline(windows).segment(open_clip(images), "the square")
    codes = json.loads((workdir / "raw" / "masks.json").read_text())
    assert codes["fps"] == 12.5
    assert [one["rle"] for one in codes["objects"]] == [list(found.track.codes) for found in result.objects]


def test_a_real_pipe_in_a_real_shell(workdir: Path) -> None:
    (workdir / "windows.yaml").write_text(RECIPE)
    (workdir / "clip.mkv").write_bytes(encoded("matroska"))
    program = "import sys; from gazecut.cli import main; sys.argv[0] = 'gazecut'; main()"
    line = f"cat clip.mkv | {sys.executable} -c {json.dumps(program)} {' '.join(COMMAND)} - 'the square' {' '.join(OPTIONS)}"
    done = subprocess.run(["bash", "-c", line], cwd=workdir, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((workdir / "out" / "masks").iterdir())) == FRAMES


def test_several_expressions_share_one_pass(segment: Segment, workdir: Path) -> None:
    ended = segment("-", "the square", "the dog", "the square", stdin=encoded("matroska"))
    assert (ended.status, ended.err) == (0, "")
    assert {path.name for path in (workdir / "out").iterdir()} == {"the-square", "the-dog", "the-square-2"}
    work = json.loads((workdir / "out" / "the-dog" / "run.json").read_text())["measured"]["work"]
    assert work["frames_decoded"] == FRAMES, "a stream passes once"
    assert evidence(workdir / "out" / "the-square")["masks.json"] == evidence(workdir / "out" / "the-square-2")["masks.json"]


def test_results_grow_while_the_stream_runs(segment: Segment, workdir: Path) -> None:
    """The rest of the stream is held back until the first window stands in the folder."""
    content = moving_square(FRAMES, SIZE).images.tobytes()
    first, record, seen = 20 * SIZE[0] * SIZE[1] * 3, workdir / "out" / "partial" / "partial.json", []
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(content[:first])
            pipe.flush()
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not seen:
                if record.exists() and (frames := json.loads(record.read_text())["frames_done"]):
                    seen.append((frames, len(list((record.parent / "masks").iterdir()))))
                time.sleep(0.01)
            pipe.write(content[first:])

    feeder = threading.Thread(target=feed)
    feeder.start()
    ended = segment("-", "the square", "--raw", f"{SIZE[1]}x{SIZE[0]}", stdin=os.fdopen(reading, "rb"))
    feeder.join()
    assert (ended.status, ended.err) == (0, "")
    assert seen == [(14, 14)]


def test_bare_frames_that_end_in_the_middle_of_one(segment: Segment, workdir: Path) -> None:
    content = moving_square(20, SIZE).images.tobytes()[:-100]
    ended = segment("-", "the square", "--raw", "64x48", stdin=content)
    wanted = (
        "gazecut: standard input broke off after 19 frames: 9116 bytes of a frame came, a frame of 64x48 in rgb24 has 9216. "
        "What came before is whole, and in out.\n"
    )
    assert (ended.status, ended.err) == (1, wanted)
    assert len(list((workdir / "out" / "masks").iterdir())) == 19
    assert (workdir / "out" / "run.json").exists()


def amid(content: bytes, number: int) -> int:
    """A place within a packet of a video, counted from 0; how large each of them is differs between encoders' runs."""
    with av.open(io.BytesIO(content)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
    return packet.pos + packet.size // 2


@pytest.mark.parametrize("form", ["mp4", "file"])
def test_a_stream_that_breaks_off(segment: Segment, workdir: Path, form: str) -> None:
    if form == "file":  # its header promises more than comes
        write_video(workdir / "clip.mp4", moving_square(FRAMES, SIZE).images, fps=12)
        with av.open("clip.mp4") as source, av.open("clip.mkv", "w") as copy:
            stream = copy.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    copy.mux(packet)
        content = (workdir / "clip.mkv").read_bytes()
    else:
        content = encoded("mp4")
    ended = segment("-", "the square", stdin=content[: amid(content, FRAMES // 2)])
    assert ended.status == 1
    assert ended.err.startswith("gazecut: standard input broke off after ")
    assert ended.err.endswith("What came before is whole, and in out.\n")
    frames = int(ended.err.split()[6])
    assert 0 < frames < FRAMES
    assert len(list((workdir / "out" / "masks").iterdir())) == frames
    with av.open("out/overlay.mp4") as container:
        assert sum(1 for _ in container.decode(video=0)) == frames


def whole_mp4(workdir: Path) -> bytes:
    """An index at the end, which nobody can find in a pipe, and more before it than a reader holds."""
    images = np.random.default_rng(0).integers(0, 255, (40, *SIZE, 3), dtype=np.uint8)
    with av.open(str(workdir / "late.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return (workdir / "late.mp4").read_bytes()


REFUSED = [
    ((), b"", f"standard input: nothing came. {HOW}"),
    (("--raw", "64x48"), b"", f"standard input: nothing came. {HOW}"),
    (("--raw", "64x48"), b"123", f"standard input: 3 bytes of a frame came, a frame of 64x48 in rgb24 has 9216. {HOW}"),
    (
        (),
        np.random.default_rng(0).bytes(9000),
        f"found when processing input. It is no video, or one that cannot be read as it comes. {HOW}",
    ),
    ((), b"just a text\n" * 100, HOW),
    ((), whole_mp4, f"standard input: its index stands at its end, and a pipe cannot go back. {HOW}"),
    ((), b"ffconcat version 1.0\nfile 'clip.mkv'\n", HOW),
    ((), b"#EXTM3U\n#EXTINF:1,\nfile:clip.ts\n#EXT-X-ENDLIST\n", HOW),
    *(
        (
            ("--raw", form),
            b"",
            f'raw frames of "{form}" cannot be; wanted WIDTHxHEIGHT or WIDTHxHEIGHT@FPS, for example 640x480 or 640x480@25.',
        )
        for form in ("640", "0x480", "640x480@", "640x480@0", "640x480@25/0", "axb", "640x480@-1")
    ),
    (("--raw", "99999x99999"), b"", "has frames of 99999x99999, 10000 million pixels; allowed are 67 million"),
    (
        ("--start", "3"),
        b"",
        "--start, --end and --every are for files, a stream cannot be cut here. Cut it before: ffmpeg -ss 60 -t 10 -i IN",
    ),
    (("--every", "2"), b"", "--start, --end and --every are for files"),
]


@pytest.mark.parametrize(("arguments", "stdin", "message"), REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_what_is_refused(segment: Segment, workdir: Path, arguments: tuple[str, ...], stdin: Any, message: str) -> None:
    ended = segment("-", "the square", *arguments, stdin=stdin(workdir) if callable(stdin) else stdin)
    assert (ended.status, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.startswith("gazecut: ")
    assert not (workdir / "out").exists()


def test_a_terminal_is_refused(segment: Segment) -> None:
    ours, theirs = os.openpty()
    try:
        ended = segment("-", "the square", stdin=os.fdopen(theirs, "rb"))
    finally:
        os.close(ours)
    assert (ended.status, ended.err) == (2, f"gazecut: standard input is a terminal, so no video can come from it. {HOW}\n")


def test_a_closed_one_is_refused(gazecut: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    ended = gazecut("segment", "-", "the square")
    assert (ended.status, ended.err) == (2, f"gazecut: standard input is closed, so no video can come from it. {HOW}\n")


def test_raw_is_for_standard_input(gazecut: Any) -> None:
    ended = gazecut("segment", "clip.mp4", "the square", "--raw", "64x48")
    assert (ended.status, ended.err) == (2, 'gazecut: --raw is for standard input, the video "-"; "clip.mp4" says itself what it is.\n')


@pytest.mark.parametrize(("frames", "fps", "hint"), [(501, 100, True), (61, 1, True), (500, 100, False)])
def test_a_long_clip_with_a_few_frames_gets_a_hint(segment: Segment, workdir: Path, frames: int, fps: int, hint: bool) -> None:
    write_video(workdir / "long.mp4", moving_square(frames, (16, 16)).images, fps=fps)
    ended = segment("long.mp4", "the square", "--set", "sampler=uniform", "--set", "exporters=[{use: manifest}]")
    assert ended.status == 0
    wanted = (
        f"hint: of {frames:,} frames sampler uniform looks at a few, and misses what shows for a short time; "
        "--set sampler.use=windows looks at all of the video\n"
    )
    assert ended.err == (wanted if hint else "")


def test_a_clip_whose_frames_are_all_looked_at_gets_no_hint(segment: Segment, workdir: Path) -> None:
    write_video(workdir / "long.mp4", moving_square(61, (16, 16)).images, fps=1)
    exporters = ("--set", "exporters=[{use: manifest}]")
    for part in (("--every", "4"), ("--set", "sampler.frames=61")):  # 16 frames of 16, 61 of 61
        ended = segment("long.mp4", "the square", "--set", "sampler=uniform", *part, *exporters)
        assert (ended.status, ended.err) == (0, "")


def test_a_sentence_takes_one_line_of_the_table_whatever_it_holds(segment: Segment, workdir: Path) -> None:
    write_video(workdir / "clip.mp4", moving_square(4, (16, 16)).images, fps=1)
    ended = segment("clip.mp4", "the\nsquare \x1b[31m", "a" * 300, "--set", "exporters=[{use: manifest}]")
    assert (ended.status, ended.err) == (0, "")
    first, second = ended.out.splitlines()[:2]
    assert first.startswith("the\\nsquare \\x1b[31m  ")
    assert second.startswith(f"{'a' * 197}...   ")


class Written:
    """What observers are told of writing."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @hookimpl
    def on_stage_end(self, stage: str, summary: str) -> None:
        if stage == "write":
            self.told.append(summary)


def stream(images: np.ndarray) -> Iterator[np.ndarray]:
    yield from images


def test_progress_tells_frames_and_what_was_found(tmp_path: Path) -> None:
    written = Written()
    pipeline = fake_pipeline(observers=[written])
    clip = moving_square(4)
    with growth(pipeline, clip, {tmp_path / "out": "the bright square"}, force=False) as results:
        for each in samples.stretches(samples.result(), 1, 3):
            results.add(each)
        results.finish(samples.result())
    extents = [f"{frames} of 4 frames, 2 objects so far" for frames in (1, 3, 4)]
    assert written.told == [*extents, str(tmp_path / "out")]


def interrupted(clip: Clip, expressions: dict[Path, str], stretches: list[Stretch]) -> None:
    with growth(fake_pipeline(), clip, expressions, force=False) as results:
        for each in stretches:
            results.add(each)
        raise KeyboardInterrupt


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("passing", [False, True])
def test_an_interruption_says_what_is_there(tmp_path: Path, several: bool, passing: bool) -> None:
    clip = PassingClip(stream(moving_square(4).images)) if passing else moving_square(4)
    expressions = {tmp_path / "out" / "a": "the bright square"} | ({tmp_path / "out" / "b": "the bright square"} if several else {})
    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted(clip, expressions, samples.stretches(samples.result(), 1, 3)[:2] * (1 + several))
    where = tmp_path / "out" / ("*" if several else "a") / "partial"
    extent = "3 frames" if passing else "3 of 4 frames"
    way_on = ", and whole; a stream cannot be gone on with" if passing else "; run the same command again to go on"
    assert caught.value.__notes__ == [f"{extent} are in {where}{way_on}"]


def test_nothing_is_said_where_nothing_was_left(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted(moving_square(4), {tmp_path / "a": "it"}, [])
    assert not hasattr(caught.value, "__notes__")
