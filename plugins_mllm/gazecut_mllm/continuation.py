"""Questions continued from a prefix: one batch of suffixes, padded on the left, answered greedily and traced.

A row of the batch reads [prefix][padding][suffix]; padding is masked, and the suffix takes the positions that it has without.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from transformers import DynamicCache

from gazecut.values import PromptTokens, Trace, TraceLayer
from gazecut.values.questions import TraceRow
from gazecut_mllm.capture import Captured, capturing
from gazecut_mllm.generation import Decoder
from gazecut_mllm.hf import HFBackend
from gazecut_mllm.prefix import Prefix, snapshot
from gazecut_mllm.rollout.trunk import Trunk


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


class ContinuedLayers(Sequence[TraceLayer]):
    """Trace layers of one sequence; each is put together from prefix and suffix when it is read, and not kept."""

    def __init__(self, prefix: Prefix, sequence: int, first_layer: int, pieces: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Keep the parts.

        Args:
            prefix: The prefix, which stays in memory as long as a trace of it does.
            sequence: Which of its sequences.
            first_layer: Layer of the first piece.
            pieces: Query (H, s, d) and key (G, s, d) of the suffix, layer by layer.
        """
        self._prefix, self._sequence, self._first, self._pieces = prefix, sequence, first_layer, tuple(pieces)

    def __len__(self) -> int:
        return len(self._pieces)

    @property
    def trunk(self) -> Trunk:
        """The prefix, as far as these layers go; equal for all suffixes of one sequence."""
        return Trunk((id(self._prefix), self._sequence, self._first, len(self)), len(self._prefix))

    @property
    def tokens(self) -> int:
        """Number of tokens N of prefix and suffix."""
        return len(self._prefix) + int(self._pieces[0][0].shape[1])

    @overload
    def __getitem__(self, index: int) -> TraceLayer: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[TraceLayer, ...]: ...
    def __getitem__(self, index: int | slice) -> TraceLayer | tuple[TraceLayer, ...]:
        """One layer, put together now; or several."""
        if isinstance(index, slice):
            return tuple(self[at] for at in range(*index.indices(len(self))))
        at = range(len(self))[index]
        query, key = self._pieces[at]
        layer = self._first + at
        whole_query = torch.cat([self._prefix.queries[layer][self._sequence], query], dim=1)  # (H, N, d)
        whole_key = torch.cat([self._prefix.keys[layer][self._sequence], key], dim=1)  # (G, N, d)
        return TraceLayer(whole_query, whole_key, self._prefix.scales[layer])


class Continuation:
    """One batch: every suffix after every sequence of the prefix, suffix by suffix."""

    def __init__(self, backend: HFBackend, prefix: Prefix, suffixes: Sequence[Suffix]) -> None:
        """Lay the batch out, R = suffixes * sequences rows of N tokens.

        Args:
            backend: The model.
            prefix: B sequences in memory.
            suffixes: One per question, of any lengths.
        """
        self._backend, self._prefix, self._suffixes = backend, prefix, suffixes
        longest = max(len(suffix) for suffix in suffixes)
        self._pads = [longest - len(suffix) for suffix in suffixes]
        # The filler is a token that is in every prompt already, so that a repetition penalty sees no new one.
        filler = int(prefix.opening.ids[0])
        tails = [[filler] * pad + list(suffix.ids) for pad, suffix in zip(self._pads, suffixes, strict=True)]
        ids = torch.cat([prefix.opening.ids.expand(len(suffixes), -1), torch.tensor(tails, device=backend.device)], dim=1)
        mask = torch.ones_like(ids)
        for row, pad in enumerate(self._pads):
            mask[row, len(prefix) : len(prefix) + pad] = 0
        following = (mask[:, len(prefix) :].cumsum(1) - 1).clamp_min(0) + prefix.opening.positions.max() + 1
        opening = prefix.opening.positions[:, None].expand(-1, len(suffixes), -1)
        positions = torch.cat([opening, following.expand(3, -1, -1)], dim=2)
        self._ids, self._mask = (part.repeat_interleave(prefix.sequences, 0) for part in (ids, mask))  # (R, N)
        self._positions = positions.repeat_interleave(prefix.sequences, 1)  # (3, R, N)

    def replies(self, decoder: Decoder) -> list[list[Reply]]:
        """Answer every suffix on every sequence.

        Returns:
            One list per suffix, one reply per sequence.
        """
        cache, captured = self._read()
        answers = self._answer(decoder, cache)
        extra = self._read_answer(cache, answers[:, 0])
        replies = []
        for index, suffix in enumerate(self._suffixes):
            rows = range(index * self._prefix.sequences, (index + 1) * self._prefix.sequences)
            replies.append([Reply(decoder.words(answers[row]), self._trace(suffix, row, captured, extra)) for row in rows])
        return replies

    def _read(self) -> tuple[DynamicCache, Captured]:
        """Run the suffixes; the cache then holds whole prompts, the capture what the asked layers saw of the suffixes."""
        cache = snapshot(self._prefix.cache)
        cache.batch_select_indices(torch.arange(self._prefix.sequences, device=self._backend.device).repeat(len(self._suffixes)))
        with self._capturing(self._suffixes) as captured:
            self._backend.model(
                inputs_embeds=self._embeddings(),
                attention_mask=self._mask,
                position_ids=self._positions[:, :, len(self._prefix) :],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        return cache, captured

    def _answer(self, decoder: Decoder, cache: DynamicCache) -> torch.Tensor:
        """New token ids (R, n)."""
        # Steering has no ids, so the prompt is read from embeddings above; generation goes on from its last, ordinary token.
        short = snapshot(cache)
        short.crop(-1)
        return decoder.generate(self._ids, self._mask, self._positions, short)

    def _read_answer(self, cache: DynamicCache, tokens: torch.Tensor) -> Captured | None:
        """Run the first answer token (R,) where a trace asks for its row."""
        asking = [suffix for suffix in self._suffixes if suffix.layers and suffix.row == "first-answer"]
        if not asking:
            return None
        with self._capturing(asking) as captured:
            self._backend.model(
                input_ids=tokens[:, None],
                attention_mask=torch.nn.functional.pad(self._mask, (0, 1), value=1),
                position_ids=self._positions[:, :, -1:] + 1,
                past_key_values=snapshot(cache),
                use_cache=True,
            )
        return captured

    def _embeddings(self) -> torch.Tensor:
        """(R, s, d) embeddings of the suffixes, steering in its place."""
        embeddings: torch.Tensor = self._backend.model.get_input_embeddings()(self._ids[:, len(self._prefix) :]).clone()
        for index, (pad, suffix) in enumerate(zip(self._pads, self._suffixes, strict=True)):
            if suffix.steering is not None:
                rows = slice(index * self._prefix.sequences, (index + 1) * self._prefix.sequences)
                start = pad + suffix.steering_at
                embeddings[rows, start : start + len(suffix.steering)] = suffix.steering
        return embeddings

    @staticmethod
    def _capturing(suffixes: Sequence[Suffix]) -> AbstractContextManager[Captured]:
        """A capture of all layers that some suffix asks for; of none where none does."""
        asked = [suffix.layers for suffix in suffixes if suffix.layers]
        return capturing(range(min((layers.start for layers in asked), default=0), max((layers.stop for layers in asked), default=0)))

    def _trace(self, suffix: Suffix, row: int, captured: Captured, extra: Captured | None) -> Trace | None:
        if not suffix.layers:
            return None
        start = len(self._prefix)
        pad = self._ids.shape[1] - start - len(suffix)
        pieces = []
        for layer in suffix.layers:
            # Cloned: a view would keep the keys of the whole batch in memory.
            query, key = captured.query[layer][row, :, pad:].clone(), captured.key[layer][row, :, start + pad :].clone()
            if extra is not None and suffix.row == "first-answer":
                query = torch.cat([query, extra.query[layer][row]], dim=1)
                key = torch.cat([key, extra.key[layer][row, :, -1:]], dim=1)
            pieces.append((query, key))
        layers = ContinuedLayers(self._prefix, row % self._prefix.sequences, suffix.layers.start, pieces)
        question = range(start + suffix.question_at, start + suffix.question_at + len(suffix.words))
        return Trace(layers, self._prefix.opening.visual, PromptTokens(np.array(question, np.int64), suffix.words))
