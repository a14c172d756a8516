"""Questions as token ids, with the loss weight of each token."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from gazecut.world import COLOURS, GROUNDS, PATTERNS, SHAPES
from gazecut_training.questions import MOTIONS, Question, listed
from gazecut_training.tokenizer import END, FILLERS, START, SYSTEM, VISION_END, VISION_START, build_tokenizer

FILLED: Final = 0.6  # share of questions with filler words before them, in a batch that has any
OTHER_SYSTEM: Final = 0.25  # share of batches with another system prompt
SYSTEM_WORDS: Final = (2, 8)  # fewest and most of another system prompt
CONTENT: Final = 1.0  # loss weight of a word that answers
SEEN: Final = 3.0  # of colour and motion where the question does not tell them
FRAME_WORDS: Final = 0.1  # of commas, full stops and fixed phrases
SHAPE_AT: Final = 1  # token of the shape in the attribute answer, and of the pattern in that on the background
HUE_AT: Final = 5  # of the colour in the attribute answer
MOTION_AT: Final = -2  # of the last word of the motion, before the end
ANSWER_WORDS: Final = (
    *(*SHAPES, *COLOURS, *GROUNDS, *PATTERNS),
    *("large", "medium", "small", "left", "right", "top", "bottom", "middle", "up", "down", "still", "moving", "on", "at", "in"),
)


@dataclass(frozen=True)
class Block:
    """Questions of one length class.

    Attributes:
        ids: (B, K, L) token ids, padded on the right.
        weights: (B, K, L) float32; the loss weight of predicting the *next* token at each position.
        probes: B lists of K names: what the log watches in each answer.
        at: (B, K) position that predicts the watched word.
    """

    ids: Tensor
    weights: Tensor
    probes: list[list[str]]
    at: Tensor


def encode(rng: np.random.Generator, questions: list[list[Question]], fillers: int = 0) -> Block:
    """Turn questions into a block.

    Args:
        rng: Draws the filler words.
        questions: B lists of K questions.
        fillers: Most filler words before a question.
    """
    rows = [[_row(rng, q, fillers) for q in asked] for asked in questions]
    length = max(len(ids) for row in rows for ids, _, _ in row)
    ids = torch.zeros(len(rows), len(rows[0]), length, dtype=torch.long)
    weights = torch.zeros(ids.shape)
    at = torch.zeros(ids.shape[:2], dtype=torch.long)
    for b, row in enumerate(rows):
        for k, (row_tokens, loss, probe) in enumerate(row):
            ids[b, k, : len(row_tokens)] = torch.tensor(row_tokens)
            weights[b, k, : len(loss)] = torch.tensor(loss)
            at[b, k] = probe
    return Block(ids, weights, [[q.probe for q in asked] for asked in questions], at)


def opening(rng: np.random.Generator | None = None) -> tuple[int, ...]:
    """Token ids up to the start of the user's text; with a generator, now and then another system prompt."""
    system = SYSTEM
    if rng is not None and rng.random() < OTHER_SYSTEM:
        system = " ".join(str(w) for w in rng.choice(FILLERS, int(rng.integers(SYSTEM_WORDS[0], SYSTEM_WORDS[1] + 1)))) + "."
    return tokens(f"{START}system\n{system}{END}\n{START}user\n")


def around_vision(before: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Token ids before and after the visual tokens, given those of the opening."""
    return before + tokens(VISION_START), tokens(VISION_END)


@cache
def tokens(text: str) -> tuple[int, ...]:
    """Token ids of a text."""
    return tuple(_tokenizer()(text).input_ids)


def _row(rng: np.random.Generator, question: Question, fillers: int) -> tuple[list[int], list[float], int]:
    """Token ids, the loss weight of each next token, and the position that predicts the watched word."""
    filler: list[int] = []
    text = question.text
    if fillers and rng.random() < FILLED:
        chosen = [str(w) for w in rng.choice(FILLERS, int(rng.integers(1, fillers + 1)))]
        filler = [t for i, w in enumerate(chosen) for t in tokens(w if i == 0 else f" {w}")]
        text = (" " if rng.random() < 0.5 and not text.startswith("\n") else "\n") + text
    asked = [*filler, *tokens(text), *tokens(f"{END}\n{START}assistant\n")]
    answer = [*tokens(question.answer), *tokens(END)]
    weights = [0.0] * (len(asked) - 1) + _answer_weights(question, answer)
    offset = {"background": SHAPE_AT, "attributes": SHAPE_AT, "hue": HUE_AT, "how": len(answer) + MOTION_AT}.get(question.probe, 0)
    return [*asked, *answer], weights, len(asked) - 1 + offset


def _answer_weights(question: Question, answer: list[int]) -> list[float]:
    """Loss weight of each answer token: what must be seen counts more than what is copied or fixed."""
    weights = [CONTENT if t in _content() else FRAME_WORDS for t in answer]
    words = listed(question.answer)
    if words[0] in COLOURS:
        weights[HUE_AT] = FRAME_WORDS if words[0] in question.text else SEEN
    if words[-1].startswith(MOTIONS):
        count = len(words[-1].split())
        weights[-1 - count : -1] = [CONTENT if words[-1] in question.text else SEEN] * count
    return weights


@cache
def _content() -> frozenset[int]:
    """Tokens that carry an answer."""
    return frozenset(t for w in ANSWER_WORDS for t in (*tokens(w), *tokens(f" {w}")))


@cache
def _tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()
