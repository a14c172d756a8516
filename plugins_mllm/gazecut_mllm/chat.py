"""Turns of a conversation, worded by the checkpoint's own chat template and cut at the visual tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gazecut.errors import PromptError, WeightsError

SENTINEL = "\u27e6question\u27e7"  # stands for the question while we look where the template puts it


@dataclass(frozen=True)
class Turn:
    """One user turn with an image or a video, as token ids around the visual tokens.

    Attributes:
        before: Ids up to the visual tokens: system turn, start of the user's.
        visual: The id that stands for one visual token.
        after: Ids behind the visual tokens: their closing token, the question, the start of the answer.
        question: Which of `after` are the question's text.
        words: What each of those stands for; together the text.
    """

    before: tuple[int, ...]
    visual: int
    after: tuple[int, ...]
    question: range
    words: tuple[str, ...]


class Chat:
    """Words turns; `system` replaces the system message of the template where it is given."""

    def __init__(self, processor: Any, system: str | None = None) -> None:
        """Keep a checkpoint's processor, whose tokenizer must tell where in the text a token stands (a "fast" one)."""
        self._processor = processor
        self._system = system

    def turn(self, question: str, kind: Literal["video", "image"]) -> Turn:
        """A question about a video or an image.

        Raises:
            PromptError: The question holds one of the model's own visual tokens.
            WeightsError: The chat template has no place for a question or a visual token.
        """
        start, stop = self._place(question, kind)
        tokenizer = self._processor.tokenizer
        encoded = tokenizer(self._render(question, kind), add_special_tokens=False, return_offsets_mapping=True)
        ids, spans = encoded["input_ids"], encoded["offset_mapping"]
        visual = {name: tokenizer.convert_tokens_to_ids(getattr(self._processor, f"{name}_token")) for name in ("image", "video")}
        places = [index for index, token in enumerate(ids) if token in visual.values()]
        if len(places) != 1:
            raise PromptError(
                f"the question {question[:60]!r} holds a visual token of the model; "
                f"leave {' and '.join(getattr(self._processor, f'{name}_token') for name in visual)} out of the text."
            )
        cut = places[0] + 1
        first = sum(end <= start for _, end in spans)  # tokens that end before the question starts
        last = max(first, sum(begin < stop for begin, _ in spans))  # those that start before it ends
        words = _pieces(question, [end - start for _, end in spans[first:last]])
        return Turn(tuple(ids[: cut - 1]), visual[kind], tuple(ids[cut:]), range(first - cut, last - cut), words)

    def text(self, question: str) -> tuple[int, ...]:
        """Ids of a turn without anything to see."""
        return tuple(self._processor.tokenizer(self._render(question, None), add_special_tokens=False)["input_ids"])

    def _place(self, question: str, kind: str) -> tuple[int, int]:
        """Where in the rendered turn the question stands, as characters."""
        before, found, _ = self._render(SENTINEL, kind).partition(SENTINEL)
        token = getattr(self._processor, f"{kind}_token")
        if not found or before.count(token) != 1:
            raise WeightsError(f"the checkpoint's chat template does not place one {token} and then the question in a turn about a {kind}.")
        return len(before), len(before) + len(question)

    def _render(self, question: str, kind: str | None) -> str:
        content = ([{"type": kind}] if kind else []) + [{"type": "text", "text": question}]
        system = [{"role": "system", "content": [{"type": "text", "text": self._system}]}] if self._system is not None else []
        messages = [*system, {"role": "user", "content": content}]
        return str(self._processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def _pieces(text: str, ends: Sequence[int]) -> tuple[str, ...]:
    """The text cut where tokens end; a letter that takes several tokens is the first one's."""
    pieces, done = [], 0
    for end in ends:
        pieces.append(text[done : max(done, end)])
        done = max(done, end)
    return tuple(pieces)
