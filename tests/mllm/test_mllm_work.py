"""Work is counted as it is done, and none of it twice: whatever the number of questions, a view is looked at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from torch.utils.flop_counter import FlopCounterMode

from gazecut.protocols import Runtime
from gazecut.values import Frames, Question, TraceSpec
from gazecut.work import Work
from gazecut_mllm.backend import Backend
from gazecut_mllm.config import RolloutConfig
from gazecut_mllm.rollout import RolloutAttribution

TEXTS = [f"{words} on the left" for words in ("the red circle", "a star", "it", "the background of the video", "a phrase")]
SPEC = TraceSpec(1)


class Watch:
    """Forward passes of the real vision tower and language model."""

    def __init__(self) -> None:
        self.tower: list[int] = []
        self.tokens: list[tuple[int, int]] = []


@contextmanager
def watched(backend: Backend) -> Iterator[Watch]:
    watch, model = Watch(), backend._reader.hf.model.model
    hooks = [
        model.visual.register_forward_hook(lambda _module, _inputs, output: watch.tower.append(len(output.pooler_output))),
        model.language_model.register_forward_hook(
            lambda _module, _inputs, output: watch.tokens.append(tuple(output.last_hidden_state.shape[:2]))
        ),
    ]
    try:
        yield watch
    finally:
        for hook in hooks:
            hook.remove()


@pytest.fixture
def counted(make_backend: Callable[..., Backend]) -> tuple[Backend, Work]:
    """A backend that prefills two frames at a time, and its counts."""
    template = make_backend("qwen2.5-vl")
    runtime = Runtime("cpu")
    return type(template)(template._config, runtime), runtime.work


@pytest.mark.parametrize("questions", [1, 5])
@pytest.mark.parametrize(("view", "batches"), [("video", [1]), ("frame", [2, 2, 1])])
def test_a_view_is_looked_at_once_whatever_is_asked(
    counted: tuple[Backend, Work], make_frames: Callable[..., Frames], view: str, batches: list[int], questions: int
) -> None:
    backend, work = counted
    frames = make_frames(5)
    with watched(backend) as watch, backend.open(frames, view, trace=SPEC) as session:
        opened = len(watch.tokens)
        for _ in range(2):
            session.ask([Question(text, SPEC) for text in TEXTS[:questions]])
    visual = session.layout.rows * session.layout.columns * session.layout.slots
    assert sum(watch.tower) == visual  # every frame once
    assert [batch for batch, _ in watch.tokens[:opened]] == batches
    assert (work.vision_runs, work.prefills, work.refills) == (1, len(batches), 0)


def test_tokens_are_counted(counted: tuple[Backend, Work], make_frames: Callable[..., Frames]) -> None:
    backend, work = counted
    with watched(backend) as watch, backend.open(make_frames(5), "frame", trace=SPEC) as session:
        prefix = work.prompt_tokens
        assert prefix == sum(batch * tokens for batch, tokens in watch.tokens)
        answers = session.ask([Question(text, SPEC) for text in TEXTS])
    turns = [backend._reader.chat.turn(text, session._placement) for text in TEXTS]
    assert work.prompt_tokens - prefix == 5 * sum(len(turn.after) for turn in turns)
    # An answer of n tokens takes n - 1 further passes at most; all questions of a batch take them together.
    assert sum(batch * tokens for batch, tokens in watch.tokens) <= work.prompt_tokens + 5 * len(TEXTS) * (
        backend._config.max_new_tokens - 1
    )
    assert len(answers) == len(TEXTS)
    assert 5 * len(TEXTS) <= work.generated_tokens <= 5 * len(TEXTS) * backend._config.max_new_tokens

    before = work.copy()
    backend.complete_many(TEXTS)
    done = work.since(before)
    assert done.prompt_tokens == sum(len(backend._reader.chat.text(text)) for text in TEXTS)
    assert 0 < done.generated_tokens <= len(TEXTS) * backend._config.max_new_tokens
    assert (done.vision_runs, done.prefills) == (0, 0)


def flops(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def test_a_question_after_its_prefix_costs_a_tenth(make_backend: Callable[..., Backend], make_frames: Callable[..., Frames]) -> None:
    # In arithmetic, which no other process can slow down: eight slots of 196 tokens, and a question of a usual length.
    backend = make_backend("qwen2.5-vl", views={"video": {"tokens_per_frame": 196}}, max_new_tokens=1)
    session = None

    def look() -> None:
        nonlocal session
        session = backend.open(make_frames(16, (224, 224)), "video", trace=SPEC)

    prefill = flops(look)
    assert session is not None
    assert len(session._prefixes[0]) >= 1500
    question = Question("the red circle on the left, what is it? a single word or a longer phrase.", SPEC)
    assert flops(lambda: session.ask([question])) <= 0.1 * prefill


def test_expressions_together_cost_little_more_than_one(make_backend: Callable[..., Backend], make_frames: Callable[..., Frames]) -> None:
    backend = make_backend("qwen2.5-vl", views={"video": {"tokens_per_frame": 100}, "frame": {"scale": 2}}, max_new_tokens=4)
    attribution, frames = RolloutAttribution(RolloutConfig(first_layer=1)), make_frames(8, (160, 160))

    def run(count: int) -> None:
        for view in ("video", "frame"):
            with backend.open(frames, view, trace=SPEC) as session:
                answers = session.ask([Question(f"{text} {at}", SPEC) for at in range(count) for text in TEXTS[:1]])
                attribution.scores_many([trace for answer in answers for trace in answer.traces])

    one, eight, sixteen = (flops(lambda count=count: run(count)) for count in (1, 8, 16))  # type: ignore[misc]
    assert eight <= 2 * one
    assert sixteen <= 3 * one
