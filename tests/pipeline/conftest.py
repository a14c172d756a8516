"""A multimodal LLM that answers from a script and whose attention is given maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from gazecut.protocols import Provenance
from gazecut.values import Answer, Frames, GridLayout, Question, Trace, TraceLayer, TraceSpec

Maps = dict[tuple[str, str], np.ndarray]


class ScriptedSession:
    def __init__(self, backend: ScriptedBackend, view: str) -> None:
        self.backend = backend
        self.view = view
        first = next(maps for (role, of), maps in backend.maps.items() if of == view and role == "object")
        self.layout = GridLayout(*first.shape, frames_per_slot=2 if view == "video" and backend.pairs else 1)
        self.closed = 0

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        self.backend.asked.extend((self.view, question.text) for question in questions)
        return [self._answer(question) for question in questions]

    def _answer(self, question: Question) -> Answer:
        role = "background" if "background" in question.text else "object"
        sequences = 1 if self.view == "video" else self.layout.slots
        if question.trace is None:
            return Answer(("Reasoning: it fits.\n\nAttributes: red, large",) * sequences)
        rows = self.backend.maps[role, self.view].reshape(sequences, -1)
        traces = tuple(Trace([TraceLayer(row[None, :, None], row[None, :, None], 1.0)], np.arange(len(row))) for row in rows)
        return Answer(tuple(f"{role} {index}" for index in range(sequences)), traces)

    def close(self) -> None:
        self.closed += 1


class ScriptedBackend:
    def __init__(self, maps: Maps, pairs: bool = True) -> None:
        self.maps = maps
        self.pairs = pairs
        self.asked: list[tuple[str, str]] = []
        self.completed: list[str] = []
        self.sessions: list[ScriptedSession] = []

    def open(self, frames: Frames, view: str, prelude: object = None, trace: TraceSpec | None = None) -> ScriptedSession:
        self.sessions.append(ScriptedSession(self, view))
        return self.sessions[-1]

    def complete(self, text: str) -> str:
        self.completed.append(text)
        return " Circle "

    def describe(self) -> Provenance:
        return Provenance("cpu", "float32", weights="scripted")

    def peak_memory(self) -> int:
        return 0


class ScriptedAttribution:
    spec = TraceSpec(first_layer=0)

    def scores(self, trace: Trace) -> np.ndarray:
        return trace.layers[0].query[0, :, 0]


@pytest.fixture
def scripted() -> Callable[..., ScriptedBackend]:
    return ScriptedBackend


@pytest.fixture
def attribution() -> ScriptedAttribution:
    return ScriptedAttribution()


@pytest.fixture
def square() -> np.ndarray:
    """Eight frames of a bright square that moves right over a dark ground, (8, 64, 80, 3) uint8."""
    frames = np.full((8, 64, 80, 3), 30, np.uint8)
    for index, frame in enumerate(frames):
        frame[20:44, 8 + 5 * index : 32 + 5 * index] = (220, 60, 40)
    return frames


@pytest.fixture
def square_maps(square: np.ndarray) -> Maps:
    """What a model that looks at the square would attend to, on a video grid (4, 4, 5) and a frame grid (8, 8, 10)."""
    inside = (square[..., 0] > 100).astype(np.float32)
    frame = inside.reshape(8, 8, 8, 10, 8).mean(axis=(2, 4))
    video = inside.reshape(4, 2, 4, 16, 5, 16).mean(axis=(1, 3, 5))
    return {
        ("object", "video"): video,
        ("object", "frame"): frame,
        ("background", "video"): 0.1 * (1 - video),
        ("background", "frame"): 0.1 * (1 - frame),
    }
