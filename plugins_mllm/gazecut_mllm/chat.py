"""Turns of a conversation, worded by the checkpoint's own chat template and cut at the visual tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from gazecut.errors import PromptError, WeightsError
from gazecut_mllm.family import Placement

SENTINEL = "\u27e6question\u27e7"  # stands for the question while we look where the template puts it


@dataclass(frozen=True)
class Opened:
    """A user turn up to its last visual token, as token ids.

    Attributes:
        ids: System turn, start of the user's, visual tokens and whatever stands between them.
        visual: The id that stands for one visual token.
        prelude_at: Where embeddings before the visual tokens stand.
    """

    ids: tuple[int, ...]
    visual: int
    prelude_at: int


@dataclass(frozen=True)
class Turn:
    """What follows the last visual token of a user turn, as token ids.

    Attributes:
        after: Whatever closes the visual tokens, the question, the start of the answer.
        question: Which of `after` are the question's text.
        words: What each of those stands for; together the text.
    """

    after: tuple[int, ...]
    question: range
    words: tuple[str, ...]


class Chat:
    """Words turns; `system` replaces the system message of the template where it is given."""

    def __init__(self, processor: Any, system: str | None = None) -> None:
        """Keep a checkpoint's processor, whose tokenizer must tell where in the text a token stands (a "fast" one)."""
        self._processor = processor
        self._system = system

    def opening(self, placement: Placement) -> Opened:
        """What every question about the frames starts with.

        Raises:
            WeightsError: The chat template has no place for a question or a visual token.
        """
        around = self._around(placement)
        text = "".join(chain.from_iterable(zip_longest(around, placement.texts, fillvalue="")))
        text = text[: text.rindex(placement.token) + len(placement.token)]
        encoded = self._encode(text)
        start = len(around[0].removesuffix(placement.opener))
        at = sum(end <= start for _, end in encoded["offset_mapping"])
        return Opened(tuple(encoded["input_ids"]), self._processor.tokenizer.convert_tokens_to_ids(placement.token), at)

    def turn(self, question: str, placement: Placement) -> Turn:
        """A question about the frames.

        Raises:
            PromptError: The question holds one of the model's own visual tokens.
            WeightsError: The chat template has no place for a question or a visual token.
        """
        names = [token for kind in ("image", "video") if (token := getattr(self._processor, f"{kind}_token", None))]
        if any(name in question for name in names):
            raise PromptError(
                f"the question {question[:60]!r} holds a visual token of the model; leave {' and '.join(names)} out of the text."
            )
        before = self._around(placement)
        shown = sum(map(len, before)) + len(before[1:]) * len(self._placeholder(placement))
        # A visual token is never part of another: what follows the last one reads the same without what comes before it.
        tail = placement.token + placement.texts[-1].rpartition(placement.token)[2] + before[-1]
        encoded = self._encode(tail + self._render(question, placement)[shown:])
        ids, spans = encoded["input_ids"][1:], encoded["offset_mapping"][1:]
        start, stop = len(tail), len(tail) + len(question)
        first = sum(end <= start for _, end in spans)  # tokens that end before the question starts
        last = max(first, sum(begin < stop for begin, _ in spans))  # those that start before it ends
        return Turn(tuple(ids), range(first, last), _pieces(question, [end - start for _, end in spans[first:last]]))

    def text(self, question: str) -> tuple[int, ...]:
        """Ids of a turn without anything to see."""
        return tuple(self._encode(self._render(question, None))["input_ids"])

    def _around(self, placement: Placement) -> list[str]:
        """What the template writes before the question: the text before, between and after the places of the frames."""
        before, found, _ = self._render(SENTINEL, placement).partition(SENTINEL)
        token, count = self._placeholder(placement), len(placement.texts)
        if not found or before.count(token) != count:
            raise WeightsError(
                f"the checkpoint's chat template does not place {'one' if count == 1 else count} {token} and then the question in a turn "
                f"about a {placement.kind}."
            )
        return before.split(token)

    def _placeholder(self, placement: Placement) -> str:
        return str(getattr(self._processor, f"{placement.kind}_token"))

    def _encode(self, text: str) -> Any:
        return self._processor.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)

    def _render(self, question: str, placement: Placement | None) -> str:
        shown = [{"type": placement.kind}] * len(placement.texts) if placement else []
        content = [*shown, {"type": "text", "text": question}]
        system = [{"role": "system", "content": [{"type": "text", "text": self._system}]}] if self._system is not None else []
        messages = [*system, {"role": "user", "content": content}]
        # How it is encoded is not the template's business, but processors that are told nothing of it complain.
        encoding = {"add_special_tokens": False}
        return str(self._processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, processor_kwargs=encoding))


def _pieces(text: str, ends: Sequence[int]) -> tuple[str, ...]:
    """The text cut where tokens end; a letter that takes several tokens is the first one's."""
    pieces, done = [], 0
    for end in ends:
        pieces.append(text[done : max(done, end)])
        done = max(done, end)
    return tuple(pieces)
