"""Exporters that write as frames come: the same files as of the whole, and memory that does not grow with the clip."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from gazecut.clip import ArrayClip
from gazecut.optional import StretchExporter
from gazecut.output import export_result
from gazecut.protocols import Exporter
from gazecut.result import JudgedTracklet, Result, Window
from gazecut.testing import samples
from gazecut.values import Tracklet
from gazecut_plugins.exporters.config import MasksOptions, OverlayOptions, SheetOptions
from gazecut_plugins.exporters.lettering import Lettering
from gazecut_plugins.exporters.masks import MasksExporter
from gazecut_plugins.exporters.overlay import OverlayExporter
from gazecut_plugins.exporters.sheet import SheetExporter


def exported(result: Result, folder: Path, exporter: StretchExporter, cuts: Sequence[int]) -> Path:
    folder.mkdir(parents=True)
    for stretch in samples.stretches(result, *cuts):
        exporter.export_stretch(stretch, folder)
    exporter.export(result, folder)
    return folder


def pictures(file: Path) -> np.ndarray:
    with av.open(str(file)) as container:
        frames = list(container.decode(video=0))
        steps = {round(frame.time * container.streams.video[0].average_rate, 6) for frame in frames}
    assert steps == set(range(len(frames)))
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


@pytest.mark.parametrize("cuts", [(), (1,), (9, 10, 11), (5, 12, 23), tuple(range(1, 24))])
def test_the_joined_overlay_plays_every_frame_in_order(cuts: Sequence[int], make_result, tmp_path: Path) -> None:
    result = make_result(size=(96, 128), frames=24)
    overlay = OverlayExporter(OverlayOptions(shortest_side=0, quality=8, legend=False))
    whole = tmp_path / "whole"
    whole.mkdir()
    export_result(result, [overlay], whole)
    folder = exported(result, tmp_path / "cut", overlay, cuts)
    assert [path.name for path in folder.iterdir()] == ["overlay.mp4"]
    wanted, found = (pictures(each / "overlay.mp4").astype(int) for each in (whole, folder))
    assert found.shape == wanted.shape
    apart = np.abs(found[:, None] - wanted[None]).mean((2, 3, 4))
    assert apart.argmin(1).tolist() == list(range(24)), "each frame is most like its own"
    assert apart.diagonal().max() < 4, "other frames are more than 25 away"
    again = exported(result, tmp_path / "again", overlay, cuts)
    assert (again / "overlay.mp4").read_bytes() == (folder / "overlay.mp4").read_bytes()


@pytest.mark.parametrize("fps", [24 / 100_000, 1 / 2000, 0.4, 30_000 / 1001])
def test_slow_clips_play_in_their_own_time(fps: float, make_result, tmp_path: Path) -> None:
    whole = make_result(frames=4)
    result = replace(whole, clip=ArrayClip(list(whole.clip.frames()), fps=fps))
    folder = exported(result, tmp_path / "cut", OverlayExporter(OverlayOptions(shortest_side=0)), (1, 3))
    with av.open(str(folder / "overlay.mp4")) as container:
        seconds = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(seconds, np.arange(4) / fps, rtol=1e-3)


@pytest.mark.parametrize("fps", [1 / 40_000, 1e-9, 24 / 10**20])
def test_clips_slower_than_a_file_can_tell_are_written(fps: float, make_result, tmp_path: Path) -> None:
    whole = make_result(frames=3)
    result = replace(whole, clip=ArrayClip(list(whole.clip.frames()), fps=fps))
    folder = exported(result, tmp_path / "cut", OverlayExporter(OverlayOptions(shortest_side=0)), (1, 2))
    assert len(pictures(folder / "overlay.mp4")) == 3


def test_each_part_plays_while_the_others_are_to_come(make_result, tmp_path: Path) -> None:
    overlay = OverlayExporter(OverlayOptions())
    for stretch in samples.stretches(make_result(frames=9), 2, 3):
        overlay.export_stretch(stretch, tmp_path)
    parts = sorted((tmp_path / "overlay").iterdir())
    assert [part.name for part in parts] == ["00000000.mp4", "00000002.mp4", "00000003.mp4"]
    assert [len(pictures(part)) for part in parts] == [2, 1, 6]


def test_the_strip_is_as_high_whoever_appears(make_result, tmp_path: Path) -> None:
    overlay = OverlayExporter(OverlayOptions())
    for words in ("a disc", "the disc that is on the left of the larger one", "the " + "very " * 60 + "red disc"):
        folder = tmp_path / words[:40]
        folder.mkdir()
        for number, stretch in enumerate(samples.stretches(make_result(scores=(0.9,) * 12, frames=12, expression=words), 3, 6)):
            overlay.export_stretch(replace(stretch, objects=stretch.objects[: 6 * number]), folder)
        assert len({pictures(part).shape[1:] for part in (folder / "overlay").iterdir()}) == 1
        overlay.export(make_result(frames=12), folder)
        assert len(pictures(folder / "overlay.mp4")) == 12


def test_images_and_codes_are_those_of_the_whole(make_result, tmp_path: Path) -> None:
    result, masks = make_result(frames=8), MasksExporter(MasksOptions())
    whole, cut = exported(result, tmp_path / "whole", masks, ()), exported(result, tmp_path / "cut", masks, (1, 2, 5))
    names = sorted(str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file())
    assert len(names) == 9
    assert all((whole / name).read_bytes() == (cut / name).read_bytes() for name in names)
    objects = [{"id": one.id, "score": one.score, "rle": list(one.track.codes)} for one in result.objects]
    content = {"size": [48, 64], "fps": 12.5, "objects": objects}
    assert (cut / "masks.json").read_text() == json.dumps(content, separators=(",", ":")) + "\n"


class WindowsOf:
    """A result that was looked at in windows of two sampled frames each; the object is in some of them."""

    def __init__(self, make_result, windows: int, shown: Sequence[int]) -> None:
        whole = make_result(frames=20 * windows, sampled=2 * windows, scores=(0.9,), dropped=0)
        indices = np.array([20 * window + offset for window in range(windows) for offset in (3, 16)])
        judged = tuple(self.candidate(whole, window, windows, window in shown) for window in range(windows))
        maps = np.random.default_rng(0).random((2 * windows, 4, 5)).astype(np.float32)
        self.result = replace(
            whole,
            frame_indices=indices,
            heatmaps=replace(whole.heatmaps, fused=maps, video=None, frame=None),
            points=samples.Points.single_clicks(np.array([(2 * window, 0.3, 0.6, 0.9) for window in range(windows)], np.float64)),
            tracklets=judged,
            windows=tuple(self.window(indices, judged, window, window in shown) for window in range(windows)),
        )

    def candidate(self, whole: Result, window: int, windows: int, kept: bool) -> JudgedTracklet:
        codes = [None] * (2 * windows)
        codes[2 * window] = whole.objects[0].track.codes[20 * window + 3]
        track = replace(whole.objects[0].track, codes=tuple(codes))
        bare = Tracklet(2 * window, np.array([[0.5, 0.5]]), 0.9, 0.8, track, np.zeros((2 * windows, 0, 0), np.float16))
        return JudgedTracklet(bare, 0.9 if kept else window / 100, kept, 0.5, "above 0.8" if kept else "not above 0.8")

    def window(self, indices: np.ndarray, judged: Sequence[JudgedTracklet], number: int, shown: bool) -> Window:
        own = range(20 * number, 20 * number + 20)
        at = indices[2 * number : 2 * number + 2]
        return Window(own, own, at, (judged[number],), (1,) if shown else (), (0.9,) if shown else (), (), "disc", 0.5)


def sheet_of(result: Result, folder: Path, monkeypatch: pytest.MonkeyPatch, windows: int) -> tuple[list[str], tuple[int, int]]:
    """What is written on the sheet, and its (height, width)."""
    written: list[str] = []
    write = Lettering.write
    monkeypatch.setattr(
        Lettering, "write", lambda self, draw, at, text, *rest: written.append(" ".join(text.split())) or write(self, draw, at, text, *rest)
    )
    exported(result, folder, SheetExporter(SheetOptions()), range(20, 20 * windows, 20))
    with Image.open(folder / "evidence" / "sheet.png") as image:
        return written, (image.height, image.width)


def test_of_many_windows_those_with_objects_and_the_best_others_are_shown(make_result, tmp_path: Path, monkeypatch) -> None:
    written, size = sheet_of(WindowsOf(make_result, 40, [30]).result, tmp_path / "out", monkeypatch, 40)
    headings = [text for text in written if text.startswith("window ")]
    assert headings == [
        "window 31: object 1",
        "window 38: nothing kept, best 0.37",
        *(f"window {n}: nothing kept, best 0.{n - 1}" for n in (39, 40)),
    ]
    assert "1 object · 40 candidates · 80 of 800 frames looked at in 40 windows, 4 of them shown · discs, 64 x 48" in written
    assert {"frame 603 · 48.2 s", "frame 616 · 49.3 s", "frame 743 · 59.4 s"} <= set(written)
    assert size[0] < 1500
    assert size[1] < 1900
    assert [path.name for path in (tmp_path / "out" / "evidence").iterdir()] == ["sheet.png"]


def test_of_few_windows_all_are_shown(make_result, tmp_path: Path, monkeypatch) -> None:
    written, _ = sheet_of(WindowsOf(make_result, 3, [0, 1, 2]).result, tmp_path / "out", monkeypatch, 3)
    assert [text for text in written if text.startswith("window ")] == [f"window {number}: object 1" for number in (1, 2, 3)]
    assert "1 object · 3 candidates · 6 of 60 frames looked at in 3 windows, all of them shown · discs, 64 x 48" in written


LONG = """
import sys
from pathlib import Path
import numpy as np
from gazecut.clip import ArrayClip
from gazecut.meter import highest_resident
from gazecut.result import FoundObject
from gazecut.stretch import Stretch
from gazecut.testing import samples
from gazecut.values import MaskTrack
from gazecut.windows import HeldClip
from gazecut_plugins.exporters.config import MasksOptions, OverlayOptions, SheetOptions
from gazecut_plugins.exporters.masks import MasksExporter
from gazecut_plugins.exporters.overlay import OverlayExporter
from gazecut_plugins.exporters.sheet import SheetExporter

LENGTH, folder = int(sys.argv[1]), Path(sys.argv[2])
exporters = [MasksExporter(MasksOptions()), OverlayExporter(OverlayOptions(shortest_side=0, legend=False)), SheetExporter(SheetOptions())]
some = samples.result(frames=20, size=(180, 240))
images, codes = list(some.clip.frames()), some.objects[0].track.codes
for start in range(0, LENGTH, 20):
    objects = tuple(FoundObject(one.id, one.score, one.track) for one in some.objects)
    clip = HeldClip([image.copy() for image in images], start, "it", 8)
    stretch = Stretch("it", clip, range(start, start + 20), objects, (start, start + 19))
    for exporter in exporters:
        exporter.export_stretch(stretch, folder)
    if start == 0:
        first = highest_resident()
print(first, highest_resident())
"""


def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    """1,000 frames of 240 x 180 are 124 MiB; twenty of them are there at a time."""
    done = subprocess.run([sys.executable, "-c", LONG, "1000", str(tmp_path)], capture_output=True, text=True, check=True)
    first, last = (int(figure) / 2**20 for figure in done.stdout.split())
    assert last - first < 12
    assert len(list((tmp_path / "masks").iterdir())) == 1000


def test_the_end_needs_memory_for_one_mask_at_a_time(make_result, tmp_path: Path) -> None:
    """`masks.json` is written piece by piece: its text is never all there."""
    import tracemalloc

    code = make_result().objects[0].track.codes[0]
    assert code is not None
    result = make_result()
    long = replace(result.objects[0], track=replace(result.objects[0].track, codes=(code,) * 20_000))
    tracemalloc.start()
    try:
        MasksExporter(MasksOptions()).export(replace(result, objects=(long,)), tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "masks.json").stat().st_size > 1_000_000
    assert peak < 300_000


def test_which_exporters_write_as_frames_come() -> None:
    exporters: list[Exporter] = [MasksExporter(MasksOptions()), OverlayExporter(OverlayOptions()), SheetExporter(SheetOptions())]
    assert all(isinstance(exporter, StretchExporter) for exporter in exporters)
