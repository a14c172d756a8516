"""SAM 2's memory: masks followed from frame to frame, many objects at a time (arXiv 2408.00714, section 4).

Objects that were prompted on one frame form a group; groups share nothing but the computing: those whose memories have as many
frames go through the network together. A group remembers no more frames than the next ones on its two ways can ask for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gazecut_segmenter.sam2_masks import at_input_size, best_masks, fill_holes, prompt_logits
from gazecut_segmenter.sam2_shared import Features, Network, Prompt

OBJECTS_AT_ONCE = 16  # in one pass of memory attention and mask decoder: about 2 GiB at 1024 px in float32


@dataclass(eq=False)
class Group:
    """K objects that were prompted on one frame.

    Attributes:
        start: Position of that frame.
        prompted: Their memory of it, (K, h * h, M) bfloat16.
        pointer: Their pointers on it, (K, C).
        memories: The same of followed frames, by position.
        pointers: The same of followed frames, by position.
    """

    start: int
    prompted: Tensor
    pointer: Tensor
    memories: dict[int, Tensor] = field(default_factory=dict)
    pointers: dict[int, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pointer)


@dataclass(frozen=True, eq=False)
class _Recall:
    """What a group knows when it comes to a frame.

    Attributes:
        group: The group.
        memories: Its memories with their age; the prompted frame first, which is of age 0 whenever it was.
        pointers: Its pointers with their age.
    """

    group: Group
    memories: list[tuple[int, Tensor]]
    pointers: list[tuple[int, Tensor]]


class Tracker:
    """Follows groups over frames 0 to n - 1, forwards and then backwards in the same memory."""

    def __init__(self, network: Network, length: int, holes: int) -> None:
        """Start without groups.

        Args:
            network: The network.
            length: n, frames of the way. Positions count along it, whatever clip it is taken from.
            holes: Largest hole that is filled, in cells; 0 for none.
        """
        self._network, self._holes = network, holes
        self._pointer_span = min(length, network.traits.pointers)

    def prompt(self, features: Features, position: int, masks: Tensor) -> tuple[Group, Tensor]:
        """A new group from masks that are taken as they are.

        What is remembered of them is their low-resolution logits, holes filled, back at the size of the input; so does the
        official predictor.

        Args:
            features: Of the frame.
            position: Of the frame.
            masks: (K, 1, S, S) float32, 0 or 1.

        Returns:
            The group, and its logits (K, 4h, 4h) on that frame.
        """
        parts = [self._prompted(features, some) for some in torch.split(masks, OBJECTS_AT_ONCE)]
        logits, pointer, memory = (torch.cat(each) for each in zip(*parts, strict=True))
        return Group(position, memory, pointer), logits

    def follow(self, features: Features, position: int, groups: Sequence[Group]) -> list[Tensor]:
        """Take groups to the next frame on their way.

        Args:
            features: Of the frame.
            position: Of the frame.
            groups: Those that go there: forwards from their start where it lies before, else backwards.

        Returns:
            Logits (K, 4h, 4h) for each group.
        """
        alike: dict[tuple[int, int], list[_Recall]] = {}
        for group in groups:
            recall = self._recall(group, position, 1 if position > group.start else -1)
            alike.setdefault((len(recall.memories), len(recall.pointers)), []).append(recall)
        logits: dict[int, Tensor] = {}
        for recalls in alike.values():
            found = self._together(features, position, recalls)
            logits.update((id(recall.group), each) for recall, each in zip(recalls, found, strict=True))
        return [logits[id(group)] for group in groups]

    def _prompted(self, features: Features, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, pointers and memories of a few masks (K, 1, S, S)."""
        logits = fill_holes(prompt_logits(masks), self._holes)
        embedding = features.top.expand(len(masks), -1, -1, -1)
        decoded = self._network.decode(embedding, features, Prompt(mask=self._network.shrink(masks)), several=False)
        _, _, token = best_masks(decoded)
        there = masks.flatten(1).amax(dim=1, keepdim=True)
        pointer = self._pointer(self._pointer(self._network.point(token), decoded.presence), there)
        return logits, pointer, self._memory(features, (at_input_size(logits, masks.shape[-1]) > 0).float(), there)

    def _together(self, features: Features, position: int, recalls: Sequence[_Recall]) -> list[Tensor]:
        """`follow` for groups with memories of equally many frames."""
        memory, places, tokens = self._tokens(recalls)
        parts = []
        for some, where in zip(torch.split(memory, OBJECTS_AT_ONCE), torch.split(places, OBJECTS_AT_ONCE), strict=True):
            embedding = self._network.attend(features, some, where, tokens)
            decoded = self._network.decode(embedding, features, Prompt(), self._network.traits.several_when_following)
            logits, _, token = best_masks(decoded)
            pointer = self._pointer(self._network.point(token), decoded.presence)
            probabilities = at_input_size(logits, self._network.traits.image_size).sigmoid()
            parts.append((logits, pointer, self._memory(features, probabilities, decoded.presence)))
        sizes = [len(recall.group) for recall in recalls]
        found, pointers, memories = (torch.split(torch.cat(each), sizes) for each in zip(*parts, strict=True))
        for recall, pointer, memory in zip(recalls, pointers, memories, strict=True):
            self._keep(recall.group, position, pointer, memory)
        return [fill_holes(each, self._holes) for each in found]

    def _recall(self, group: Group, position: int, step: int) -> _Recall:
        """The frames just behind on the way, as far as the group knows them; they may lie beyond its start."""
        spans = (self._network.traits.memories, self._pointer_span)
        known = [
            [(age, held[position - step * age]) for age in range(1, span) if position - step * age in held]
            for held, span in zip((group.memories, group.pointers), spans, strict=True)
        ]
        return _Recall(group, [(0, group.prompted), *known[0]], [(abs(position - group.start), group.pointer), *known[1]])

    def _tokens(self, recalls: Sequence[_Recall]) -> tuple[Tensor, Tensor, int]:
        """Memories and pointers of several groups side by side: tokens (K, n, M), their places, and how many are of pointers."""
        network = self._network
        memory, places = [], []
        for recall in recalls:
            own = torch.cat([each for _, each in recall.memories], dim=1).float()
            where = torch.cat([network.places + network.ages[age - 1] for age, _ in recall.memories])
            split = [each.reshape(len(each), -1, own.shape[2]) for _, each in recall.pointers]  # (K, C / M, M): a pointer is longer
            ages = torch.tensor([age for age, _ in recall.pointers], dtype=torch.float32, device=own.device)
            marks = network.ages_of_pointers(ages / max(1, self._pointer_span - 1)).repeat_interleave(split[0].shape[1], dim=0)
            memory.append(torch.cat([own, *split], dim=1))
            places.append(torch.cat([where, marks]).expand(len(own), -1, -1))
        return torch.cat(memory), torch.cat(places), len(marks)

    def _pointer(self, pointer: Tensor, presence: Tensor) -> Tensor:
        """The pointer (K, C), or the one of nothing where presence (K, 1) is not above 0."""
        return torch.where(presence > 0, pointer, self._network.no_object)

    def _memory(self, features: Features, probabilities: Tensor, presence: Tensor) -> Tensor:
        """(K, h * h, M) bfloat16 of masks (K, 1, S, S) in [0, 1]; the official predictor keeps no more bits either."""
        network, traits = self._network, self._network.traits
        memory = network.remember(features, probabilities * traits.mask_scale + traits.mask_offset).flatten(2).transpose(1, 2)
        if network.absent is not None:
            memory = memory + (presence <= 0)[..., None] * network.absent
        return memory.to(torch.bfloat16)

    def _keep(self, group: Group, position: int, pointer: Tensor, memory: Tensor) -> None:
        """Remember a frame, and forget those that neither this way nor the way back from the start can reach any more."""
        for held, new, span in (
            (group.memories, memory, self._network.traits.memories),
            (group.pointers, pointer, self._pointer_span),
        ):
            held[position] = new
            for old in [each for each in held if min(abs(each - position), abs(each - group.start)) >= span]:
                del held[old]


def time_code(ages: Tensor, width: int) -> Tensor:
    """Sines and cosines of ages (n,) at wavelengths from 2 pi to 20,000 pi, (n, width): how pointers are marked."""
    half = width // 2
    exponents = torch.arange(half, device=ages.device, dtype=torch.float32).div(2, rounding_mode="floor") * (2 / half)
    angles = ages[:, None] * torch.exp(-math.log(10_000) * exponents)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
