"""Questions continued from a prefix: one pass over several suffixes, answered greedily and traced.

A sequence reads [prefix][suffix 0][suffix 1] ...; a token sees the prefix and what comes before it in its own suffix, at the position
that it has without the others. So keys and values of the prefix are there once, whatever the number of suffixes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeAlias

import numpy as np
import torch
from transformers import DynamicCache

from gazecut.values import PromptTokens, Trace
from gazecut.values.questions import TraceRow
from gazecut_mllm.capture import Captured, capturing
from gazecut_mllm.continued import ContinuedLayers, Kept
from gazecut_mllm.generation import Decoder
from gazecut_mllm.hf import HFBackend
from gazecut_mllm.positions import position_ids
from gazecut_mllm.prefix import Prefix, behind, joined, snapshot

READ_TOKENS = 256  # of suffixes in one forward pass

Piece: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""Queries (B, H, s, d) and keys (B, G, s, d) of the s tokens of a suffix at one layer."""


@dataclass(frozen=True)
class Suffix:
    """What follows the visual tokens, for one question.

    Attributes:
        ids: Token ids; where steering stands, some id of the prompt.
        layers: Layers to trace; none for the answer alone.
        row: Whose attention the trace is for.
        steering: (P, d) embeddings, or None.
        steering_at: Where in `ids` they start.
        question_at: Where in `ids` the question's text starts.
        words: What each token of that text stands for.
    """

    ids: tuple[int, ...]
    layers: range = range(0)
    row: TraceRow = "last-prompt"
    steering: torch.Tensor | None = None
    steering_at: int = 0
    question_at: int = 0
    words: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Reply:
    """What one sequence said to one question."""

    text: str
    trace: Trace | None


class Continuation:
    """The own tokens of K suffixes behind each of B sequences; R = K * B rows, suffix by suffix."""

    def __init__(self, backend: HFBackend, held: Kept, prefix: Prefix, suffixes: Sequence[Suffix]) -> None:
        """Take what follows what; nothing runs yet.

        Args:
            backend: The model.
            held: What traces keep of the prefix.
            prefix: The prefix in memory, or a part of it: B sequences.
            suffixes: One per question, of any lengths.
        """
        self._backend, self._held, self._prefix, self._suffixes = backend, held, prefix, suffixes
        self._branches = torch.arange(len(suffixes), device=backend.device)
        lengths = torch.tensor([len(suffix) for suffix in suffixes], device=backend.device)
        self._positions = prefix.opening.following + lengths  # of the next token of each suffix
        self._owners = _owners(suffixes).to(backend.device)  # the suffix of each token behind the prefix; grows with the answers
        self._pieces: list[list[Piece]] = []  # by suffix, then layer
        self._cache = snapshot(prefix.cache)
        self._answered: dict[int, Piece] | None = None

    def replies(self, decoder: Decoder) -> list[list[Reply]]:
        """Answer every suffix on every sequence.

        Returns:
            One list per suffix, one reply per sequence.
        """
        answers = decoder.follow(self.prompts(), self._read(), self._next)
        if self._answered is None and self._about_answers():
            self._next(answers[:, 0])  # the answers ended before the model had to read a token of them
        rows = answers.view(len(self._suffixes), self._prefix.sequences, -1)
        return [
            [Reply(decoder.words(row), self._trace(index, sequence)) for sequence, row in enumerate(of_suffix)]
            for index, of_suffix in enumerate(rows)
        ]

    def traced(self) -> tuple[torch.Tensor, list[list[Trace]]]:
        """Read every suffix, and no more of its answer than its trace needs: everything that comes back can be differentiated.

        Returns:
            Logits (R, v) of the first answer tokens, and one list of traces per suffix, one trace per sequence.
        """
        logits = self._read()
        if self._about_answers():
            self._next(logits.argmax(-1))
        sequences = range(self._prefix.sequences)
        traces = [[self._trace(index, sequence) for sequence in sequences] for index in range(len(self._suffixes))]
        return logits, [[trace for trace in of_suffix if trace is not None] for of_suffix in traces]

    def prompts(self) -> torch.Tensor:
        """Token ids (R, N) of whole prompts, padded on the left."""
        # The filler is a token that is in every prompt already, so that a repetition penalty sees no new one.
        opening = self._prefix.opening.ids
        longest = max(map(len, self._suffixes))
        tails = [[int(opening[0])] * (longest - len(suffix)) + list(suffix.ids) for suffix in self._suffixes]
        ids = torch.cat([opening.expand(len(tails), -1), torch.tensor(tails, device=opening.device)], dim=1)
        return ids.repeat_interleave(self._prefix.sequences, 0)

    def _read(self) -> torch.Tensor:
        """Run the suffixes, a few at a time; logits (R, v) of their last tokens."""
        logits, read = zip(*map(self._read_some, _at_once(self._suffixes)), strict=True)
        self._cache = joined([self._prefix.cache, *read])
        return torch.cat(logits)

    def _read_some(self, suffixes: Sequence[Suffix]) -> tuple[torch.Tensor, DynamicCache]:
        """Run suffixes in one forward pass and keep what traces need; logits of their last tokens, their keys and values."""
        cache = snapshot(self._prefix.cache)
        with capturing(_layers_of(suffixes)) as captured:
            logits = self._laid_out(suffixes, cache)
        spans, prefix = _spans(suffixes), len(self._prefix)
        self._pieces += [_pieces(suffix, captured, span, prefix) for suffix, span in zip(suffixes, spans, strict=True)]
        return logits, behind(cache, prefix)

    def _laid_out(self, suffixes: Sequence[Suffix], cache: DynamicCache) -> torch.Tensor:
        """Run suffixes one after another, none of which sees another."""
        device, spans = self._backend.device, _spans(suffixes)
        ids = torch.tensor([token for suffix in suffixes for token in suffix.ids], device=device)
        embeddings = self._backend.model.get_input_embeddings()(ids)  # (S, d)
        for span, suffix in zip(spans, suffixes, strict=True):
            if suffix.steering is not None:
                start = span.start + suffix.steering_at
                embeddings[start : start + len(suffix.steering)] = suffix.steering
        own = torch.tensor([at for span in spans for at in range(len(span))], device=device)
        owners = _owners(suffixes).to(device)
        seen = (owners[:, None] == owners).tril()
        ends = [span.stop - 1 for span in spans]
        tokens = {"inputs_embeds": embeddings.expand(self._prefix.sequences, -1, -1)}
        return self._run(tokens, cache, self._prefix.opening.following + own, seen, ends)

    def _next(self, tokens: torch.Tensor) -> torch.Tensor:
        """Run the next token of every answer, (R,); logits (R, v)."""
        self._owners = torch.cat([self._owners, self._branches])
        ids = tokens.view(len(self._suffixes), -1).T  # (B, K)
        asking = self._about_answers() if self._answered is None else []
        with capturing(_layers_of(asking)) as captured:
            # A single answer sees everything, and what needs no mask is faster.
            seen = self._branches[:, None] == self._owners if len(self._branches) > 1 else None
            logits = self._run({"input_ids": ids}, self._cache, self._positions, seen, list(range(len(self._suffixes))))
        self._positions = self._positions + 1
        if asking:
            own = slice(-len(self._suffixes), None)
            self._answered = {layer: (query, captured.key[layer][:, :, own].clone()) for layer, query in captured.query.items()}
        return logits

    def _about_answers(self) -> list[Suffix]:
        return [suffix for suffix in self._suffixes if suffix.layers and suffix.row == "first-answer"]

    def _run(
        self, tokens: dict[str, torch.Tensor], cache: DynamicCache, positions: torch.Tensor, seen: torch.Tensor | None, kept: list[int]
    ) -> torch.Tensor:
        """Take n tokens per sequence through the model.

        Args:
            tokens: Ids (B, n) or embeddings (B, n, d).
            cache: Keys and values of the prefix and of what follows it; it grows.
            positions: (n,) positions, the same in all axes.
            seen: (n, m) bool, which of the m tokens behind the prefix each may see; None for all.
            kept: The K tokens whose logits are wanted.

        Returns:
            Logits (K * B, v), token by token, on the device that tokens come in on.
        """
        mask = None if seen is None else torch.cat([seen.new_ones(len(seen), len(self._prefix)), seen], dim=1)[None, None]
        output = self._backend.model(
            **tokens,
            attention_mask=mask,
            position_ids=position_ids(positions.expand(len(self._prefix.opening.positions), self._prefix.sequences, -1)),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=kept,  # no tensor: it would have to be on the device of the model's last layer
        )
        logits: torch.Tensor = output.logits.transpose(0, 1).flatten(0, 1)
        return logits.to(self._backend.device)

    def _trace(self, index: int, sequence: int) -> Trace | None:
        suffix = self._suffixes[index]
        if not suffix.layers:
            return None
        home = self._backend.device  # of a model over several devices, the first
        pieces = [(query[sequence].clone().to(home), key[sequence].clone().to(home)) for query, key in self._pieces[index]]
        if suffix.row == "first-answer":
            assert self._answered is not None
            for at, layer in enumerate(suffix.layers):
                answered = (more[sequence, :, index, None].to(home) for more in self._answered[layer])
                query, key = (torch.cat(both, 1) for both in zip(pieces[at], answered, strict=True))
                pieces[at] = query, key
        layers = ContinuedLayers(self._held, self._prefix.first + sequence, suffix.layers.start, pieces)
        start = len(self._prefix) + suffix.question_at
        question = np.arange(start, start + len(suffix.words), dtype=np.int64)
        return Trace(layers, self._prefix.opening.visual, PromptTokens(question, suffix.words))


def _at_once(suffixes: Sequence[Suffix]) -> Iterator[Sequence[Suffix]]:
    """Suffixes in groups, in order; what they do not see of each other is work for nothing, so groups are small."""
    some: list[Suffix] = []
    for suffix in suffixes:
        if some and sum(map(len, some)) + len(suffix) > READ_TOKENS:
            yield some
            some = []
        some.append(suffix)
    yield some


def _owners(suffixes: Sequence[Suffix]) -> torch.Tensor:
    """Which suffix each token is of, laid out one after another."""
    return torch.tensor([at for at, suffix in enumerate(suffixes) for _ in suffix.ids])


def _spans(suffixes: Sequence[Suffix]) -> list[range]:
    """Where each is, laid out one after another."""
    return [range(start, stop) for start, stop in pairwise(accumulate(map(len, suffixes), initial=0))]


def _pieces(suffix: Suffix, captured: Captured, span: range, prefix: int) -> list[Piece]:
    """Queries and keys of the tokens of a suffix, layer by layer."""
    own, of_keys = slice(span.start, span.stop), slice(prefix + span.start, prefix + span.stop)
    # Cloned: a view would keep the keys of the prefix in memory a second time.
    return [(captured.query[layer][:, :, own].clone(), captured.key[layer][:, :, of_keys].clone()) for layer in suffix.layers]


def _layers_of(suffixes: Sequence[Suffix]) -> range:
    """From the first to the last layer that some suffix asks for; none where none does."""
    asked = [suffix.layers for suffix in suffixes if suffix.layers]
    return range(min((layers.start for layers in asked), default=0), max((layers.stop for layers in asked), default=0))
