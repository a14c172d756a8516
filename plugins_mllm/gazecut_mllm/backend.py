"""A frozen multimodal LLM of any family: weights, visual prefixes, text-only turns, memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, get_args

import numpy as np
import torch

from gazecut.arrays import Array
from gazecut.errors import BackendError, WeightsError
from gazecut.protocols import Provenance, Runtime
from gazecut.values import Frames, GridLayout, TraceSpec
from gazecut_mllm.chat import Chat
from gazecut_mllm.checkpoint import Checkpoint
from gazecut_mllm.config import MLLMOptions
from gazecut_mllm.devices import peak_memory, resolve_device, resolve_dtype
from gazecut_mllm.differentiable import DifferentiableVisualSession
from gazecut_mllm.family import Family, Placement, View
from gazecut_mllm.generation import Decoder
from gazecut_mllm.hf import HFBackend
from gazecut_mllm.kernels import resolve_attention
from gazecut_mllm.memory import BatchLimit, memory_explained
from gazecut_mllm.positions import position_ids, token_positions
from gazecut_mllm.prefix import Opening, Prefix, prefill
from gazecut_mllm.session import Reader, VisualSession, embeddings_for
from gazecut_mllm.shelf import Held, Shelf
from gazecut_mllm.weights import Loading, check_family, load_model, load_processor, locate

VIEWS: dict[str, View] = {view: view for view in get_args(View)}
TURNS = 32  # without the clip, in one forward pass


class Backend:
    """A model of a family; sessions share it. A family's own backend names its `family_class`, and that is all.

    Attributes:
        family_class: What the family says about itself.
        family: The same, on the checkpoint that was loaded.
    """

    family_class: ClassVar[type[Family]]

    def __init__(self, config: MLLMOptions, runtime: Runtime) -> None:
        """Load model and processor.

        Raises:
            WeightsError: The weights cannot be found, read, or are of another family, or the tokenizer is not the model's.
            DeviceError: The machine has no such device, or none that the device map names.
            RecipeError: flash-attn cannot compute in this floating type or on this device.
            PluginError: A package that an option needs is not installed.
            BackendError: The model does not fit into its memory.
        """
        device = resolve_device(runtime.device)
        dtype = resolve_dtype(config.dtype, device)
        attention = resolve_attention(config.attention, dtype, device)
        loading = Loading(device, dtype, attention, config.quantization, config.device_map)
        checkpoint = locate(config.weights, config.revision)
        check_family(checkpoint, self.family_class.model_type)
        processor = load_processor(checkpoint, self.family_class.parts)
        with memory_explained(f"Choose smaller weights than {config.weights}, or another --device than {device}."):
            hf = HFBackend(load_model(checkpoint, None, loading))
        _check_tokens(checkpoint, processor, hf)
        self.family = self.family_class(config, processor, hf.model.config)
        self._config, self._revision = config, checkpoint.revision
        decoder = Decoder(hf.model, processor.tokenizer, config.max_new_tokens, runtime.work)
        shelf = Shelf(hf.device, _bytes(config.cache_gib), _bytes(config.host_cache_gib), runtime.work)
        self._reader = Reader(hf, Chat(processor, config.system), decoder, shelf, runtime.work)
        remedy = f"Lower mllm.max_new_tokens (now {config.max_new_tokens}) or sampler.frames."
        self._text_limit = BatchLimit("turns without the clip in one forward pass", TURNS, remedy)

    @torch.inference_mode()
    def open(self, frames: Frames, view: str, prelude: Array | None = None, trace: TraceSpec | None = None) -> VisualSession:
        """Run the vision tower over every frame and prefill up to the last visual token, once.

        Args:
            frames: T frames.
            view: "video" makes one sequence of all frames; "frame" makes T sequences, `batch` at a time.
            prelude: (P, d) embeddings placed before the visual tokens, or None.
            trace: The attention that questions will ask for; None keeps every layer.

        Raises:
            BackendError: The view is unknown, the model lacks a layer, a prelude is of another width, the processor laid out other tokens
                than the grid says, or memory runs out with one sequence at a time.
            ClipError: The model cannot take frames of that size.
            PromptError: The visual tokens leave no room for an answer.
        """
        known = _known(view)
        layout = self.family.layout(frames, known)
        layers = self._reader.hf.layer_range(*((trace.first_layer, trace.last_layer) if trace else (0, None)))
        placement = self.family.placement(frames, known, layout)
        opening = self._opening(frames, known, placement, prelude)
        limit, questions = self._limits(known, len(frames))
        images = frames.images[None] if known == "video" else frames.images[:, None]  # (sequences, frames of each, H, W, 3)
        prefixes: list[Held] = []
        while (done := sum(held.sequences for held in prefixes)) < len(images):
            some = images[done : done + limit.size]
            make = torch.inference_mode()(partial(self._prefilled, some, known, layout, opening, layers))
            prefix = limit.attempt(len(some), make)
            if prefix is not None:
                prefixes.append(self._reader.shelf.hold(prefix, make))
        self._reader.work.vision_runs += 1
        self._reader.work.prefills += len(prefixes)
        return VisualSession(self._reader, placement, prefixes, layout, questions)

    @property
    def width(self) -> int:
        """Width d of the token embeddings."""
        return self._reader.hf.width

    @torch.no_grad()
    def embed(self, text: str) -> torch.Tensor:
        """The embeddings (n, d) of the tokens of a text, on the device of the model and in its dtype."""
        hf = self._reader.hf
        ids = self.family.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        embeddings: torch.Tensor = hf.model.get_input_embeddings()(torch.tensor(ids, dtype=torch.long, device=hf.device))
        return embeddings

    def differentiable(self, frames: Frames, view: str, trace: TraceSpec) -> DifferentiableVisualSession:
        """A session that reads questions with the graph of what steers them; vision tower and prefix run when they are first needed.

        Args:
            frames: T frames.
            view: "video" makes one sequence of all frames; "frame" makes T sequences, `batch` at a time.
            trace: The attention that questions will ask for.

        Raises:
            BackendError: The view is unknown, or the model lacks a layer or cannot take frames of that size.
        """
        known = _known(view)
        layout = self.family.layout(frames, known)
        layers = self._reader.hf.layer_range(trace.first_layer, trace.last_layer)
        placement = self.family.placement(frames, known, layout)
        images = frames.images[None] if known == "video" else frames.images[:, None]
        at_once = self._limits(known, len(frames))[0].size

        def prefill(prelude: torch.Tensor | None) -> list[Prefix]:
            opening = self._opening(frames, known, placement, prelude)
            parts = [images[start : start + at_once] for start in range(0, len(images), at_once)]
            return [self._prefilled(some, known, layout, opening, layers) for some in parts]

        return DifferentiableVisualSession(self._reader, placement, layout, layers, prefill)

    def complete(self, text: str) -> str:
        """The greedy answer to a text-only turn."""
        return self.complete_many([text])[0]

    @torch.inference_mode()
    def complete_many(self, texts: Sequence[str]) -> list[str]:
        """The same for several turns, decoded in batches of as many as memory allows.

        Raises:
            BackendError: Memory runs out with one turn at a time.
            PromptError: A turn leaves no room for an answer.
        """
        # Turns of a length together: padding is work for nothing.
        turns = [self._reader.chat.text(text) for text in texts]
        remedy = f"Shorten the text, or lower mllm.max_new_tokens (now {self._config.max_new_tokens})."
        self._reader.decoder.check_room(max(map(len, turns), default=0), remedy)
        order = sorted(range(len(turns)), key=lambda index: len(turns[index]))
        answers = [""] * len(turns)
        while order:
            some = order[: self._text_limit.size]
            found = self._text_limit.attempt(len(some), partial(self._completed, [turns[index] for index in some]))
            if found is not None:
                del order[: len(some)]
                for index, answer in zip(some, found, strict=True):
                    answers[index] = answer
        return answers

    def describe(self) -> Provenance:
        """Device, dtype, weights and signature, for the manifest."""
        hf = self._reader.hf
        return Provenance(str(hf.device), str(hf.dtype).removeprefix("torch."), self._config.weights, self._revision, hf.signature)

    def peak_memory(self) -> int:
        """Most device memory in use so far, in bytes; 0 where the device does not tell (CPU)."""
        return peak_memory(self._reader.hf.device)

    def _opening(self, frames: Frames, view: View, placement: Placement, prelude: Array | None) -> Opening:
        """Tokens and positions up to the last visual token.

        Raises:
            PromptError: They leave no room for an answer.
            BackendError: The prelude is of another width than the model.
        """
        hf = self._reader.hf
        opened = self._reader.chat.opening(placement)
        soft = None if prelude is None else embeddings_for(hf, prelude, "prelude")
        filler = [opened.ids[0]] * (0 if soft is None else len(soft))
        ids = torch.tensor([*opened.ids[: opened.prelude_at], *filler, *opened.ids[opened.prelude_at :]], device=hf.device)
        visual = ids == opened.visual
        positions = token_positions(visual, placement.blocks, self.family.axes).to(hf.device)
        opening = Opening(ids, positions, visual.nonzero()[:, 0], soft, opened.prelude_at)
        lower = [*self.family.larger(view), *([f"sampler.frames (now {len(frames)})"] if view == "video" else [])]
        remedy = f"Lower {', '.join(lower)}{' or ' if lower else ''}mllm.max_new_tokens (now {self._config.max_new_tokens})."
        self._reader.decoder.check_room(opening.following, remedy)
        return opening

    def _prefilled(self, images: np.ndarray, view: View, layout: GridLayout, opening: Opening, layers: range) -> Prefix:
        """The prefix of some sequences of the view, from their frames (B, frames of each, H, W, 3)."""
        hf = self._reader.hf
        images = np.require(images, requirements="W")  # a copy where it is read-only: torch takes no such arrays without a warning
        pixels = {name: value.to(hf.device) for name, value in self.family.pixels(images, view, layout).items()}
        visual = self.family.embeddings(hf.model, pixels)
        prefix = prefill(hf, opening, pixels if visual is None else visual, len(images), layers)
        self._reader.work.prompt_tokens += len(images) * len(prefix)
        return prefix

    def _completed(self, turns: Sequence[tuple[int, ...]]) -> list[str]:
        """Answers to text-only turns, one batch padded on the left."""
        longest = max(map(len, turns))
        # The filler is a token that is in every prompt already, so that a repetition penalty sees no new one.
        ids = torch.tensor([[*turn[:1] * (longest - len(turn)), *turn] for turn in turns], device=self._reader.hf.device)
        mask = torch.tensor([[0] * (longest - len(turn)) + [1] * len(turn) for turn in turns], device=ids.device)
        positions = (mask.cumsum(1) - 1).clamp_min(0)
        answers = self._reader.decoder.generate(ids, mask, position_ids(positions.expand(self.family.axes, -1, -1)))
        self._reader.work.prompt_tokens += sum(map(len, turns))
        return [self._reader.decoder.words(answer) for answer in answers]

    def _limits(self, view: View, frames: int) -> tuple[BatchLimit, BatchLimit]:
        """Sequences prefilled in one forward pass; questions times sequences in one; and what to lower where one is too much."""
        views = self._config.views
        larger = ", ".join(self.family.larger(view))
        remedy = f"Lower {larger + ' or ' if larger else ''}sampler.frames (now {frames})."
        if view == "video":
            return BatchLimit("mllm.views.video.batch", 1, remedy), BatchLimit("mllm.views.video.batch", views.video.batch, remedy)
        both = views.frame.batch * views.frame.questions
        return (
            BatchLimit("mllm.views.frame.batch", views.frame.batch, remedy),
            BatchLimit("mllm.views.frame.batch times questions", both, remedy),
        )


def _known(view: str) -> View:
    if view not in VIEWS:
        raise BackendError(f'there is no view "{view}"; wanted one of: {", ".join(VIEWS)}.')
    return VIEWS[view]


def _bytes(gib: float) -> int:
    return round(gib * 2**30)


def _check_tokens(checkpoint: Checkpoint, processor: Any, hf: HFBackend) -> None:
    """Refuse a tokenizer of another model: without its files transformers makes up an empty one."""
    for kind in ("image", "video"):
        token, wanted = getattr(processor, f"{kind}_token", None), getattr(hf.model.config, f"{kind}_token_id", None)
        if None not in (token, wanted) and processor.tokenizer.convert_tokens_to_ids(token) != wanted:
            raise WeightsError(
                f"weights: the tokenizer of {checkpoint.about} does not know {token} as token {wanted}, as its model does; "
                "wanted tokenizer.json and tokenizer_config.json of the same checkpoint."
            )
