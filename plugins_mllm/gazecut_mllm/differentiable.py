"""Sessions through which gradients reach the embeddings that steer a question; the model itself stays frozen.

Behind the visual tokens, steering leaves the prefix as it is: keys and values of the visual tokens are constants, and only the
question's own tokens carry a graph. Before them it changes the whole prefix, which is then run with its graph for every call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import torch

from gazecut.errors import BackendError
from gazecut.training import Tracing
from gazecut.values import GridLayout, Question, Trace
from gazecut_mllm.continuation import Continuation, Suffix
from gazecut_mllm.family import Placement
from gazecut_mllm.memory import memory_explained
from gazecut_mllm.prefix import Prefix
from gazecut_mllm.session import Reader, embeddings_for, suffix_of, traced_layers

Prefill = Callable[[torch.Tensor | None], list[Prefix]]
"""The prefixes of a view, a few sequences each, with embeddings (P, d) before the visual tokens or without any."""


@dataclass(frozen=True, eq=False)
class Constant:
    """A prefix that stays where it is."""

    prefix: Prefix

    def __len__(self) -> int:
        return len(self.prefix)

    def take(self) -> Prefix:
        """The prefix."""
        return self.prefix


class DifferentiableVisualSession:
    """One view of one clip; questions are read with the graph of their steering.

    Attributes:
        layout: What each visual token covers.
    """

    layout: GridLayout

    def __init__(self, reader: Reader, placement: Placement, layout: GridLayout, layers: range, prefill: Prefill) -> None:
        """Freeze the model; the prefix is made when a question first needs it.

        Args:
            reader: The model and its ways.
            placement: How the frames stand in the prompt.
            layout: What each visual token covers.
            layers: Layers that can be traced.
            prefill: Makes the prefixes.
        """
        reader.hf.model.requires_grad_(False)
        self.layout = layout
        self._reader, self._placement, self._layers = reader, placement, layers
        self._prefill: Prefill | None = prefill
        self._prefixes: list[Prefix] = []

    def trace(self, questions: Sequence[Question]) -> list[Tracing]:
        """Read several questions from the shared prefix; what comes back carries the graph of their steering.

        Raises:
            BackendError: The session is closed, a question asks for no trace or for layers that the session does not keep, or steering is
                of another width, or before the visual tokens for some questions only; or memory runs out.
            PromptError: A question holds one of the model's own visual tokens.
        """
        if self._prefill is None:
            raise BackendError("this session is closed; open another to trace more.")
        suffixes = [suffix_of(self._reader, self._placement, question, self._kept(question)) for question in questions]
        if not suffixes:
            return []
        with memory_explained("Lower sampler.frames or what mllm.views shows."):
            read = [self._read(prefix, suffixes) for prefix in self._prefixes_for(questions, self._prefill)]
        return [
            Tracing(
                tuple(trace for _, traces in read for trace in traces[index]),
                torch.cat([logits[index] for logits, _ in read]),
            )
            for index in range(len(suffixes))
        ]

    def close(self) -> None:
        """Free the prefix; a second call does nothing."""
        self._prefill, self._prefixes = None, []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _read(self, prefix: Prefix, suffixes: Sequence[Suffix]) -> tuple[torch.Tensor, list[list[Trace]]]:
        """Logits (K, B, v) of K suffixes on B sequences, and their traces."""
        logits, traces = Continuation(self._reader.hf, Constant(prefix), prefix, suffixes).traced()
        self._reader.work.prompt_tokens += prefix.sequences * sum(map(len, suffixes))
        return logits.view(len(suffixes), prefix.sequences, -1), traces

    def _prefixes_for(self, questions: Sequence[Question], prefill: Prefill) -> list[Prefix]:
        preludes = [each.steering.embeddings for each in questions if each.steering and each.steering.place == "before-vision"]
        if preludes:
            if len(preludes) < len(questions) or any(each is not preludes[0] for each in preludes):
                raise BackendError(
                    "questions of one call are steered before the visual tokens by different embeddings, or only some are; "
                    "they share a prefix, so give all of them the same array."
                )
            with _roomy(self._reader.hf.device):
                return prefill(embeddings_for(self._reader.hf, preludes[0], "prelude"))
        if not self._prefixes:
            with torch.no_grad():
                self._prefixes = prefill(None)
        return self._prefixes

    def _kept(self, question: Question) -> range:
        if question.trace is None:
            raise BackendError("a question asks for no trace; a session for training reads questions for their traces.")
        return traced_layers(self._reader.hf, question.trace, self._layers)


def _roomy(device: torch.device) -> AbstractContextManager[object]:
    """Where a device has memory of its own, what the way back needs of the whole prefix waits in host memory."""
    return torch.autograd.graph.save_on_cpu(pin_memory=True) if device.type == "cuda" else nullcontext()
