"""Prompts and memory with gradients, many clips at a time: what `gazecut_segmenter.sam2_tracker` computes, for training.

The tracker itself knows one frame at a time, empties masks of objects judged absent and keeps memories in bfloat16, all of which would
hide gradients. Here all clips of a batch go together; the rest is the same, and tested to give the same masks.

Letters: C clips, O objects in each, K = C * O, T frames, S pixels of the network's input, L pixels of the labels.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from transformers import Sam2VideoModel

from gazecut_segmenter.sam2_hf import HfNetwork
from gazecut_segmenter.sam2_masks import at_input_size, best_masks, mask_prompts, prompt_logits
from gazecut_segmenter.sam2_shared import Decoded, Features, Prompt
from gazecut_training.sam_data import ClipBatch, ImageBatch
from gazecut_training.sam_losses import overlap

GOOD: Final = 0.5  # IoU from which on a found mask may prompt


class Pupil:
    """A model in training, in the five steps of `sam2_shared.Network`, with its parameters live."""

    def __init__(self, model: Sam2VideoModel) -> None:
        self.model = model
        self.network = HfNetwork(model)
        model.train()  # the network means to use it, not to train it

    def encode(self, images: Tensor) -> Features:
        """Features of images (N, 3, S, S)."""
        return self.network.encode(images)

    def click(self, features: Features, points: Tensor, signs: Tensor) -> Decoded:
        """Masks of K prompts: three for one point each, else one.

        Args:
            features: Of each prompt's frame.
            points: (K, n, 2) float32, x and y in [0, 1].
            signs: (K, n) int32.
        """
        prompt = Prompt(points=points * self.network.traits.image_size, labels=signs)
        embedding = features.top + self.model.no_memory_embedding.flatten()[:, None, None]
        return self.network.decode(embedding, features, prompt, several=points.shape[1] == 1)

    def prompted(self, features: Features, masks: Tensor) -> tuple[Decoded, "Remembered"]:
        """What is remembered of given masks (K, 1, S, S), 0 or 1, and what the decoder makes of them."""
        decoded = self.network.decode(features.top, features, Prompt(mask=self.network.shrink(masks)), several=False)
        pointer = self._pointer(decoded.tokens[:, 0], decoded.presence)
        cells = (at_input_size(prompt_logits(masks), masks.shape[-1]) > 0).float()
        return decoded, Remembered(self._memory(features, cells, torch.ones_like(decoded.presence)), pointer)

    def followed(self, features: Features, recall: "Recall", truth: Tensor, forced: Tensor) -> tuple[Decoded, "Remembered"]:
        """Masks on the next frame, and what is remembered of it.

        Args:
            features: Of the frame, for each object.
            recall: What was remembered before.
            truth: (K, L, L) bool.
            forced: (K,) bool: the truth is remembered, not what was found.
        """
        network, side = self.network, self.network.traits.image_size
        embedding = network.attend(features, *self._tokens(recall))
        decoded = network.decode(embedding, features, Prompt(), network.traits.several_when_following)
        logits, _, token = best_masks(decoded)
        there = truth.flatten(1).any(1, keepdim=True).float() * 2 - 1
        presence = torch.where(forced[:, None], there, decoded.presence.detach())
        found = at_input_size(logits.detach(), side).sigmoid()
        cells = torch.where(forced[:, None, None, None], mask_prompts(truth, side), found)
        return decoded, Remembered(self._memory(features, cells, presence), self._pointer(token, presence))

    def _tokens(self, recall: "Recall") -> tuple[Tensor, Tensor, int]:
        model, places = self.model, self.network.places.clone()
        ages = model.memory_temporal_positional_encoding.flatten(1)
        memory = [each.memory for _, each in recall.memories]
        where = [places + ages[age - 1] for age, _ in recall.memories]
        split = [each.pointer.reshape(len(each.pointer), -1, memory[0].shape[2]) for _, each in recall.pointers]
        times = torch.tensor([age for age, _ in recall.pointers], dtype=torch.float32) / max(1, recall.span - 1)
        marks = self.network.ages_of_pointers(times).repeat_interleave(split[0].shape[1], dim=0)
        tokens = torch.cat([*memory, *split], dim=1)
        return tokens, torch.cat([*where, marks]).expand(len(tokens), -1, -1), len(marks)

    def _pointer(self, token: Tensor, presence: Tensor) -> Tensor:
        return torch.where(presence > 0, self.network.point(token), self.model.no_object_pointer)

    def _memory(self, features: Features, cells: Tensor, presence: Tensor) -> Tensor:
        traits = self.network.traits
        memory = self.network.remember(features, cells * traits.mask_scale + traits.mask_offset).flatten(2).transpose(1, 2)
        absent = self.model.occlusion_spatial_embedding_parameter
        return memory if absent is None else memory + (presence <= 0)[..., None] * absent


@dataclass(frozen=True, eq=False)
class Remembered:
    """What is remembered of a frame: memory (K, h * h, M) and pointer (K, channels)."""

    memory: Tensor
    pointer: Tensor


@dataclass(frozen=True, eq=False)
class Recall:
    """Frames that are looked back at, with their ages; the prompted one first, whose memory is of age 0 whenever it was."""

    memories: list[tuple[int, Remembered]]
    pointers: list[tuple[int, Remembered]]
    span: int


@dataclass(frozen=True, eq=False)
class Answers:
    """Decoded prompts of K objects and what would have been right, (K, L, L) bool."""

    decoded: Decoded
    truth: Tensor


def answer_images(pupil: Pupil, batch: ImageBatch) -> tuple[Answers, Answers]:
    """Answers to prompts of one point and of several."""
    features = pupil.encode(batch.images)
    answers = []
    for points, signs, targets in zip(batch.points, batch.signs, batch.targets, strict=True):
        count = points.shape[1]
        decoded = pupil.click(_repeated(features, count), points.flatten(0, 1), signs.flatten(0, 1))
        answers.append(Answers(decoded, truth_of(batch.labels[:, None], targets[..., None, None]).flatten(0, 1)))
    return answers[0], answers[1]


def answer_clips(pupil: Pupil, batch: ClipBatch) -> tuple[Answers, Answers, Answers]:
    """Answers to the clicks on the prompted frame, to the masks that prompt there, and on all other frames together."""
    clips, length = batch.images.shape[:2]
    objects = batch.targets.shape[1]
    features = pupil.encode(batch.images.flatten(0, 1))
    truths = truth_of(batch.labels[:, :, None], batch.targets[:, None, :, None, None]).transpose(0, 1).flatten(1, 2)  # (T, K, L, L)
    start, truth = batch.start, truths[batch.start]
    frames = [_repeated(_part(features, range(t, clips * length, length)), objects) for t in range(length)]
    points = batch.points.flatten(0, 1)
    clicked = pupil.click(frames[start], points, torch.ones(points.shape[:2], dtype=torch.int32))
    masks = _prompts(clicked, truth, batch.clicked.flatten(), pupil.network.traits.image_size)
    prompted, known = pupil.prompted(frames[start], masks)
    held: dict[int, Remembered] = {}
    found: list[Decoded] = []
    order = [*range(start + 1, length), *range(start - 1, -1, -1)]
    span = min(length, pupil.network.traits.pointers)
    for position in order:
        step = 1 if position > start else -1
        recent = [
            [(age, held[position - step * age]) for age in range(1, most) if position - step * age in held]
            for most in (pupil.network.traits.memories, span)
        ]
        recall = Recall([(0, known), *recent[0]], [(abs(position - start), known), *recent[1]], span)
        decoded, held[position] = pupil.followed(frames[position], recall, truths[position], batch.forced[position].flatten())
        found.append(decoded)
    return Answers(clicked, truth), Answers(prompted, truth), Answers(_joined(found), torch.cat([truths[p] for p in order]))


def truth_of(labels: Tensor, targets: Tensor) -> Tensor:
    """Where labels are the target; nowhere for target 0. Both broadcast to (..., L, L)."""
    return (labels == targets) & (targets > 0)


def _prompts(clicked: Decoded, truth: Tensor, wanted: Tensor, side: int) -> Tensor:
    """Masks (K, 1, S, S) that prompt: the found ones where that is wanted and they are not wrong, else the true ones."""
    with torch.no_grad():
        logits = best_masks(clicked)[0]
        good = overlap(at_input_size(logits, truth.shape[-1]) > 0, truth[:, None])[:, 0] > GOOD
        found = (at_input_size(logits, side) > 0).float()
        return torch.where((wanted & good)[:, None, None, None], found, mask_prompts(truth, side))


def _repeated(features: Features, times: int) -> Features:
    return Features(*(each.repeat_interleave(times, 0) for each in (features.top, features.middle, features.fine)))


def _part(features: Features, which: range) -> Features:
    return Features(*(each[which.start : which.stop : which.step] for each in (features.top, features.middle, features.fine)))


def _joined(parts: list[Decoded]) -> Decoded:
    return Decoded(
        torch.cat([each.logits for each in parts]),
        torch.cat([each.predicted_iou for each in parts]),
        torch.cat([each.tokens for each in parts]),
        torch.cat([each.presence for each in parts]),
    )
