"""Questions to a multimodal LLM, and what comes back: queries, questions, answers, traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from gazecut.arrays import Array
from gazecut.values.check import check_shape

TraceRow = Literal["last-prompt", "first-answer"]


@dataclass(frozen=True, eq=False)
class Steering:
    """Learned embeddings that ride in a query.

    Attributes:
        embeddings: (P, d) floating, P soft tokens of the model's width d.
        place: "before-text" (after the visual tokens), "after-text", or "before-vision" (part of the session's prelude).
    """

    embeddings: Array
    place: Literal["before-text", "before-vision", "after-text"] = "before-text"

    def __post_init__(self) -> None:
        check_shape("steering.embeddings", self.embeddings, ("P", "d"))


@dataclass(frozen=True)
class Query:
    """One thing to ask, before its wording is filled in; fusion strategies plan with these.

    Attributes:
        role: "object" or "background"; strategies may add roles.
        view: "video" (all sampled frames in one sequence) or "frame" (each frame its own sequence).
        prompt: Name of the template in the recipe's prompt set.
        steering: Embeddings that ride along, or None.
    """

    role: str
    view: str
    prompt: str
    steering: Steering | None = None


@dataclass(frozen=True)
class TraceSpec:
    """Which attention an attribution wants to see.

    Attributes:
        first_layer: First layer of the language model, from 0.
        last_layer: Last layer, inclusive; None is the model's last.
        row: Whose attention is asked for: the last position of the prompt, which predicts the first answer token, or the first
            answer token itself.
    """

    first_layer: int = 0
    last_layer: int | None = None
    row: TraceRow = "last-prompt"


@dataclass(frozen=True)
class Question:
    """A filled-in prompt for a session.

    Attributes:
        text: The user's text after the visual tokens, exactly as it goes into the chat template.
        trace: What to capture, or None for the answer alone.
        steering: Embeddings that ride along, or None.
    """

    text: str
    trace: TraceSpec | None = None
    steering: Steering | None = None


class TraceLayer(NamedTuple):
    """One attention layer of one sequence, after rotary embedding; N tokens, H query heads, G key heads.

    Attributes:
        query: (H, N, d).
        key: (G, N, d); H is a multiple of G.
        scale: Factor on query-key products, usually d ** -0.5.
    """

    query: Array
    key: Array
    scale: float


@dataclass(frozen=True, eq=False)
class PromptTokens:
    """The text of a question as a model reads it.

    Attributes:
        columns: (P,) integer positions of its tokens in the sequence, ascending.
        texts: What each token stands for, white space included: together the text. Where one letter takes several tokens, the first
            has it and the others are empty.
    """

    columns: Array
    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        check_shape("prompt.columns", self.columns, (len(self.texts),))


@dataclass(frozen=True, eq=False)
class Trace:
    """What is needed to work out attention again, without any attention matrix.

    Attributes:
        layers: First to last asked layer; items may be put together when they are read, so read each once.
        visual_columns: (V,) integer positions of the visual tokens, in the order of the grid.
        prompt: Where the question's text stands; None for a model that does not tell.
    """

    layers: Sequence[TraceLayer]
    visual_columns: Array
    prompt: PromptTokens | None = None

    def __post_init__(self) -> None:
        check_shape("trace.visual_columns", self.visual_columns, ("V",))


@dataclass(frozen=True, eq=False)
class Answer:
    """What a session said to one question.

    Attributes:
        texts: One per sequence of the view: one for "video", T for "frame".
        traces: One per sequence where the question asked for a trace, else empty.
    """

    texts: tuple[str, ...]
    traces: tuple[Trace, ...] = ()
