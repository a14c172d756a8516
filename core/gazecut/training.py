"""What training is made of: sessions that can be differentiated, what a trainer is handed, and who looks on.

A trainer never sees a model. It sees a backend whose sessions trace questions with the graph of their steering, and an attribution
whose scores carry that graph on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from gazecut.arrays import Array
from gazecut.protocols import Attribution, MLLMBackend, Runtime, Sampler
from gazecut.values import Frames, GridLayout, Question, Trace, TraceSpec

if TYPE_CHECKING:
    from gazecut.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Tracing:
    """What came of one question; whatever depends on its steering can be differentiated with respect to it.

    Attributes:
        traces: One per sequence of the view: one for "video", T for "frame".
        logits: (B, v) of the first token of each sequence's answer.
    """

    traces: tuple[Trace, ...]
    logits: Array


class DifferentiableSession(Protocol):
    """One view of one clip; like `MLLMSession`, but it answers with traces and logits that carry a graph. Close it when done.

    Attributes:
        layout: What each visual token covers.
    """

    layout: GridLayout

    def trace(self, questions: Sequence[Question]) -> Sequence[Tracing]:
        """Read several questions from the shared prefix.

        Each asks for a trace. Steering before the visual tokens, which all questions of a call share then, makes the prefix anew.

        Raises:
            BackendError: The session is closed, a question asks for no trace or for layers that the session does not keep, or steering is
                of another width, or before the visual tokens for some questions only.
            PromptError: A question holds one of the model's own visual tokens.
        """
        ...

    def close(self) -> None:
        """Free the prefix; a second call does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


@runtime_checkable
class DifferentiableBackend(MLLMBackend, Protocol):
    """A backend through which gradients reach what steers it; it need not be one.

    Attributes:
        width: Width d of its token embeddings.
    """

    width: int

    def embed(self, text: str) -> Array:
        """The embeddings (n, d) of the tokens of a text, as the model has them."""
        ...

    def differentiable(self, frames: Frames, view: str, trace: TraceSpec) -> DifferentiableSession:
        """Run the vision tower and prefill up to the last visual token, once; the model stays frozen.

        Args:
            frames: T frames.
            view: "video" makes one sequence of all frames; "frame" makes T sequences.
            trace: The attention that questions will ask for.

        Raises:
            BackendError: As for `MLLMBackend.open`.
        """
        ...


class Parts(Protocol):
    """The components of a recipe that training takes, built when first needed; a `gazecut.Pipeline` is one."""

    @property
    def recipe(self) -> Recipe:
        """The checked recipe."""
        ...

    @property
    def runtime(self) -> Runtime:
        """Device and seed."""
        ...

    @property
    def sampler(self) -> Sampler:
        """Chooses the frames that the MLLM sees."""
        ...

    @property
    def mllm(self) -> MLLMBackend:
        """The multimodal LLM."""
        ...

    @property
    def attribution(self) -> Attribution:
        """Turns attention into scores."""
        ...


class Watcher:
    """Looks on while a trainer works; this one ignores it all, and others override what they want to hear of."""

    def on_start(self, part: str, done: int, steps: int) -> None:
        """A part of the work begins, for example a view: `done` of its `steps` were done by an earlier run."""

    def on_step(self, part: str, step: int, figures: Mapping[str, float]) -> None:
        """Step `step`, counted from 1, is done; figures such as "loss", "correlation", "lr"."""

    def on_validation(self, part: str, step: int, figures: Mapping[str, float], best: bool) -> None:
        """After so many steps, 0 before the first: figures on validation data, and whether they are the best so far."""


@dataclass(frozen=True)
class Training:
    """What a trainer is handed.

    Attributes:
        parts: Where the frozen components come from.
        data: A folder, or the name of a built-in source.
        output: Where to write.
        resume: Go on from the checkpoints in `output`; without it, a folder that has some is refused.
        watcher: Told of everything.
    """

    parts: Parts
    data: str
    output: Path
    resume: bool = False
    watcher: Watcher = field(default_factory=Watcher, compare=False)


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes:
        part: Which part, for example a view.
        folder: Where the result lies.
        step: After how many steps it was best.
        before: Figures on validation data without what was trained.
        after: The same with it.
    """

    part: str
    folder: Path
    step: int
    before: Mapping[str, float]
    after: Mapping[str, float]


class Trainer(Protocol):
    """Learns what other components use, from a recipe's frozen components and data."""

    def train(self, training: Training) -> Sequence[Trained]:
        """Train, and write what came of it.

        Raises:
            RequestError: Data, recipe, options or output cannot be used; nothing was trained.
            TrainingError: Training went wrong; says where, and what is kept.
        """
        ...
