"""What any packaging of SAM 2 must offer: a network in five steps, and the values that pass between them.

A packaging (`sam2_hf`, `sam2_package`) wraps its modules as a `Network` and loads its weights; everything else is written once:
frames (`sam2_frames`), prompts and masks (`sam2_masks`), memory (`sam2_tracker`) and the session (`sam2_session`).

Letters: K objects, C channels of the network, M channels of a memory, S pixels of its square input, h = S / 16 cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

NO_OBJECT = -1024.0  # logit of every cell of a mask whose object is judged to be absent


@dataclass(frozen=True)
class Traits:
    """What a checkpoint's configuration says, beyond the shapes of its tensors.

    Attributes:
        image_size: S, pixels of the square input.
        memories: Frames that a mask is followed by: the prompted one and the `memories - 1` before the present one.
        pointers: Most frames whose object pointers are looked at.
        several_for_points: Fewest and most points (box corners count) for which the decoder gives three masks instead of one.
        several_when_following: Whether it gives three on followed frames.
        mask_scale: Factor of a mask's probabilities before they are remembered.
        mask_offset: What is added to them after that.
    """

    image_size: int
    memories: int
    pointers: int
    several_for_points: tuple[int, int]
    several_when_following: bool
    mask_scale: float
    mask_offset: float


@dataclass(frozen=True, eq=False)
class Features:
    """One encoded frame.

    Attributes:
        top: (1, C, h, h).
        middle: (1, C / 4, 2h, 2h), ready for the mask decoder.
        fine: (1, C / 8, 4h, 4h), ready for the mask decoder.
    """

    top: Tensor
    middle: Tensor
    fine: Tensor


@dataclass(frozen=True, eq=False)
class Prompt:
    """What is asked of the mask decoder, for K objects; without points and mask it looks for what the memory tells.

    Attributes:
        points: (K, P, 2) float32, x and y in pixels of the input; None for none.
        labels: (K, P) int32: 1 on the object, 0 beside it, 2 and 3 corners of a box.
        mask: (K, 1, 4h, 4h) float32 logits; None for none.
    """

    points: Tensor | None = None
    labels: Tensor | None = None
    mask: Tensor | None = None

    def clicks(self, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Points and labels as a prompt encoder takes them; where there are none, one for each of K objects that stands for none.

        Args:
            count: K.
            device: Where to make it.
        """
        if self.points is not None and self.labels is not None:
            return self.points, self.labels
        return torch.zeros(count, 1, 2, device=device), torch.full((count, 1), -1, dtype=torch.int32, device=device)


@dataclass(frozen=True, eq=False)
class Decoded:
    """What the mask decoder made of K prompts; N is 3 or 1.

    Attributes:
        logits: (K, N, 4h, 4h).
        predicted_iou: (K, N) in [0, 1].
        tokens: (K, n, C): a token for each mask where there are three, else one.
        presence: (K, 1) logits; above 0, the object is on the frame.
    """

    logits: Tensor
    predicted_iou: Tensor
    tokens: Tensor
    presence: Tensor


class Network(Protocol):
    """SAM 2 taken apart. All tensors are on `device`; who calls provides for inference mode and precision.

    Attributes:
        traits: The configuration.
        device: Where it computes.
        no_memory: (C,), added to the top features of a frame that is prompted without memory.
        no_object: (C,), pointer of an absent object.
        absent: (M,), added to the memory of a frame without the object; None for checkpoints without (SAM 2.0).
        ages: (memories, M): row i - 1 marks the memory of i frames ago, the last row that of the prompted frame.
        places: (h * h, M), where the cells of a memory are.
    """

    traits: Traits
    device: torch.device
    no_memory: Tensor
    no_object: Tensor
    absent: Tensor | None
    ages: Tensor
    places: Tensor

    def encode(self, image: Tensor) -> Features:
        """Features of one image (1, 3, S, S), normalised float32."""
        ...

    def decode(self, embedding: Tensor, features: Features, prompt: Prompt, several: bool) -> Decoded:
        """Masks of K objects.

        Args:
            embedding: (K, C, h, h), the top features as the objects' memories make them.
            features: The frame's, for its fine parts.
            prompt: What is asked.
            several: Three masks an object instead of one.
        """
        ...

    def attend(self, features: Features, memory: Tensor, places: Tensor, pointer_tokens: int) -> Tensor:
        """Top features in the light of K objects' memories, (K, C, h, h).

        Args:
            features: The frame's.
            memory: (K, n, M): h * h tokens per remembered frame, then tokens of pointers.
            places: (K, n, M), added to them as keys.
            pointer_tokens: How many of the last ones are of pointers: these have no place in the image.
        """
        ...

    def remember(self, features: Features, masks: Tensor) -> Tensor:
        """Memory (K, M, h, h) of K scaled masks (K, 1, S, S) on a frame."""
        ...

    def shrink(self, masks: Tensor) -> Tensor:
        """Masks (K, 1, S, S) in [0, 1] as logits (K, 1, 4h, 4h), the learned way, to prompt the decoder with."""
        ...

    def point(self, tokens: Tensor) -> Tensor:
        """Object pointers (K, C) of tokens (K, C)."""
        ...

    def ages_of_pointers(self, ages: Tensor) -> Tensor:
        """How pointers of n frames are marked, (n, M); zeros for checkpoints without such marks (SAM 2.0).

        Args:
            ages: (n,) float32, how long ago each frame was; 1 stands for the oldest that are looked at.
        """
        ...
