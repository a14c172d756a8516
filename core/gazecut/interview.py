"""What is asked of a clip: planned queries, worded and put in the order that their placeholders demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gazecut.errors import PromptError
from gazecut.notes import Reading
from gazecut.prompts import ROLES, PromptSet, candidate_list, placeholders, render, sentence, told_attributes
from gazecut.values import Query
from gazecut.witness import Witness


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


@dataclass(frozen=True, eq=False)
class PromptWeights:
    """How much the answering row draws on each token of a question.

    Attributes:
        role: The question's role.
        view: Its view; of several sequences, the weights are the mean.
        tokens: What each token stands for; together the question.
        weights: (P,) float32 >= 0, as the attribution gave them.
    """

    role: str
    view: str
    tokens: tuple[str, ...]
    weights: np.ndarray


@dataclass
class Inquiry:
    """One expression's questions and answers.

    Attributes:
        expression: As the user typed it; empty for maps that were given.
        category: The category chosen over all object answers, lower case; None where no template wants it.
        attributes: The target's attributes; None where no template wants them.
        records: Everything asked, in order.
        readings: What came of each planned query.
    """

    expression: str
    category: str | None = None
    attributes: str | None = None
    records: list[AnswerRecord] = field(default_factory=list)
    readings: dict[Query, Reading] = field(default_factory=dict)

    @property
    def prompt_weights(self) -> tuple[PromptWeights, ...]:
        """What the words of each planned query weighed, where model and attribution tell; known once the witness has settled."""
        told = [(query, reading) for query, reading in self.readings.items() if reading.tokens]
        return tuple(PromptWeights(query.role, query.view, reading.tokens, reading.weights) for query, reading in told)

    def wording(self, template: str) -> str:
        """A template filled in with what is known."""
        known = {"expression": sentence(self.expression), "category": self.category, "attributes": self.attributes}
        return render(template, **{name: text for name, text in known.items() if text is not None})


class Interview:
    """Words the questions and puts them in order; what they share is asked once, and together."""

    def __init__(self, witness: Witness, prompts: PromptSet) -> None:
        """Ask nothing yet.

        Args:
            witness: The clip.
            prompts: Templates by role.
        """
        self._witness = witness
        self._prompts = prompts

    def ask(self, expressions: Sequence[str], queries: Sequence[Query]) -> list[Inquiry]:
        """Ask everything about all expressions: attributes, then what needs no category, the categories, the rest.

        Args:
            expressions: What users typed.
            queries: The plan; the same for every expression.

        Raises:
            PromptError: An expression is empty, or the prompt set lacks a template that the plan needs, or words what nobody asks.
        """
        wanted = {query: placeholders(self._prompts.template(query.prompt)) for query in queries}
        everything = frozenset[str]().union(*wanted.values())
        self._check_unasked(queries)
        self._check_order(wanted)
        inquiries = [Inquiry(expression) for expression in expressions]
        if "attributes" in everything:
            views = [query.view for query in queries]
            self._ask_attributes(inquiries, "video" if "video" in views else views[0])
        self._ask_queries(inquiries, [query for query in queries if "category" not in wanted[query]])
        if "category" in everything:
            self._choose_categories(inquiries)
            self._ask_queries(inquiries, [query for query in queries if "category" in wanted[query]])
        return inquiries

    def _check_unasked(self, queries: Sequence[Query]) -> None:
        """Refuse a template that a recipe words in vain, most likely under a mistyped name; those of Gazecut's own roles may rest."""
        asked = {query.prompt for query in queries}
        for role in self._prompts.templates:
            if role not in ROLES and role not in asked:
                raise PromptError(
                    f'prompt set "{self._prompts.name}" words "{role}", which nothing asks for; fusion asks: {", ".join(sorted(asked))}. '
                    "Take it out, or mend its name."
                )

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
        template, query = self._prompts.template("attributes"), Query("attributes", view, "attributes")
        readings = self._witness.ask([(query, inquiry.wording(template)) for inquiry in inquiries], traced=False)
        for inquiry, reading in zip(inquiries, readings, strict=True):
            inquiry.records.append(AnswerRecord("attributes", view, inquiry.wording(template), reading.texts))
            inquiry.attributes = told_attributes(reading.texts[0])

    def _ask_queries(self, inquiries: Sequence[Inquiry], queries: Sequence[Query]) -> None:
        """Ask all questions together; keep plan order within each expression."""
        asked = [(inquiry, query) for inquiry in inquiries for query in queries]
        worded = [(query, inquiry.wording(self._prompts.template(query.prompt))) for inquiry, query in asked]
        for (inquiry, _), (query, text), reading in zip(asked, worded, self._witness.ask(worded), strict=True):
            inquiry.readings[query] = reading
            inquiry.records.append(AnswerRecord(query.role, query.view, text, reading.texts))

    def _choose_categories(self, inquiries: Sequence[Inquiry]) -> None:
        """Ask for one label each over all object answers, video's first, then each frame's (DecAF, appendix B)."""
        template = self._prompts.template("category")
        questions = []
        for inquiry in inquiries:
            candidates = [text for query, reading in inquiry.readings.items() if query.role == "object" for text in reading.texts]
            questions.append(render(template, expression=sentence(inquiry.expression), candidates=candidate_list(candidates)))
        for inquiry, question, label in zip(inquiries, questions, self._witness.complete(questions), strict=True):
            inquiry.category = label.strip().lower()
            inquiry.records.append(AnswerRecord("category", "text", question, (label,)))
