"""One clip before the multimodal LLM: what notes tell is taken from them, the rest is asked, traced and noted down.

A view's session opens when something is asked that no note tells; steering before the visual tokens is part of the visual prefix, so
it has a session of its own. Answers come at once; maps come when `settle` is called, in one pass of the attribution per session over
the rows of all expressions together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from gazecut.arrays import Array, namespace, to_numpy
from gazecut.errors import BackendError
from gazecut.keys import ClipKeys
from gazecut.notes import Notes, Reading
from gazecut.observers import Observers
from gazecut.optional import PromptAttribution
from gazecut.protocols import Attribution, MLLMBackend, MLLMSession, Provenance
from gazecut.values import Frames, GridLayout, HeatMaps, Query, Question, Steering, Trace
from gazecut.wording import counted

ASKED_AT_ONCE = 16
"""Questions that a session is handed together."""

MOST_WAITING = 512
"""Traces that wait for the attribution together; beyond it they are settled before more is asked. Each holds queries and keys of its
question at every traced layer."""

_Room: TypeAlias = tuple[str, Steering | None]
"""What tells sessions apart: the view, and the steering that stands before the visual tokens."""


class Mind(Protocol):
    """What a witness needs of a pipeline; both are built when they are first asked for."""

    @property
    def mllm(self) -> MLLMBackend:
        """The multimodal LLM."""
        ...

    @property
    def attribution(self) -> Attribution:
        """Turns attention into scores."""
        ...


@dataclass(frozen=True, eq=False)
class _Waiting:
    """Traces that will become the maps of a reading."""

    reading: Reading
    query: Query
    text: str
    traces: tuple[Trace, ...]


class Witness:
    """Asks one clip; all expressions share its sessions and its notes."""

    def __init__(self, mind: Mind, frames: Callable[[], Frames], notes: Notes, keys: ClipKeys, observers: Observers) -> None:
        """Open nothing yet.

        Args:
            mind: The multimodal LLM and the attribution.
            frames: Gives the sampled frames.
            notes: What is known of the clip.
            keys: What things are called in the notes.
            observers: Told of loading, looking and attributing.
        """
        self._mind, self._sampled, self._notes, self._keys, self._observers = mind, frames, notes, keys, observers
        self._sessions: dict[_Room, MLLMSession] = {}
        self._waiting: list[_Waiting] = []
        self._told: dict[tuple[Query, str, bool], Reading] = {}
        self.provenance: Provenance | None = None

    def ask(self, asked: Sequence[tuple[Query, str]], traced: bool = True) -> list[Reading]:
        """Answers to worded queries, those of a view together; what was asked before is not asked again.

        Args:
            asked: Queries with the user's text of each.
            traced: Whether maps are wanted; they are there once the witness has settled.
        """
        readings = {one: self._told.get((*one, traced)) or self._noted(*one, traced) for one in asked}
        missing = [one for one, reading in readings.items() if reading is None]
        rooms = dict.fromkeys(_room(query) for query, _ in missing)
        self._open(rooms)
        spec = self._mind.attribution.spec if missing and traced else None
        for room in rooms:
            left = [one for one in missing if _room(one[0]) == room]
            while left:
                here, left = left[:ASKED_AT_ONCE], left[ASKED_AT_ONCE:]
                questions = [Question(text, spec, query.steering) for query, text in here]
                for one, answer in zip(here, self._sessions[room].ask(questions), strict=True):
                    answered = readings[one] = Reading(answer.texts)
                    self._waiting.append(_Waiting(answered, *one, answer.traces))
                if sum(len(waiting.traces) for waiting in self._waiting) > MOST_WAITING:
                    self.settle()
        return [reading for one in asked if (reading := readings[one]) is not None]

    def complete(self, texts: Sequence[str]) -> list[str]:
        """Answers to turns without the clip, as one batch; equal turns are one."""
        labels = {text: self._noted_label(text) for text in dict.fromkeys(texts)}
        missing = [text for text, label in labels.items() if label is None]
        if missing:
            for text, answer in zip(missing, self._mind.mllm.complete_many(missing), strict=True):
                labels[text] = answer
                self._notes.keep_reading(self._keys.label(text), Reading((answer,)), self._mind.mllm.describe())
        return [label for text in texts if (label := labels[text]) is not None]

    def settle(self) -> None:
        """Work out the maps of everything that was asked, and note it down."""
        waiting, self._waiting = self._waiting, []
        rooms = dict.fromkeys(_room(one.query) for one in waiting if one.traces)
        if rooms:
            with self._observers.stage("attribute", len(rooms)) as stage:
                for room in rooms:
                    self._attribute([one for one in waiting if _room(one.query) == room and one.traces], self._sessions[room].layout)
                    stage.step()
                stage.summary = counted(sum(bool(one.traces) for one in waiting), "map")
        for one in waiting:
            self._told[one.query, one.text, bool(one.traces)] = one.reading
            key = self._keys.reading(one.query, one.text, traced=bool(one.traces))
            self._notes.keep_reading(key, one.reading, self._mind.mllm.describe())

    def close(self) -> None:
        """Close every session, those after one that refuses, too; a second call does nothing."""
        self._waiting.clear()
        self._told.clear()
        sessions, self._sessions = self._sessions, {}
        with ExitStack() as stack:
            for session in sessions.values():
                stack.callback(session.close)

    def _open(self, rooms: Iterable[_Room]) -> None:
        """Run the vision tower and prefill the visual prefixes that are not there yet."""
        closed = [room for room in rooms if room not in self._sessions]
        if not closed:
            return
        with self._observers.stage("load"):
            backend, spec = self._mind.mllm, self._mind.attribution.spec
        frames = self._sampled()
        with self._observers.stage("look", len(closed)) as stage:
            for view, steering in closed:
                prelude = None if steering is None else steering.embeddings
                self._sessions[view, steering] = backend.open(frames, view, prelude, spec)
                stage.step()
            views = dict.fromkeys(view for view, _ in closed)
            stage.summary = f"{counted(len(frames), 'frame')}, {' and '.join(views)} {'view' if len(views) == 1 else 'views'}"

    def _attribute(self, waiting: Sequence[_Waiting], layout: GridLayout) -> None:
        self._notes.work.rollout_passes += 1
        found = iter(_scored(self._mind.attribution, [trace for one in waiting for trace in one.traces]))
        for one in waiting:
            rows, weights = zip(*(next(found) for _ in one.traces), strict=True)
            # in host memory, so that fusion computes the same from a note as from a model on another device
            maps = HeatMaps(layout.fold(namespace(*rows).concat(rows)), layout.frames_per_slot)
            one.reading.maps = HeatMaps(_finite(maps.numpy(), one.query.view), maps.frames_per_slot)
            prompt, told = one.traces[0].prompt, [to_numpy(each) for each in weights if each is not None]
            if prompt is not None and len(told) == len(rows):
                one.reading.tokens, one.reading.weights = prompt.texts, np.stack(told).mean(0, np.float64).astype(np.float32)

    def _noted(self, query: Query, text: str, traced: bool) -> Reading | None:
        found = self._notes.reading(self._keys.reading(query, text, traced))
        if found is None:
            return None
        reading, self.provenance = found
        return reading

    def _noted_label(self, text: str) -> str | None:
        found = self._notes.reading(self._keys.label(text))
        if found is None:
            return None
        reading, self.provenance = found
        return reading.texts[0]


def _room(query: Query) -> _Room:
    steering = query.steering
    return query.view, steering if steering is not None and steering.place == "before-vision" else None


def _finite(values: np.ndarray, view: str) -> np.ndarray:
    """Maps as they are; those that would pass for "nothing found" are refused, and never noted down."""
    if not np.isfinite(values).all():
        raise BackendError(
            f"the attention on the {view} view has values that are not finite, so it points nowhere; numbers overflow in half precision "
            "with some models. Set mllm.dtype=bfloat16 or mllm.dtype=float32."
        )
    return values


def _scored(attribution: Attribution, traces: Sequence[Trace]) -> Sequence[tuple[Array, Array | None]]:
    """Scores of the visual tokens, with weights of the question's where the attribution tells them."""
    if isinstance(attribution, PromptAttribution):
        return attribution.scores_with_prompt(traces)
    return [(scores, None) for scores in attribution.scores_many(traces)]
