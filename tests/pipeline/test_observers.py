"""Those who look on: what they are told, and that they cannot harm a run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from gazecut import Pipeline, meter
from gazecut.components import hookimpl
from gazecut.errors import ClipError, PluginError
from gazecut.meter import PeakMemory, Timings, highest_resident, peak_resident
from gazecut.observers import Observers

STAGES = ["open", "sample", "load", "look", "ask", "attribute", "fuse", "select", "find", "judge", "segment"]
BEGUN = ["open", "sample", "ask", "load", "look", *STAGES[5:]]  # loading and looking happen while questions wait
NOISE = 2**22  # bytes: the kernel gathers pages by processor and thread before it counts them


class Diary:
    """Writes down everything."""

    def __init__(self) -> None:
        self.lines: list[tuple[object, ...]] = []

    @hookimpl
    def on_run_start(self, recipe: object, clips: int | None) -> None:
        self.lines.append(("run", recipe.name, clips))

    @hookimpl
    def on_stage_start(self, stage: str, steps: int) -> None:
        self.lines.append(("start", stage, steps))

    @hookimpl
    def on_stage_step(self, stage: str, done: int, steps: int) -> None:
        self.lines.append(("step", stage, done, steps))

    @hookimpl
    def on_stage_end(self, stage: str, seconds: float, summary: str) -> None:
        assert seconds >= 0
        self.lines.append(("end", stage, summary))

    @hookimpl
    def on_clip_end(self, clip: object, results: int, error: BaseException | None) -> None:
        self.lines.append(("clip", clip.name, results, error))

    @hookimpl
    def on_run_end(self, seconds: float, error: BaseException | None) -> None:
        self.lines.append(("over", error))

    def of(self, *kinds: str) -> list[tuple[object, ...]]:
        return [line for line in self.lines if line[0] in kinds]


class Broken:
    """Raises in one event, and counts how often it was told of another."""

    def __init__(self) -> None:
        self.told = 0

    @hookimpl
    def on_stage_start(self) -> None:
        self.told += 1

    @hookimpl
    def on_stage_end(self) -> None:
        raise ValueError("the disk of my logger is full")


@pytest.fixture
def watched(scripted: Callable, attribution: object, square_maps: dict) -> Callable[..., Pipeline]:
    def make(*observers: object) -> Pipeline:
        pipeline = Pipeline.from_recipe("pocket", overrides={"segmenter": "attention"}, observers=observers)
        pipeline.mllm, pipeline.attribution = scripted(square_maps), attribution
        return pipeline

    return make


def test_a_run_is_told_from_its_start_to_its_end(watched: Callable[..., Pipeline], square: np.ndarray) -> None:
    diary = Diary()
    watched(diary).segment(square, "the square")
    assert diary.lines[0] == ("run", "pocket", 1)
    assert diary.lines[-2:] == [("clip", "array", 1, None), ("over", None)]
    assert [line[1] for line in diary.of("start")] == BEGUN
    assert [line[1] for line in diary.of("end")] == STAGES
    summaries = {stage: summary for _, stage, summary in diary.of("end")}
    assert summaries["open"] == "8 frames, 80x64, 24 fps"
    assert summaries["sample"] == "8 of 8 frames"
    assert summaries["look"] == "8 frames, video and frame views"
    assert summaries["ask"] == "5 questions about 8 frames"
    assert summaries["attribute"] == "4 maps"
    assert summaries["find"] == "1 candidate"
    assert summaries["judge"] == "1 kept"
    assert summaries["segment"] == "1 object over 8 frames"


def test_steps_come_one_by_one_up_to_what_was_promised(watched: Callable[..., Pipeline], square: np.ndarray) -> None:
    diary = Diary()
    watched(diary).segment(square, "the square")
    for _, stage, promised in diary.of("start"):
        steps = [line[2:] for line in diary.of("step") if line[1] == stage]
        assert steps == [(done, promised) for done in range(1, promised + 1)]
    assert {stage for _, stage, promised in diary.of("start") if promised} == {"look", "attribute", "find"}


def test_several_clips_are_one_run_where_a_run_is_around_them(watched: Callable[..., Pipeline], square: np.ndarray) -> None:
    diary = Diary()
    pipeline = watched(diary)
    with pipeline.run(clips=2):
        pipeline.segment(square, "the square")
        with pipeline.open(square) as session:
            session.segment_many(["the square", "the bright thing"])
    assert diary.of("run", "clip", "over") == [("run", "pocket", 2), ("clip", "array", 1, None), ("clip", "array", 2, None), ("over", None)]


def test_a_failed_stage_has_no_end_and_the_error_ends_clip_and_run(
    watched: Callable[..., Pipeline], square: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    diary, error = Diary(), RuntimeError("no points today")
    pipeline = watched(diary)

    class Selector:
        def select(self, maps: object) -> None:
            raise error

    pipeline.selector = Selector()
    with pytest.raises(RuntimeError, match="no points today"):
        pipeline.segment(square, "the square")
    assert diary.lines[-3:] == [("start", "select", 0), ("clip", "array", 0, error), ("over", error)]


def test_a_clip_that_cannot_be_read_ends_the_run(watched: Callable[..., Pipeline]) -> None:
    diary = Diary()
    with pytest.raises(ClipError) as caught:
        watched(diary).segment("nowhere.mp4", "the square")
    assert diary.lines == [("run", "pocket", 1), ("start", "open", 0), ("over", caught.value)]


def test_a_closed_session_is_told_once(watched: Callable[..., Pipeline], square: np.ndarray) -> None:
    diary = Diary()
    session = watched(diary).open(square)
    session.close()
    session.close()
    assert diary.of("clip", "over") == [("clip", "array", 0, None), ("over", None)]


def test_one_that_raises_is_reported_once_and_dropped(
    watched: Callable[..., Pipeline], square: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    broken, diary = Broken(), Diary()
    result = watched(broken, diary).segment(square, "the square")
    assert result.masks.any()
    assert [line[1] for line in diary.of("end")] == STAGES
    assert broken.told == 1
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].endswith("failed in on_stage_end and is told nothing more: ValueError: the disk of my logger is full")


def test_an_interrupt_in_an_observer_is_no_failure_of_the_observer(watched: Callable[..., Pipeline], square: np.ndarray) -> None:
    class Impatient:
        @hookimpl
        def on_stage_start(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watched(Impatient()).segment(square, "the square")


def test_installed_plugins_are_told_too() -> None:
    heard: list[str] = []
    plugin = ModuleType("listening")

    def on_stage_end(stage: str) -> None:
        heard.append(stage)

    plugin.on_stage_end = hookimpl(on_stage_end)
    inner = Timings()
    observers = Observers([inner], outer=Observers({"listening 1.0:plugin": plugin, "components 1.0:plugin": ModuleType("silent")}))
    with observers.stage("look"):
        pass
    assert heard == ["look"]
    assert list(inner.seconds()) == ["look"]


def test_a_stage_within_another_counts_for_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([100.0, 102.0, 107.0, 108.5])
    monkeypatch.setattr("gazecut.observers.time", SimpleNamespace(perf_counter=lambda: next(moments)))
    timings, peaks = Timings(), PeakMemory()
    observers = Observers([timings, peaks])
    with observers.stage("ask"), observers.stage("look"):
        held = np.ones(2**23)  # 64 MiB
        del held
    assert list(timings.seconds().items()) == [("look", 5.0), ("ask", 3.5)]
    assert peaks.bytes()["ask"] >= peaks.bytes()["look"] > 2**26


def test_a_stage_has_a_peak_of_its_own() -> None:
    peaks = PeakMemory()
    observers = Observers([peaks])
    with observers.stage("large"):
        held = np.ones(2**24)  # 128 MiB
        del held
    with observers.stage("small"):
        pass
    assert peaks.bytes()["small"] <= peaks.bytes()["large"] - 2**26


@pytest.mark.parametrize("status", [None, "Name:\tpython\nVmRSS:\t 1000 kB\n"])
def test_where_linux_does_not_tell_the_peak_the_process_does(status: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if status is not None:
        (tmp_path / "status").write_text(status)
    monkeypatch.setattr(meter, "_STATUS", tmp_path / "status")
    peak = peak_resident()
    assert highest_resident() >= peak > 2**20


def test_a_stage_that_fails_leaves_the_others_right() -> None:
    timings, peaks = Timings(), PeakMemory()
    observers = Observers([timings, peaks])
    with observers.stage("outer"), suppress(ValueError), observers.stage("inner"):
        raise ValueError
    assert "outer" in peaks.bytes()
    assert list(timings.seconds()) == ["outer"]


def test_times_add_up_by_stage() -> None:
    timings = Timings()
    for seconds in (1.25, 0.5001):
        timings.on_stage_end(stage="ask", seconds=seconds)
    timings.on_stage_end(stage="look", seconds=2.0)
    assert timings.seconds() == {"ask": 1.75, "look": 2.0}


class _Unmarked:
    def on_stage_end(self) -> None: ...


class _Misspelt:
    @hookimpl
    def on_stage_ended(self) -> None: ...


class _Overcharged:
    @hookimpl
    def on_stage_end(self, tokens: int) -> None: ...


@pytest.mark.parametrize(
    ("observer", "message"),
    [
        (_Unmarked(), r"an observer of type _Unmarked listens to no event; wanted functions marked .* Mark on_stage_end with it\."),
        (object(), r"an observer of type object listens to no event; .* on_run_end\.$"),
        (ModuleType("empty"), "the module empty listens to no event"),
        (
            _Misspelt(),
            r"an observer cannot be used: .*unknown hook 'on_stage_ended'.*Events: on_run_start, on_stage_start, on_stage_step, ",
        ),
        (_Overcharged(), r"an observer cannot be used: .*tokens"),
    ],
)
def test_one_that_could_never_be_told_is_refused(observer: object, message: str) -> None:
    with pytest.raises(PluginError, match=f"(?s){message}"):
        Observers([observer])


def test_the_highest_of_the_process_outlives_what_stages_forget() -> None:
    held = np.ones(2**24)  # 128 MiB
    high = peak_resident()
    del held
    assert abs(peak_resident() - high) < NOISE  # the first one after it still saw it
    assert peak_resident() <= high - 2**26
    assert highest_resident() >= high
