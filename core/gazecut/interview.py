"""What is asked of a clip: planned queries, worded and put in the order that their placeholders demand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gazecut.errors import PromptError
from gazecut.prompts import PromptSet, candidate_list, parse_attributes, placeholders, render, sentence
from gazecut.protocols import MLLMBackend, MLLMSession
from gazecut.values import Answer, Frames, GridLayout, Query, Question, TraceSpec


@dataclass(frozen=True)
class AnswerRecord:
    """One question with its answers, for the evidence.

    Attributes:
        role: "object", "background", "category" or "attributes".
        view: The view that was asked; "text" for a turn without the clip.
        question: The user's text as it was asked.
        texts: The answers: one for "video" and "text", one per sampled frame for "frame".
    """

    role: str
    view: str
    question: str
    texts: tuple[str, ...]


@dataclass
class Inquiry:
    """One expression's questions and answers.

    Attributes:
        expression: As the user typed it; empty for maps that were given.
        category: The category chosen over all object answers, lower case; None where no template wants it.
        attributes: The target's attributes; None where no template wants them.
        records: Everything asked, in order.
        answers: What came back for each planned query, with its traces.
    """

    expression: str
    category: str | None = None
    attributes: str | None = None
    records: list[AnswerRecord] = field(default_factory=list)
    answers: dict[Query, Answer] = field(default_factory=dict)

    def wording(self, template: str) -> str:
        """A template filled in with what is known."""
        known = {"expression": sentence(self.expression), "category": self.category, "attributes": self.attributes}
        return render(template, **{name: text for name, text in known.items() if text is not None})


class Interview:
    """Asks one clip; a view's session opens when it is first asked, and all expressions share it."""

    def __init__(self, backend: MLLMBackend, frames: Frames, prompts: PromptSet, spec: TraceSpec) -> None:
        """Open nothing yet.

        Args:
            backend: The multimodal LLM.
            frames: The sampled frames.
            prompts: Templates by role.
            spec: The attention that the attribution wants to see.
        """
        self._backend = backend
        self._frames = frames
        self._prompts = prompts
        self._spec = spec
        self._sessions: dict[str, MLLMSession] = {}

    def open(self, views: Iterable[str]) -> None:
        """Run the vision tower and prefill the visual prefix of views that are not open yet."""
        for view in views:
            if view not in self._sessions:
                self._sessions[view] = self._backend.open(self._frames, view, trace=self._spec)

    def layout(self, view: str) -> GridLayout:
        """What the visual tokens of an open view cover."""
        return self._sessions[view].layout

    def ask(self, expressions: Sequence[str], queries: Sequence[Query]) -> list[Inquiry]:
        """Ask everything about all expressions: attributes, then what needs no category, the category, the rest.

        Args:
            expressions: What users typed.
            queries: The plan; the same for every expression.

        Raises:
            PromptError: An expression is empty, or the prompt set lacks a template that the plan needs.
        """
        wanted = {query: placeholders(self._prompts.template(query.prompt)) for query in queries}
        everything = frozenset[str]().union(*wanted.values())
        self._check_order(wanted)
        inquiries = [Inquiry(expression) for expression in expressions]
        if "attributes" in everything:
            self._ask_attributes(inquiries, queries[0].view)
        self._ask_queries(inquiries, [query for query in queries if "category" not in wanted[query]])
        if "category" in everything:
            for inquiry in inquiries:
                self._choose_category(inquiry)
            self._ask_queries(inquiries, [query for query in queries if "category" in wanted[query]])
        return inquiries

    def close(self) -> None:
        """Close every session; a second call does nothing."""
        while self._sessions:
            self._sessions.popitem()[1].close()

    def _check_order(self, wanted: dict[Query, frozenset[str]]) -> None:
        for query, names in wanted.items():
            if query.role == "object" and "category" in names:
                raise PromptError(
                    f'prompt set "{self._prompts.name}": the object question asks for {{category}}, which is chosen from the answers '
                    "to the object question. Take {category} out of the template."
                )
        if "category" in frozenset().union(*wanted.values()):
            self._prompts.template("category")

    def _ask_attributes(self, inquiries: Sequence[Inquiry], view: str) -> None:
        template = self._prompts.template("attributes")
        self.open([view])
        answers = self._sessions[view].ask([Question(inquiry.wording(template)) for inquiry in inquiries])
        for inquiry, answer in zip(inquiries, answers, strict=True):
            inquiry.records.append(AnswerRecord("attributes", view, inquiry.wording(template), answer.texts))
            # a model that ignores the format still describes the target: its words then stand for the list
            inquiry.attributes = parse_attributes(answer.texts[0]) or " ".join(answer.texts[0].split())

    def _ask_queries(self, inquiries: Sequence[Inquiry], queries: Sequence[Query]) -> None:
        """Put all questions of a view to its session as one batch; keep plan order within each expression."""
        self.open(dict.fromkeys(query.view for query in queries))
        for view in dict.fromkeys(query.view for query in queries):
            here = [(inquiry, query) for inquiry in inquiries for query in queries if query.view == view]
            wordings = [inquiry.wording(self._prompts.template(query.prompt)) for inquiry, query in here]
            questions = [Question(text, self._spec, query.steering) for text, (_, query) in zip(wordings, here, strict=True)]
            for (inquiry, query), text, answer in zip(here, wordings, self._sessions[view].ask(questions), strict=True):
                inquiry.answers[query] = answer
                inquiry.records.append(AnswerRecord(query.role, view, text, answer.texts))

    def _choose_category(self, inquiry: Inquiry) -> None:
        """Ask for one label over all object answers, video's first, then each frame's (DecAF, appendix B)."""
        template = self._prompts.template("category")
        candidates = [text for query, answer in inquiry.answers.items() if query.role == "object" for text in answer.texts]
        question = render(template, expression=sentence(inquiry.expression), candidates=candidate_list(candidates))
        label = self._backend.complete(question)
        inquiry.category = label.strip().lower()
        inquiry.records.append(AnswerRecord("category", "text", question, (label,)))
