"""Sessions: one view of one clip with its visual prefix in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from types import TracebackType
from typing import Self

import torch

from gazecut.errors import BackendError
from gazecut.values import Answer, GridLayout, Question, Steering, TraceSpec
from gazecut.work import Work
from gazecut_mllm.chat import Chat
from gazecut_mllm.continuation import Continuation, Reply, Suffix
from gazecut_mllm.family import Placement
from gazecut_mllm.generation import Decoder
from gazecut_mllm.hf import HFBackend
from gazecut_mllm.memory import BatchLimit
from gazecut_mllm.prefix import Prefix
from gazecut_mllm.shelf import Held, Shelf


@dataclass(frozen=True)
class Reader:
    """What every session of a backend shares.

    Attributes:
        hf: The model.
        chat: Words turns.
        decoder: Generates and words answers.
        shelf: Prefixes of all sessions.
        work: Where work is counted.
    """

    hf: HFBackend
    chat: Chat
    decoder: Decoder
    shelf: Shelf
    work: Work


class VisualSession:
    """One view of one clip; questions continue from its prefixes.

    Traces put their layers together from the prefix when they are read: a prefix leaves memory once the session is closed and
    its traces are gone.
    """

    layout: GridLayout

    def __init__(self, reader: Reader, placement: Placement, prefixes: Sequence[Held], layout: GridLayout, limit: BatchLimit) -> None:
        """Keep prefilled prefixes.

        Args:
            reader: The model and its ways.
            placement: How the frames stand in the prompt.
            prefixes: The sequences of the view, in order, in batches.
            layout: What each visual token covers.
            limit: Most questions times sequences in one forward pass.
        """
        self.layout = layout
        self._reader, self._placement, self._limit = reader, placement, limit
        self._prefixes: tuple[Held, ...] | None = tuple(prefixes)

    @torch.inference_mode()
    def ask(self, questions: Sequence[Question]) -> Sequence[Answer]:
        """Answer several questions from the shared prefix, greedily.

        Raises:
            BackendError: The session is closed, a trace asks for layers that the model lacks or the session does not keep, steering is of
                another width or place than the session can take, or memory runs out with one sequence at a time.
            PromptError: A question holds one of the model's own visual tokens, or leaves no room for an answer.
        """
        if self._prefixes is None:
            raise BackendError("this session is closed; open another to ask more.")
        suffixes = [self._suffix(question) for question in questions]
        replies: list[list[Reply]] = [[] for _ in suffixes]
        for held in self._prefixes if suffixes else ():
            for of_suffix, more in zip(replies, self._replies(held, held.take(), suffixes), strict=True):
                of_suffix += more
        return [_answer(of_question) for of_question in replies]

    def close(self) -> None:
        """Free the prefix; a second call does nothing."""
        self._prefixes = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _replies(self, held: Held, prefix: Prefix, suffixes: Sequence[Suffix]) -> list[list[Reply]]:
        """One list per suffix, one reply per sequence of a prefix or of a part of it; in as few passes as the limit allows."""
        done: list[list[Reply]] = []
        while len(done) < len(suffixes):
            at_once = self._limit.size // prefix.sequences
            if not at_once:  # memory ran out with one suffix for all sequences
                parts = prefix.part(slice(self._limit.size)), prefix.part(slice(self._limit.size, None))
                first, second = (self._replies(held, part, suffixes[len(done) :]) for part in parts)
                return [*done, *(before + after for before, after in zip(first, second, strict=True))]
            some = _no_longer_than(len(held), suffixes[len(done) : len(done) + at_once])
            done += self._limit.attempt(len(some) * prefix.sequences, partial(self._continued, held, prefix, some)) or ()
        return done

    def _continued(self, held: Held, prefix: Prefix, suffixes: Sequence[Suffix]) -> list[list[Reply]]:
        replies = Continuation(self._reader.hf, held, prefix, suffixes).replies(self._reader.decoder)
        self._reader.work.prompt_tokens += prefix.sequences * sum(map(len, suffixes))
        return replies

    def _suffix(self, question: Question) -> Suffix:
        assert self._prefixes is not None
        layers = range(0) if question.trace is None else traced_layers(self._reader.hf, question.trace, self._prefixes[0].layers)
        steering = question.steering
        if steering is not None and steering.place == "before-vision":
            self._check_prelude(steering)
        suffix = suffix_of(self._reader, self._placement, question, layers)
        remedy = "Shorten the question, or lower mllm.max_new_tokens or what mllm.views shows."
        self._reader.decoder.check_room(self._prefixes[0].opening.following + len(suffix), remedy)
        return suffix

    def _check_prelude(self, steering: Steering) -> None:
        assert self._prefixes is not None
        prelude, given = self._prefixes[0].opening.prelude, embeddings_for(self._reader.hf, steering.embeddings, "steering")
        have = 0 if prelude is None else len(prelude)
        if have != len(given):
            raise BackendError(
                f"a question is steered by {len(given)} embeddings before the visual tokens, the session was opened with {have}. "
                "Open it with them as prelude."
            )
        if prelude is not None and not torch.equal(prelude, given):
            raise BackendError(
                "a question is steered by other embeddings before the visual tokens than the session was opened with. "
                "Open it with them as prelude."
            )


def traced_layers(hf: HFBackend, spec: TraceSpec, kept: range) -> range:
    """The layers that a question asks a session for, of those that it keeps.

    Raises:
        BackendError: The model lacks some, or the session does not keep them.
    """
    layers = hf.layer_range(spec.first_layer, spec.last_layer)
    if layers.start < kept.start or layers.stop > kept.stop:
        raise BackendError(
            f"a question traces layers {layers.start} to {layers.stop - 1}, the session was opened for layers {kept.start} to "
            f"{kept.stop - 1}. Open it with this trace."
        )
    return layers


def suffix_of(reader: Reader, placement: Placement, question: Question, layers: range) -> Suffix:
    """What follows the visual tokens for a question, soft tokens included that stand there.

    Args:
        reader: The model and its ways.
        placement: How the frames stand in the prompt.
        question: What is asked.
        layers: Layers to trace; none where the question asks for no trace.

    Raises:
        BackendError: Steering is of another width than the model.
        PromptError: The question holds one of the model's own visual tokens.
    """
    turn = reader.chat.turn(question.text, placement)
    suffix = Suffix(turn.after, layers, question_at=turn.question.start, words=turn.words)
    if question.trace is not None:
        suffix = replace(suffix, row=question.trace.row)
    steering = question.steering
    if steering is None or steering.place == "before-vision":
        return suffix
    soft = embeddings_for(reader.hf, steering.embeddings, "steering")
    at = turn.question.start if steering.place == "before-text" else turn.question.stop
    ids = (*turn.after[:at], *[turn.after[0]] * len(soft), *turn.after[at:])
    moved = len(soft) if steering.place == "before-text" else 0
    return replace(suffix, ids=ids, steering=soft, steering_at=at, question_at=turn.question.start + moved)


def embeddings_for(backend: HFBackend, embeddings: object, what: str) -> torch.Tensor:
    """Soft tokens (P, d) as the model takes them, on its device.

    Raises:
        BackendError: They are of another width than the model.
    """
    soft = torch.as_tensor(embeddings).to(backend.device, backend.dtype)
    if soft.ndim != 2 or soft.shape[1] != backend.width:
        raise BackendError(f"{what} embeddings have shape {tuple(soft.shape)}; wanted (P, {backend.width}), the width of this model.")
    return soft


def _no_longer_than(tokens: int, suffixes: Sequence[Suffix]) -> Sequence[Suffix]:
    """The first suffixes, one at least, that are together no longer than the prefix: what had room for that has room for them."""
    sums = list(accumulate(map(len, suffixes)))
    return suffixes[: max(1, sum(total <= tokens for total in sums))]


def _answer(replies: Sequence[Reply]) -> Answer:
    return Answer(tuple(reply.text for reply in replies), tuple(reply.trace for reply in replies if reply.trace is not None))
