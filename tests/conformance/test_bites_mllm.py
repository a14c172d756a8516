"""A backend that breaks one rule fails that rule alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gazecut.protocols import Provenance
from gazecut.testing import MLLMConformance
from gazecut.testing.fakes import FakeMLLM, FakeMLLMSession
from gazecut.values import Answer, Frames, PromptTokens, Question, Trace, TraceSpec


class Backend(FakeMLLM):
    """Opens sessions of another class, which know the frames and the backend."""

    def __init__(self, session: type[FakeMLLMSession] = FakeMLLMSession) -> None:
        super().__init__()
        self.session, self.model = session, Module()

    def open(self, frames: Frames, view: str, prelude: object = None, trace: TraceSpec | None = None) -> FakeMLLMSession:
        session = super().open(frames, view, prelude, trace)
        session.__class__ = self.session
        session.frames, session.opened_for = frames, trace
        return session


class Module:
    """What a torch module looks like from outside."""

    def __init__(self) -> None:
        self._forward_hooks: dict[int, object] = {}
        self._forward_pre_hooks: dict[int, object] = {}

    def modules(self) -> list[Module]:
        return [self]

    def leave_a_hook(self) -> None:
        self._forward_hooks[len(self._forward_hooks)] = print


class Changing(FakeMLLMSession):
    """Changes questions before, and answers after."""

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        asked = [self.question(question) for question in questions]
        return [self.answer(answer, question, len(questions)) for answer, question in zip(super().ask(asked), questions, strict=True)]

    def question(self, question: Question) -> Question:
        return question

    def answer(self, answer: Answer, question: Question, together: int) -> Answer:
        return answer


def traced(answer: Answer, change: Callable[[Trace], Trace]) -> Answer:
    return replace(answer, traces=tuple(change(trace) for trace in answer.traces))


def with_layers(trace: Trace, **changes: Any) -> Trace:
    return replace(trace, layers=[layer._replace(**{name: change(layer) for name, change in changes.items()}) for layer in trace.layers])


class Silent(Backend):
    def describe(self) -> Provenance:
        return Provenance("", "")


class OneSlotMore(Backend):
    def open(self, frames: Frames, *asked: Any, **named: Any) -> FakeMLLMSession:
        session = super().open(frames, *asked, **named)
        if len(frames) == 4:
            session.layout = replace(session.layout, slots=session.layout.slots + 1)
        return session


class OneTextTooFew(Changing):
    def answer(self, answer: Answer, *_: object) -> Answer:
        return replace(answer, texts=()) if self.frames.size == (96, 40) else answer


class Tattling(Changing):
    def answer(self, answer: Answer, question: Question, *_: object) -> Answer:
        return replace(answer, texts=("traced", *answer.texts[1:])) if question.trace else answer


class Generous(Changing):
    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        everything = len(questions) == 2
        return super().ask([replace(question, trace=TraceSpec()) for question in questions] if everything else questions)


class OneColumnTooFew(Changing):
    def answer(self, answer: Answer, *_: object) -> Answer:
        if len(self.frames) != 3:
            return answer
        return traced(answer, lambda trace: replace(trace, visual_columns=trace.visual_columns[1:]))


class OneColumnOff(Changing):
    def answer(self, answer: Answer, *_: object) -> Answer:
        return traced(answer, lambda trace: replace(trace, visual_columns=trace.visual_columns - 1))


class Misquoting(Changing):
    def answer(self, answer: Answer, *_: object) -> Answer:
        return traced(answer, lambda trace: replace(trace, prompt=PromptTokens(trace.prompt.columns, trace.prompt.texts[::-1])))


class TwoForOne(Changing):
    def answer(self, answer: Answer, question: Question, *_: object) -> Answer:
        second = question.trace is not None and question.trace.first_layer == 1
        return traced(answer, lambda trace: replace(trace, layers=trace.layers * 2)) if second else answer


class Endless(Changing):
    def answer(self, answer: Answer, *_: object) -> Answer:
        return traced(answer, lambda trace: with_layers(trace, scale=lambda layer: np.inf)) if self.view == "frame" else answer


class PromptOnly(Changing):
    def question(self, question: Question) -> Question:
        return replace(question, trace=question.trace and replace(question.trace, row="last-prompt"))


class Louder(Changing):
    def answer(self, answer: Answer, question: Question, together: int) -> Answer:
        return replace(answer, texts=tuple(f"{text}!" for text in answer.texts)) if together == 3 else answer


class OtherKeys(Changing):
    def answer(self, answer: Answer, *_: object) -> Answer:
        return answer if self.opened_for is None else traced(answer, lambda trace: with_layers(trace, key=lambda layer: 1.1 * layer.key))


class Distracted(Backend):
    def complete(self, text: str) -> str:
        return "busy" if any(not session.closed for session in self.sessions) else super().complete(text)


class OneTurnTooFew(Backend):
    def complete_many(self, texts: Sequence[str]) -> list[str]:
        return super().complete_many(texts[:2])


class AnyView(Backend):
    def open(self, frames: Frames, view: str, *asked: Any, **named: Any) -> FakeMLLMSession:
        return super().open(frames, "frame" if view == "frame" else "video", *asked, **named)


class AnyLayer(Changing):
    def question(self, question: Question) -> Question:
        return replace(question, trace=TraceSpec()) if question.trace and question.trace.first_layer > 9 else question


class AnyWidth(Changing):
    def question(self, question: Question) -> Question:
        return replace(question, steering=None)


class HookAfterSuccess(FakeMLLMSession):
    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        answers = super().ask(questions)
        self._backend.model.leave_a_hook()
        return answers


class HookAfterError(FakeMLLMSession):
    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        try:
            return super().ask(questions)
        except Exception:
            self._backend.model.leave_a_hook()
            raise


class CloseOnce(FakeMLLMSession):
    def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        super().close()


class OpenAfterSuccess(FakeMLLMSession):
    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is not None:
            self.close()


class OpenAfterError(FakeMLLMSession):
    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is None:
            self.close()


class Scribbling(FakeMLLMSession):
    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        self.frames.indices[:] += 1
        return super().ask(questions)


class Numbered(Changing):
    def answer(self, answer: Answer, *_: object) -> Answer:
        return replace(answer, texts=tuple(f"{text} {len(self._backend.sessions)}" for text in answer.texts))


def of(session: type[FakeMLLMSession]) -> Callable[[], Backend]:
    return lambda: Backend(session)


def keeps_the_setting(case: object) -> tuple[Any, Any]:
    model = SimpleNamespace(config=SimpleNamespace(_attn_implementation="eager"))

    def take(model: Any) -> Any:
        model.config._attn_implementation = "capture"
        return SimpleNamespace(close=lambda: None)

    return model, take


VIOLATIONS: dict[str, Callable] = {
    "test_it_describes_itself": Silent,
    "test_layout_covers_the_frames": OneSlotMore,
    "test_odd_clips_are_answered": of(OneTextTooFew),
    "test_tracing_changes_no_answer": of(Tattling),
    "test_only_traced_questions_have_traces": of(Generous),
    "test_visual_columns_are_the_cells_of_the_layout": of(OneColumnTooFew),
    "test_visual_columns_are_where_the_pixels_are": of(OneColumnOff),
    "test_prompt_tokens_are_the_question": of(Misquoting),
    "test_layers_fit_each_other": of(TwoForOne),
    "test_rows_are_attention": of(Endless),
    "test_the_row_is_the_one_asked_for": of(PromptOnly),
    "test_questions_together_equal_questions_alone": of(Louder),
    "test_a_trace_named_at_opening_suffices": of(OtherKeys),
    "test_a_text_only_turn_is_answered": Distracted,
    "test_text_only_turns_together_equal_turns_alone": OneTurnTooFew,
    "test_unknown_views_are_refused": AnyView,
    "test_layers_that_are_not_there_are_refused": of(AnyLayer),
    "test_steering_of_another_width_is_refused": of(AnyWidth),
    "test_nothing_is_captured_after_success": of(HookAfterSuccess),
    "test_nothing_is_captured_after_an_error": of(HookAfterError),
    "test_a_wrapped_model_gets_its_setting_back": Backend,
    "test_closing_twice_is_fine": of(CloseOnce),
    "test_a_closed_session_refuses": of(OpenAfterSuccess),
    "test_an_error_closes_the_session": of(OpenAfterError),
    "test_input_is_unchanged": of(Scribbling),
    "test_same_input_gives_same_output": of(Numbered),
}
ATTRIBUTES = {"test_a_wrapped_model_gets_its_setting_back": {"wrap": keeps_the_setting}}


def test_every_rule_has_a_violation(own_rules: Callable) -> None:
    assert set(VIOLATIONS) == own_rules(MLLMConformance)


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_a_violation_fails_its_rule_alone(rule: str, broken: Callable, make_case: Callable) -> None:
    assert set(broken(make_case(MLLMConformance, VIOLATIONS[rule], **ATTRIBUTES.get(rule, {})))) == {rule}


def test_a_switch_that_stays_on_is_noticed(broken: Callable, make_case: Callable) -> None:
    found = broken(make_case(MLLMConformance, Backend, is_capturing=lambda case: True))
    assert set(found) == {"test_nothing_is_captured_after_success", "test_nothing_is_captured_after_an_error"}
