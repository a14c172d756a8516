"""Sessions: what they hand their components, what they refuse, and how they end."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import pytest

from gazecut import Pipeline
from gazecut.clip import ArrayClip
from gazecut.clip.passing import PassingClip
from gazecut.components import hookimpl
from gazecut.errors import ClipError, PromptError, ShapeError
from gazecut.stretch import Stretch
from gazecut.testing import fake_pipeline, moving_square
from gazecut.testing.fakes import FakeScorer
from gazecut.values import Frames, HeatMaps, Judgement, MapSet, Tracklets

WINDOWS = {"sampler": "windows", "sampler.length": 4, "sampler.overlap": 2}


class Uneven(ArrayClip):
    """Its first frames come fast, the others slowly."""

    times = np.array([0.0, 0.1, 0.2, 0.3, 1.0, 2.0, 3.0, 4.0])


def test_samplers_see_the_clips_own_clock() -> None:
    result = fake_pipeline({"sampler": "every"}).segment(Uneven(moving_square(8).images, fps=1.0), "the square")
    assert result.frame_indices.tolist() == [0, 4, 5, 6, 7]


class Short(ArrayClip):
    """Says that it has eight frames, and has six."""

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        return islice(super().frames(indices), 6)


def test_a_clip_that_ends_before_its_length_is_no_result_with_gaps() -> None:
    with pytest.raises(ClipError, match='clip "array" ended after 6 frames; it said that it has 8'):
        fake_pipeline(WINDOWS).segment(Short(moving_square(8).images), "the square")


def stream() -> PassingClip:
    return PassingClip(iter(moving_square(8).images))


@pytest.mark.parametrize("sampler", ["uniform", "every", "windows"])
def test_a_stream_is_never_looked_at_as_a_whole(sampler: str) -> None:
    with fake_pipeline({"sampler": sampler}).open(stream()) as session:
        with pytest.raises(ClipError, match='clip "stream" is a stream, which cannot be looked at as a whole; save it to a file first'):
            _ = session.frames
        with pytest.raises(ClipError, match="is a stream, which cannot be looked at as a whole"):
            session.segment_maps(np.zeros((1, 4, 4)), np.array([0]))
        assert session.segment("the square").masks.any()


def test_a_stream_without_an_expression_is_refused_before_it_is_read() -> None:
    frames = iter(moving_square(8).images)
    with pytest.raises(PromptError, match="there is no expression to stream masks of; wanted one or more"):
        fake_pipeline(WINDOWS).stream(frames, [])
    assert len(list(frames)) == 8


@pytest.mark.parametrize("recipe", [{}, WINDOWS], ids=["whole", "windows"])
def test_a_closed_session_refuses(recipe: dict) -> None:
    pipeline = fake_pipeline(recipe, cache=False)
    with pipeline.open(moving_square(8).images) as session:
        session.segment("the square")
        late = session.segment_each(["the square"])
    sessions = len(pipeline.mllm.sessions)
    said = 'the session on clip "array" is closed; open another one'
    with pytest.raises(ClipError, match=said):
        session.segment("the square")
    with pytest.raises(ClipError, match=said):
        next(late)
    with pytest.raises(ClipError, match=said):
        session.segment_maps(np.zeros((1, 4, 4)), np.array([0]))
    with pytest.raises(ClipError, match=said):
        _ = session.frames
    assert len(pipeline.mllm.sessions) == sessions
    assert all(one.closed for one in pipeline.mllm.sessions)


@pytest.mark.parametrize("recipe", [{}, WINDOWS], ids=["whole", "windows"])
def test_a_session_that_is_closed_on_the_way_goes_no_further(recipe: dict) -> None:
    pipeline = fake_pipeline(recipe, cache=False)
    session = pipeline.open(moving_square(8).images)
    told: list[Stretch] = []
    with pytest.raises(ClipError, match='the session on clip "array" is closed'):
        list(session.segment_each(["the square", "the bright thing"], lambda stretch: (told.append(stretch), session.close())))
    assert len(told) == 1
    assert all(one.closed for one in pipeline.mllm.sessions)


def test_closing_frees_the_window_that_is_looked_at() -> None:
    pipeline = fake_pipeline(WINDOWS, cache=False)
    session = pipeline.open(moving_square(8).images)
    coming = session.stretches(["the square"])
    next(coming)
    session.close()
    assert all(one.closed for one in pipeline.mllm.sessions)
    with pytest.raises(ClipError, match='the session on clip "array" is closed'):
        next(coming)


class Forgetful(FakeScorer):
    """Judges one tracklet less than there are."""

    def judge(self, tracklets: Tracklets, maps: MapSet, fused: HeatMaps) -> Judgement:
        return super().judge(Tracklets(tracklets.items[1:]), maps, fused)


@pytest.mark.parametrize("recipe", [{}, WINDOWS], ids=["whole", "windows"])
def test_a_scorer_must_judge_every_candidate(recipe: dict) -> None:
    pipeline = fake_pipeline(recipe, cache=False)
    pipeline.scorer = Forgetful()
    with pytest.raises(ShapeError, match=r"the scorer judged 0 tracklets of 1; each must have a score"):
        pipeline.segment(moving_square(8).images, "the square")


class Ends:
    """Writes down how clips and runs end."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, BaseException | None]] = []

    @hookimpl
    def on_clip_end(self, error: BaseException | None) -> None:
        self.lines.append(("clip", error))

    @hookimpl
    def on_run_end(self, error: BaseException | None) -> None:
        self.lines.append(("run", error))


@pytest.fixture
def stuck(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Pipeline, Ends]:
    """A pipeline, of a recipe if one is given, whose models do not let go of a clip, and who looks on."""
    ends = Ends()
    pipeline = fake_pipeline(getattr(request, "param", {}), observers=[ends], cache=False)
    opened = pipeline.mllm.open

    def open_stuck(*asked: object) -> object:
        session = opened(*asked)
        session.close = lambda: (_ for _ in ()).throw(RuntimeError("the model does not let go"))
        return session

    monkeypatch.setattr(pipeline.mllm, "open", open_stuck)
    return pipeline, ends


@pytest.mark.parametrize("stuck", [WINDOWS], indirect=True)
def test_what_a_window_does_not_let_go_is_how_the_run_ends(stuck: tuple[Pipeline, Ends]) -> None:
    pipeline, ends = stuck
    session = pipeline.open(moving_square(8).images)
    coming = session.stretches(["the square"])
    next(coming)
    with pytest.raises(RuntimeError, match="the model does not let go") as caught:
        session.close()
    assert ends.lines == [("clip", caught.value), ("run", caught.value)]


def test_a_model_that_does_not_let_go_is_an_error_and_the_run_ends_all_the_same(stuck: tuple[Pipeline, Ends]) -> None:
    pipeline, ends = stuck
    opened, closed = pipeline.segmenter.open, []

    def note(clip: object) -> object:
        session = opened(clip)
        closed.append(session)
        return session

    pipeline.segmenter.open = note
    session = pipeline.open(moving_square(8).images)
    session.segment("the square")
    with pytest.raises(RuntimeError, match="the model does not let go") as caught:
        session.close()
    assert ends.lines == [("clip", caught.value), ("run", caught.value)]
    assert [one.closed for one in closed] == [1], "the segmenter's session is closed whatever the other's says"


def test_a_view_that_does_not_let_go_keeps_no_other_open(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = fake_pipeline(cache=False)
    opened, closed = pipeline.mllm.open, []

    def open_stuck(frames: Frames, view: str, *asked: object) -> object:
        def close() -> None:
            closed.append(view)
            raise RuntimeError(f"the {view} view does not let go")

        session = opened(frames, view, *asked)
        session.close = close
        return session

    monkeypatch.setattr(pipeline.mllm, "open", open_stuck)
    session = pipeline.open(moving_square(8).images)
    session.segment("the square")
    with pytest.raises(RuntimeError, match="view does not let go"):
        session.close()
    assert sorted(closed) == ["frame", "video"]


class Keen(FakeScorer):
    """Writes down how many logits of earlier windows are still held when the next one is judged."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[weakref.ref[np.ndarray]] = []
        self.held: list[int] = []

    def judge(self, tracklets: Tracklets, maps: MapSet, fused: HeatMaps) -> Judgement:
        self.held.append(sum(logits() is not None for logits in self.seen))
        self.seen += [weakref.ref(one.logits.base) for one in tracklets]
        return super().judge(tracklets, maps, fused)


@pytest.mark.parametrize("stream", [False, True])
def test_candidates_of_a_window_go_with_it(stream: bool) -> None:
    pipeline = fake_pipeline(WINDOWS, cache=False)
    scorer = pipeline.scorer = Keen()
    images = np.concatenate([moving_square(8).images] * 2)
    if stream:
        list(pipeline.stream(iter(images), "the square"))
    else:
        pipeline.segment(images, "the square")
    assert len(scorer.seen) >= len(scorer.held) == 7
    assert scorer.held == [0] * 7
