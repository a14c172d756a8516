"""What a family of multimodal LLMs says about itself: the seam between a model and everything that families share.

A family is one class: how frames are laid out as visual tokens, how those stand in the prompt, and the pixels that the model takes.
`backend.Backend` does the rest: weights, the visual prefix, questions, traces, memory. So a family reads

```python
class Gemma3(Family):
    model_type = "gemma3"

    def layout(self, frames, view): ...     # which token covers which cell of which frame
    def placement(self, frames, view, layout): ...  # the text that stands for the frames in a turn
    def pixels(self, images, view, layout): ...     # what the processor gives, named as the model takes it


class Gemma3Backend(Backend):
    family_class = Gemma3
```
and its options are a subclass of `config.MLLMOptions`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import torch

from gazecut.values import Frames, GridLayout
from gazecut_mllm.config import MLLMOptions
from gazecut_mllm.positions import VisualBlock

View: TypeAlias = Literal["video", "frame"]
"""All frames in one sequence, or each in a sequence of its own."""


@dataclass(frozen=True)
class Placement:
    """How the frames of one sequence stand in the user's turn, before the question.

    Attributes:
        kind: The type of their entries in the turn's content, as the chat template knows it.
        texts: What stands in place of the token that the template writes for each entry: visual tokens, and whatever text and tokens
            the family puts around and between them. One text per entry.
        token: The visual token, as text. It stands once per token of the layout, in the order of `GridLayout.fold`.
        opener: A token that the template itself writes right before the first entry and that belongs to it; empty for none. Soft
            prompts before the visual tokens stand before it.
        blocks: For models that place tokens in three axes (M-RoPE): the runs of visual tokens, in order. None for all others.
    """

    kind: Literal["video", "image"]
    texts: tuple[str, ...]
    token: str
    opener: str = ""
    blocks: tuple[VisualBlock, ...] = ()


class Family(ABC):
    """One architecture of transformers, on one checkpoint.

    Attributes:
        model_type: The `model_type` of its checkpoints' config.json.
        axes: Axes of a token's position: 1, or 3 for M-RoPE.
        parts: The parts of its processor that it uses.
        options: As the recipe gives them.
        processor: The checkpoint's own: tokenizer, chat template, image and video preprocessing.
        model_config: The model's config.
    """

    model_type: ClassVar[str]
    axes: ClassVar[Literal[1, 3]] = 1
    parts: ClassVar[tuple[str, ...]] = ("tokenizer", "image_processor", "video_processor")

    options: MLLMOptions

    def __init__(self, options: MLLMOptions, processor: Any, model_config: Any) -> None:
        """Keep what a checkpoint says of itself."""
        self.options, self.processor, self.model_config = options, processor, model_config

    @abstractmethod
    def layout(self, frames: Frames, view: View) -> GridLayout:
        """Which cell of which frame each visual token covers.

        Raises:
            ClipError: The model cannot take frames of that size.
        """

    @abstractmethod
    def placement(self, frames: Frames, view: View, layout: GridLayout) -> Placement:
        """How the frames of one sequence stand in the prompt: all of them for "video", any one for "frame"."""

    @abstractmethod
    def pixels(self, images: np.ndarray, view: View, layout: GridLayout) -> dict[str, torch.Tensor]:
        """What the model takes besides tokens, by the names of its arguments.

        Args:
            images: (B, T, H, W, 3) uint8 RGB: the frames of B sequences; T is 1 for "frame".
            view: The view.
            layout: That of the whole view.

        Raises:
            BackendError: The processor laid out something else than the layout says.
        """

    def embeddings(self, model: Any, pixels: dict[str, torch.Tensor]) -> torch.Tensor | None:
        """Visual embeddings (B, V, d) in the order of the visual tokens, for families that lay them out differently than the model does.

        Args:
            model: The transformers model.
            pixels: As `pixels` gave them, on the device of the model.

        Returns:
            None, as here, where the model's own forward pass makes them from the pixels.
        """
        return None

    def larger(self, view: View) -> Sequence[str]:
        """The options that make a view larger, with their values: what to lower where memory does not suffice."""
        return ()
