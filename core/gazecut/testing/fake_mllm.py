"""A multimodal LLM that answers from a script and looks where it is told, or at what stands out.

Its traces are real queries and keys: the last token's attention, worked out from them by softmax, is the map. So any attribution
can read them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import Self

import numpy as np

from gazecut.arrays import Array
from gazecut.errors import BackendError
from gazecut.protocols import Provenance, Runtime
from gazecut.resize import area_average
from gazecut.testing.options import FakeMLLMOptions
from gazecut.testing.standout import standout
from gazecut.values import Answer, Frames, GridLayout, PromptTokens, Question, Trace, TraceLayer, TraceSpec

VIEWS = ("video", "frame")
LAYERS = 2
WIDTH = 8
"""Width d of the token embeddings that steering must have."""

TINY = 1e-30  # stands for no attention at all, whose logarithm would not be finite

Maps = Mapping[tuple[str, str], np.ndarray]
"""Where to look: ("object" or "background", view) to (T', h, w) >= 0."""

SCRIPT: Mapping[str, str] = MappingProxyType(
    {"Attributes:": "Reasoning: it fits.\n\nAttributes: red, large", "background": "background {sequence}", "": "object {sequence}"}
)
"""What a question contains to what is answered; the first match counts, "{sequence}" becomes the number of the sequence."""


class FakeMLLM:
    """Opens sessions that answer at once.

    Attributes:
        asked: (view, text) of every question so far.
        completed: Every text-only turn so far.
        sessions: Every session so far.
    """

    def __init__(
        self,
        config: FakeMLLMOptions | None = None,
        runtime: Runtime | None = None,
        *,
        maps: Maps | None = None,
        script: Mapping[str, str] = SCRIPT,
        completion: str = "square",
    ) -> None:
        """Load nothing.

        Args:
            config: The options; their defaults by default.
            runtime: Not looked at; a fake computes on the CPU and draws nothing.
            maps: Where to look, by role and view; None looks at the pixels that stand out. A view's maps are divided by one number
                where one of its sequences sums to more than 1, since attention cannot.
            script: Answers by what the question contains.
            completion: Answer to every text-only turn.
        """
        self._config = config or FakeMLLMOptions()
        self._maps = maps
        self._script = script
        self._completion = completion
        self.asked: list[tuple[str, str]] = []
        self.completed: list[str] = []
        self.sessions: list[FakeMLLMSession] = []

    def open(self, frames: Frames, view: str, prelude: Array | None = None, trace: TraceSpec | None = None) -> FakeMLLMSession:
        """A session on frames.

        Raises:
            BackendError: The view is unknown, the model lacks a layer, or the prelude is of another width.
        """
        if view not in VIEWS:
            raise BackendError(f'there is no view "{view}"; wanted one of: {", ".join(VIEWS)}.')
        layers_of(trace or TraceSpec())
        maps, frames_per_slot = self._look(frames, view), self._config.frames_per_slot if view == "video" else 1
        session = FakeMLLMSession(self, view, maps, frames_per_slot, width_checked(prelude))
        self.sessions.append(session)
        return session

    def complete(self, text: str) -> str:
        """The scripted completion."""
        return self.complete_many([text])[0]

    def complete_many(self, texts: Sequence[str]) -> list[str]:
        """The scripted completion, for each."""
        self.completed.extend(texts)
        return [self._completion] * len(texts)

    def describe(self) -> Provenance:
        """CPU, no weights."""
        return Provenance(device="cpu", dtype="float64")

    def peak_memory(self) -> int:
        """Always 0: there is no device."""
        return 0

    def answer(self, text: str, sequence: int) -> str:
        """What the script says to a question."""
        words = next((answer for part, answer in self._script.items() if part in text), "")
        return words.replace("{sequence}", str(sequence))

    def _look(self, frames: Frames, view: str) -> dict[str, np.ndarray]:
        """Role to (T', h, w), each sequence summing to at most 1."""
        if self._maps is not None:
            maps = {role: np.asarray(values, np.float64) for (role, of), values in self._maps.items() if of == view}
        else:
            cells = self._cells(standout(frames.images), view)
            maps = {"object": cells, "background": 0.1 * (1 - cells)}
        axes = None if view == "video" else (1, 2)
        most = max(float(np.max(values.sum(axis=axes))) for values in maps.values())
        return {role: values / max(most, 1.0) for role, values in maps.items()}

    def _cells(self, pixels: np.ndarray, view: str) -> np.ndarray:
        """Pixel values (T, H, W) as cells (T', h, w)."""
        cell = self._config.cell * (2 if view == "video" else 1)
        cells = np.asarray(area_average(pixels, (-(-pixels.shape[1] // cell), -(-pixels.shape[2] // cell))))
        together = self._config.frames_per_slot if view == "video" else 1
        return np.stack([cells[start : start + together].mean(axis=0) for start in range(0, len(cells), together)])


class FakeMLLMSession:
    """One view of one clip.

    Attributes:
        layout: What each visual token covers.
        view: The view.
        closed: How often `close` was called.
    """

    layout: GridLayout

    def __init__(self, backend: FakeMLLM, view: str, maps: Mapping[str, np.ndarray], frames_per_slot: int, prelude: int) -> None:
        """Take what the model sees.

        Args:
            backend: Whose session this is.
            view: The view.
            maps: Role to (T', h, w), each sequence summing to at most 1.
            frames_per_slot: Sampled frames that one map covers.
            prelude: Embeddings before the visual tokens.
        """
        slots, rows, columns = maps["object"].shape
        self.layout = GridLayout(slots, rows, columns, frames_per_slot)
        self.view = view
        self.closed = 0
        self._backend = backend
        self._maps = maps
        self._prelude = prelude

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """Answers from the script.

        Raises:
            BackendError: The session is closed, a trace asks for layers that the model lacks, or steering is of another width.
        """
        if self.closed:
            raise BackendError("this session is closed; open another to ask more.")
        answers = [self._answer(question) for question in questions]
        self._backend.asked.extend((self.view, question.text) for question in questions)
        return answers

    def close(self) -> None:
        """Note that it was called."""
        self.closed += 1

    def __enter__(self) -> Self:
        """The session itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it."""
        self.close()

    def _answer(self, question: Question) -> Answer:
        sequences = 1 if self.view == "video" else self.layout.slots
        texts = tuple(self._backend.answer(question.text, sequence) for sequence in range(sequences))
        steering = question.steering
        steered = width_checked(steering.embeddings) if steering is not None and steering.place != "before-vision" else 0
        if question.trace is None:
            return Answer(texts)
        layers, answered = layers_of(question.trace), question.trace.row == "first-answer"
        words = tuple(re.findall(r"\s*\S+(?:\s+$)?", question.text))
        soft = steered if steering is not None and steering.place == "before-text" else 0
        tokens = len(words) + 1 + steered + answered
        role = "background" if "background" in question.text and "background" in self._maps else "object"
        rows = self._maps[role].reshape(sequences, -1)
        start = 1 + self._prelude + rows.shape[1] + soft
        prompt = PromptTokens(np.arange(start, start + len(words)), words)
        traces = (_trace(row, 1 + self._prelude, tokens, len(layers)) for row in rows)
        return Answer(texts, tuple(replace(trace, prompt=prompt) for trace in traces))


def layers_of(spec: TraceSpec) -> range:
    """The layers that a trace asks for.

    Raises:
        BackendError: The model lacks one.
    """
    last = LAYERS - 1 if spec.last_layer is None else spec.last_layer
    if not 0 <= spec.first_layer <= last < LAYERS:
        raise BackendError(f"a trace asks for layers {spec.first_layer} to {last}; the model has layers 0 to {LAYERS - 1}.")
    return range(spec.first_layer, last + 1)


def width_checked(embeddings: Array | None) -> int:
    """How many embeddings there are, (P, d).

    Raises:
        BackendError: They are of another width than the model's.
    """
    if embeddings is None:
        return 0
    if embeddings.shape[1] != WIDTH:
        raise BackendError(f"embeddings have shape {tuple(embeddings.shape)}; wanted (P, {WIDTH}), the width of this model.")
    return int(embeddings.shape[0])


def _trace(row: np.ndarray, before: int, after: int, layers: int) -> Trace:
    """Queries and keys whose last row of attention is `row` (V,) on the visual tokens, and the rest on the tokens after them.

    A visual token's key is (log of its attention, 0), a later one's (0, 1); the last query is (1, log of what is left for each of
    them). So no key but a visual one knows the picture.
    """
    visual, count = slice(before, before + len(row)), before + len(row) + after
    key = np.zeros((1, count, 2))
    key[0, :before, 0] = np.log(TINY)
    key[0, visual, 0] = np.log(np.maximum(row, TINY))
    key[0, visual.stop :, 1] = 1
    query = np.zeros((1, count, 2))
    query[0, -1] = 1, np.log(max((1 - row.sum()) / after, TINY))
    return Trace([TraceLayer(query, key, 1.0)] * layers, np.arange(before, visual.stop))
