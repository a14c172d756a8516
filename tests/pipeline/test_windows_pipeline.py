"""A long clip in windows: found where it is, the same by file and by stream, and one result with all its evidence."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gazecut import Pipeline
from gazecut.clip import ArrayClip
from gazecut.components import hookimpl
from gazecut.errors import ClipError, PromptError
from gazecut.result import Result
from gazecut.stretch import Stretch
from gazecut.testing import fake_pipeline
from gazecut.windowed import WindowedSession

LENGTH = 100
SEEN = range(45, 72)
WINDOWS = {"sampler": "windows", "sampler.length": 24, "sampler.overlap": 8, "sampler.frames": 4, "scorer.above": 0.3}
EXPORTERS = [{"use": name} for name in ("masks", "overlay", "heatmaps", "sheet", "manifest", "fake")]


def clip(seen: range = SEEN, length: int = LENGTH) -> np.ndarray:
    """A bright square that moves right, in some of the frames only."""
    images = np.full((length, 32, 40, 3), 30, np.uint8)
    for frame in seen:
        left = 2 + (frame - seen.start) // 2
        images[frame, 8:20, left : left + 12] = (220, 60, 40)
    return images


def truth(images: np.ndarray) -> np.ndarray:
    return images[..., 0] > 100


@pytest.fixture
def pipeline() -> Pipeline:
    return fake_pipeline(WINDOWS)


@pytest.fixture
def result(pipeline: Pipeline) -> Result:
    return pipeline.segment(clip(), "the square")


def codes(stretches: list[Stretch]) -> str:
    """Everything that stretches say, byte for byte."""
    return json.dumps(
        [[one.expression, [*one.frames], [[found.id, found.score, list(found.track.codes)] for found in one.objects]] for one in stretches]
    )


def test_an_object_that_is_there_briefly_is_found(result: Result) -> None:
    np.testing.assert_array_equal(result.masks, truth(clip()))
    assert [(found.id, len(found.track)) for found in result.objects] == [(1, LENGTH)]
    assert [index for index, code in enumerate(result.objects[0].track.codes) if code] == list(SEEN)
    assert result.remark == ""


def test_what_comes_back_is_another_object(pipeline: Pipeline) -> None:
    images = np.concatenate([clip()[:96], clip()])
    result = pipeline.segment(images, "the square")
    assert [found.id for found in result.objects] == [1, 2]
    np.testing.assert_array_equal(result.masks, truth(images))


def test_evidence_of_all_windows_is_one(result: Result) -> None:
    windows = result.windows
    assert [window.frames for window in windows] == [range(s, min(s + 24, LENGTH)) for s in range(0, 95, 16)]
    assert [frame for window in windows for frame in window.own] == list(range(LENGTH))
    assert (np.diff(result.frame_indices) > 0).all()
    sampled = [index for window in windows for index in window.frame_indices.tolist() if index in window.own]
    assert result.frame_indices.tolist() == sampled
    assert len(result.heatmaps.fused) == len(result.heatmaps.video) == len(result.heatmaps.frame) == len(sampled)
    assert result.heatmaps.fused.dtype == np.float32
    assert set(result.points.frame.tolist()) <= set(range(len(sampled)))
    assert {int(result.frame_indices[place]) for place in result.points.frame} <= set(SEEN)
    for one in result.tracklets:
        assert len(one.tracklet.track) == len(sampled)
        assert one.tracklet.logits.size == 0
        np.testing.assert_array_equal(one.masks[one.prompt_frame], truth(clip())[result.frame_indices[one.prompt_frame]])
    assert (result.suppressed >= 0).all()
    assert result.answers == max(windows, key=lambda window: window.best.score if window.best else 0).answers
    assert [window.objects for window in windows if set(window.own) & set(SEEN)] == [(1,)] * 3


def test_nothing_of_a_closed_window_stays_but_codes_and_small_maps(result: Result) -> None:
    arrays = [one.tracklet.logits for window in result.windows for one in window.tracklets]
    assert sum(array.nbytes for array in arrays) == 0
    assert all(isinstance(window.frame_indices, np.ndarray) for window in result.windows)


def test_the_manifest_tells_of_windows(result: Result) -> None:
    manifest = json.loads(json.dumps(result.manifest))
    assert [window["objects"] for window in manifest["windows"]] == [list(window.objects) for window in result.windows]
    assert manifest["windows"][0]["frames"] == [0, 24]
    assert manifest["windows"][0]["own"] == [0, 20]
    assert manifest["remark"] == ""
    work = manifest["measured"]["work"]
    assert work["frames_decoded"] == LENGTH
    assert manifest["frame_indices"] == result.frame_indices.tolist()


def test_every_exporter_shows_it(tmp_path: Path) -> None:
    folder = fake_pipeline({**WINDOWS, "exporters": EXPORTERS}).segment(clip(), "the square").save(tmp_path / "out")
    assert len(list((folder / "masks").glob("*.png"))) == LENGTH
    written = json.loads((folder / "masks.json").read_text())
    assert len(written["objects"][0]["rle"]) == LENGTH
    assert (folder / "evidence" / "sheet.png").stat().st_size > 1000
    assert len(json.loads((folder / "run.json").read_text())["windows"]) == 6


def test_when_nothing_is_kept_the_result_says_how_near_it_came() -> None:
    result = fake_pipeline(WINDOWS | {"scorer.above": 1.0}).segment(clip(), "the square")
    assert not result.objects
    assert not result.masks.any()
    best = max(window.best.score for window in result.windows if window.best)
    assert f"scored {best:.2f} and was dropped" in result.remark
    assert result.remark.startswith("the best candidate, in frames ")
    assert result.remark.endswith("a lower threshold of the scorer keeps it: gazecut show scorer fake")
    assert result.manifest["remark"] == result.remark


def test_when_there_is_no_candidate_the_selector_is_named() -> None:
    result = fake_pipeline(WINDOWS).segment(clip(range(0)), "the square")
    assert result.remark == "no candidate; a lower threshold of the selector may give some: gazecut show selector fake"


def test_of_a_clip_that_is_seen_whole_the_remark_names_no_window() -> None:
    dropped = {"scorer": {"use": "object-score", "keep": {"above": 1.0, "otherwise": "none"}}}
    result = fake_pipeline(dropped).segment(clip(range(20), 20), "the square")
    assert result.remark.startswith("the best candidate scored 1.00 and was dropped (not above 1)")
    assert result.windows == ()


def test_attention_like_that_for_the_background_shows_nothing_new() -> None:
    result = fake_pipeline(WINDOWS | {"tracklets.contrast_above": 1.0}).segment(clip(), "the square")
    assert not result.objects
    assert {one.reason for window in result.windows for one in window.tracklets if one.score > 0.3 and one.reason} == {
        f"attention like that for the background, contrast {window.contrast:.2f} below 1: "
        for window in result.windows
        if any(one.score > 0.3 for one in window.tracklets)
    }
    assert all(0 < window.contrast < 1 for window in result.windows if window.tracklets)


@pytest.mark.parametrize("expressions", [["the square"], ["the square", "the bright thing"]])
def test_file_and_stream_give_the_same_masks_byte_for_byte(pipeline: Pipeline, expressions: list[str]) -> None:
    images = clip()
    told: list[Stretch] = []
    with pipeline.open(ArrayClip(images, fps=24.0)) as session:
        results = list(session.segment_each(expressions, told.append))
    streamed = list(fake_pipeline(WINDOWS, cache=False).stream(iter(images), expressions, fps=24.0))
    assert codes(streamed) == codes(told)
    for result in results:
        mine = [one for one in streamed if one.expression == result.expression]
        np.testing.assert_array_equal(np.stack([one.mask(frame) for one in mine for frame in one.frames]), result.masks)


def test_a_recipe_without_windows_can_be_looked_at_as_a_stream_would() -> None:
    plain = {"sampler": "uniform", "sampler.frames": 6, "scorer.above": 0.3}
    images = clip(range(70, 110), 150)
    told: list[Stretch] = []
    with fake_pipeline(plain).open(ArrayClip(images, fps=24.0), in_windows=True) as session:
        result = next(session.segment_each(["the square"], told.append))
    assert [window.frames for window in result.windows] == [range(64), range(48, 112), range(96, 150)]
    assert codes(list(fake_pipeline(plain, cache=False).stream(iter(images), "the square", fps=24.0))) == codes(told)
    assert not fake_pipeline(plain).segment(images, "the square").windows


def test_a_stream_can_be_opened_for_a_result(pipeline: Pipeline) -> None:
    from gazecut.clip.passing import PassingClip

    with pipeline.open(PassingClip(iter(clip()), fps=24.0)) as session:
        result = session.segment("the square")
        np.testing.assert_array_equal(result.masks, truth(clip()))
        with pytest.raises(ClipError, match="cannot be seen again"):
            session.segment("the square")


def test_a_clip_that_is_seen_whole_is_one_stretch() -> None:
    told: list[Stretch] = []
    with fake_pipeline().open(clip(range(20), 20)) as session:
        result = next(session.segment_each(["the square"], told.append))
    (stretch,) = told
    assert stretch.frames == range(20)
    assert stretch.objects == result.objects
    assert sum(1 for _ in stretch.images()) == 20


def test_a_second_run_takes_every_window_from_the_cache(pipeline: Pipeline, result: Result) -> None:
    again = fake_pipeline(WINDOWS)
    second = again.segment(clip(), "the square")
    assert second.manifest["measured"]["work"]["cache_misses"] == 0
    assert "mllm" not in again.built()
    np.testing.assert_array_equal(second.masks, result.masks)
    assert second.manifest["weights"] == result.manifest["weights"]


def test_after_an_interruption_the_run_goes_on_from_the_last_window() -> None:
    class StopError(Exception):
        pass

    def stop(stretch: Stretch) -> None:
        if stretch.frames.stop > 50:
            raise StopError

    first = fake_pipeline(WINDOWS)
    with pytest.raises(StopError), first.open(clip()) as session:
        list(session.segment_each(["the square"], stop))
    assert all(session.closed for session in first.mllm.sessions)
    with fake_pipeline(WINDOWS).open(clip()) as session:
        result = session.segment("the square")
    work = result.manifest["measured"]["work"]
    assert work["cache_hits"] > 0
    assert work["cache_misses"] > 0
    np.testing.assert_array_equal(result.masks, truth(clip()))


def test_questions_are_refused_before_anything_is_looked_at(pipeline: Pipeline) -> None:
    with pipeline.open(clip()) as session, pytest.raises(PromptError):
        session.segment_many(["the square", " "])
    assert "mllm" not in pipeline.built()


def test_given_maps_are_followed_over_the_whole_clip(pipeline: Pipeline) -> None:
    images = clip(range(8), 8)
    maps = truth(images)[[0, 4]].reshape(2, 8, 4, 10, 4).mean(axis=(2, 4))
    result = pipeline.segment_maps(images, maps, np.array([0, 4]))
    np.testing.assert_array_equal(result.masks, truth(images))
    assert result.windows == ()


def test_a_part_of_a_clip_goes_by_windows_too(pipeline: Pipeline) -> None:
    with pipeline.open(clip(), start="40f", end="80f") as session:
        assert isinstance(session, WindowedSession)
        result = session.segment("the square")
    np.testing.assert_array_equal(result.masks, truth(clip())[40:80])


class Windows:
    """Writes down what is told of windows, and how clips end."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []
        self.ends: list[tuple[int, BaseException | None]] = []
        self.stages: list[str] = []

    @hookimpl
    def on_stage_start(self, stage: str) -> None:
        self.stages.append(stage)

    @hookimpl
    def on_stage_step(self, stage: str, done: int, steps: int) -> None:
        if stage == "windows":
            self.steps.append((done, steps))

    @hookimpl
    def on_clip_end(self, results: int, error: BaseException | None) -> None:
        self.ends.append((results, error))


def test_observers_are_told_of_every_window_and_of_one_clip() -> None:
    diary = Windows()
    fake_pipeline(WINDOWS, observers=[diary]).segment(clip(), "the square")
    assert diary.steps == [(done, 6) for done in range(1, 7)]
    assert diary.ends == [(1, None)]
    assert diary.stages[:4] == ["open", "cut", "windows", "sample"]


@pytest.mark.parametrize("stream", [False, True])
def test_frames_of_a_window_go_with_it(stream: bool) -> None:
    alive: list[weakref.ref[np.ndarray]] = []

    class Fresh(ArrayClip):
        """Every frame is an array of its own, whose end is seen."""

        def frames(self, indices: object = None) -> Iterator[np.ndarray]:
            for frame in super().frames(indices):
                alive.append(weakref.ref(frame))
                yield frame
                del frame

    most = []

    def look(stretch: Stretch) -> None:
        most.append(sum(frame() is not None for frame in alive))

    pipeline = fake_pipeline(WINDOWS, cache=False)
    gc.collect()
    gc.disable()
    try:
        with pipeline.open(Fresh(np.concatenate([clip()] * 2), fps=24.0)) as session:
            if stream:
                for stretch in session.stretches(["the square"]):
                    look(stretch)
                    del stretch
            else:
                result = session.segment_each(["the square"], look).send(None)
                assert len(result.windows) > 10
        assert sum(frame() is not None for frame in alive) == 0
    finally:
        gc.enable()
    assert len(most) > 10
    assert max(most) <= 24 + 1


def frames_until(images: np.ndarray, taken: list[int], error: Exception | None = None) -> Iterator[np.ndarray]:
    for number, image in enumerate(images):
        taken.append(number)
        yield image
    if error is not None:
        raise error


def test_a_stream_is_late_by_less_than_a_window_and_holds_no_more() -> None:
    taken: list[int] = []
    pipeline = fake_pipeline(WINDOWS, cache=False)
    seen = []
    for stretch in pipeline.stream(frames_until(np.concatenate([clip()] * 4), taken), "the square"):
        assert len(taken) - stretch.frames.start <= 24 + 1
        assert sum(1 for _ in stretch.images()) == len(stretch.frames) <= 24
        assert all(session.closed for session in pipeline.mllm.sessions[:-2])
        seen += stretch.frames
    assert seen == list(range(4 * LENGTH))
    assert pipeline.runtime.work.frames_decoded == 4 * LENGTH


def test_images_come_with_the_masks() -> None:
    images = clip()
    for stretch in fake_pipeline(WINDOWS).stream(iter(images), "the square"):
        for frame, image in zip(stretch.frames, stretch.images(), strict=True):
            np.testing.assert_array_equal(image, images[frame])
            np.testing.assert_array_equal(stretch.mask(frame), truth(images)[frame])


def test_whoever_wants_no_more_frees_everything() -> None:
    taken: list[int] = []
    diary = Windows()
    pipeline = fake_pipeline(WINDOWS, observers=[diary])
    coming = pipeline.stream(frames_until(clip(), taken), "the square")
    next(coming)
    coming.close()
    assert len(taken) == 25
    assert diary.ends == [(0, None)]
    assert pipeline.mllm.sessions
    assert all(session.closed for session in pipeline.mllm.sessions)


def test_a_source_that_fails_ends_the_stream_and_what_came_stays() -> None:
    broken = OSError("the camera is gone")
    diary = Windows()
    pipeline = fake_pipeline(WINDOWS, observers=[diary])
    coming = pipeline.stream(frames_until(clip()[:60], [], broken), "the square")
    got = [next(coming), next(coming)]
    with pytest.raises(OSError, match="the camera is gone"):
        list(coming)
    assert [stretch.frames for stretch in got] == [range(20), range(20, 36)]
    assert got[1].mask(30).sum() == 0
    assert diary.ends == [(0, broken)]
    assert all(session.closed for session in pipeline.mllm.sessions)


def test_a_frame_of_another_size_ends_the_stream() -> None:
    frames = [*clip()[:40], np.zeros((32, 41, 3), np.uint8)]
    coming = fake_pipeline(WINDOWS).stream(iter(frames), "the square")
    assert next(coming).frames == range(20)
    with pytest.raises(ClipError, match='clip "stream", frame 40 has shape'):
        list(coming)


def test_what_cannot_be_streamed_is_refused_at_once() -> None:
    pipeline = fake_pipeline(WINDOWS)
    with pytest.raises(PromptError):
        pipeline.stream(iter(clip()), ["the square", ""])
    with pytest.raises(ClipError, match="ended at once"):
        pipeline.stream(iter([]), "the square")


def test_scenes_cannot_be_streamed() -> None:
    with pytest.raises(ClipError, match=r'sampler "scenes" must see the whole clip .* take sampler "windows"'):
        next(iter(fake_pipeline({"sampler": "scenes"}).stream(iter(clip()), "the square")))


def test_a_stream_of_one_frame_is_a_stream() -> None:
    (stretch,) = fake_pipeline(WINDOWS).stream(iter(clip(range(1), 1)), "the square")
    assert stretch.frames == range(1)
    assert stretch.mask(0).any()
