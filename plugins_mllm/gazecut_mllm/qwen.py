"""What Qwen2-VL and Qwen2.5-VL share: sizes, pixels, prompts and sessions.

Two frames make a temporal slot, patches are merged 2 x 2 into visual tokens; patch sizes are the checkpoint's own. The video view
shows all frames as a video; the frame view shows each as an image, on a grid exactly `scale` times finer along each side.
Tried on transformers 5.17.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from gazecut.arrays import Array
from gazecut.errors import BackendError, WeightsError
from gazecut.protocols import Provenance, Runtime
from gazecut.values import Frames, GridLayout, TraceSpec
from gazecut_mllm.chat import Chat
from gazecut_mllm.checkpoint import Checkpoint
from gazecut_mllm.config import Qwen2VLConfig
from gazecut_mllm.devices import peak_memory, resolve_device, resolve_dtype
from gazecut_mllm.generation import Decoder
from gazecut_mllm.hf import HFBackend
from gazecut_mllm.memory import BatchLimit, memory_explained
from gazecut_mllm.positions import VisualBlock, mrope_positions
from gazecut_mllm.prefix import Opening, Prefix, prefill
from gazecut_mllm.session import Reader, VisualSession, embeddings_for
from gazecut_mllm.shelf import Held, Shelf
from gazecut_mllm.sizes import grid_size, resize
from gazecut_mllm.weights import check_family, load_model, load_processor, locate

VIEWS = ("video", "frame")
TURNS = 32  # without the clip, in one forward pass


class QwenBackend:
    """A frozen Qwen-VL model; sessions share it."""

    family: ClassVar[str]

    def __init__(self, config: Qwen2VLConfig, runtime: Runtime) -> None:
        """Load model and processor.

        Raises:
            WeightsError: The weights cannot be found, read, or are of another family, or the tokenizer is not the model's.
            DeviceError: The machine has no such device.
            BackendError: The model does not fit into its memory.
        """
        device = resolve_device(runtime.device)
        checkpoint = locate(config.weights, config.revision)
        check_family(checkpoint, self.family)
        processor = load_processor(checkpoint)
        with memory_explained(f"Choose smaller weights than {config.weights}, or another --device than {device}."):
            hf = HFBackend(load_model(checkpoint, None, resolve_dtype(config.dtype, device), device))
        _check_tokens(checkpoint, processor, hf)
        self._config, self._processor, self._revision = config, processor, checkpoint.revision
        decoder = Decoder(hf.model, processor.tokenizer, config.max_new_tokens, runtime.work)
        shelf = Shelf(device, _bytes(config.cache_gib), _bytes(config.host_cache_gib), runtime.work)
        self._reader = Reader(hf, Chat(processor, config.system), decoder, shelf, runtime.work)
        remedy = f"Lower mllm.max_new_tokens (now {config.max_new_tokens}) or sampler.frames."
        self._text_limit = BatchLimit("turns without the clip in one forward pass", TURNS, remedy)
        vision = hf.model.config.vision_config
        self._merge, self._frames_per_slot = int(vision.spatial_merge_size), int(vision.temporal_patch_size)
        self._cell = int(vision.patch_size) * self._merge  # pixels along each side of a visual token

    @torch.inference_mode()
    def open(self, frames: Frames, view: str, prelude: Array | None = None, trace: TraceSpec | None = None) -> VisualSession:
        """Run the vision tower over every frame and prefill up to the last visual token, once.

        Args:
            frames: T frames.
            view: "video" makes one sequence of ceil(T / 2) slots; "frame" makes T sequences, `batch` at a time.
            prelude: (P, d) embeddings placed before the visual tokens, or None.
            trace: The attention that questions will ask for; None keeps every layer.

        Raises:
            BackendError: The view is unknown, the model lacks a layer, a prelude is of another width, frames are too long for their
                width, the processor laid out other tokens than the grid says, or memory runs out with one sequence at a time.
        """
        layout = self._layout(frames, view)
        layers = self._reader.hf.layer_range(*((trace.first_layer, trace.last_layer) if trace else (0, None)))
        kind: Literal["video", "image"] = "video" if view == "video" else "image"
        slots = layout.slots if view == "video" else 1
        block = VisualBlock(slots, layout.rows, layout.columns, self.slot_step(frames) if view == "video" else 1.0)
        opening = self._opening(block, kind, prelude)
        limit, questions = self._limits(view, len(frames))
        images = frames.images[None] if view == "video" else frames.images[:, None]  # (sequences, frames of each, H, W, 3)
        prefixes: list[Held] = []
        while (done := sum(held.sequences for held in prefixes)) < len(images):
            some = images[done : done + limit.size]
            make = torch.inference_mode()(partial(self._prefilled, some, layout, kind, opening, layers))
            prefix = limit.attempt(len(some), make)
            if prefix is not None:
                prefixes.append(self._reader.shelf.hold(prefix, make))
        self._reader.work.vision_runs += 1
        self._reader.work.prefills += len(prefixes)
        return VisualSession(self._reader, kind, prefixes, layout, questions)

    def complete(self, text: str) -> str:
        """The greedy answer to a text-only turn."""
        return self.complete_many([text])[0]

    @torch.inference_mode()
    def complete_many(self, texts: Sequence[str]) -> list[str]:
        """The same for several turns, decoded in batches of as many as memory allows.

        Raises:
            BackendError: Memory runs out with one turn at a time.
        """
        # Turns of a length together: padding is work for nothing.
        turns = [self._reader.chat.text(text) for text in texts]
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
        """Device, dtype and weights, for the manifest."""
        hf = self._reader.hf
        return Provenance(str(hf.device), str(hf.dtype).removeprefix("torch."), self._config.weights, self._revision)

    def peak_memory(self) -> int:
        """Most device memory in use so far, in bytes; 0 where the device does not tell (CPU)."""
        return peak_memory(self._reader.hf.device)

    def slot_step(self, frames: Frames) -> float:
        """Temporal positions from one slot to the next."""
        return 1.0

    def _layout(self, frames: Frames, view: str) -> GridLayout:
        if view not in VIEWS:
            raise BackendError(f'there is no view "{view}"; wanted one of: {", ".join(VIEWS)}.')
        rows, columns = grid_size(frames.size, self._cell, self._config.views.video.tokens_per_frame)
        if view == "video":
            return GridLayout(-(-len(frames) // self._frames_per_slot), rows, columns, self._frames_per_slot)
        scale = self._config.views.frame.scale
        return GridLayout(len(frames), rows * scale, columns * scale)

    def _opening(self, block: VisualBlock, kind: Literal["video", "image"], prelude: Array | None) -> Opening:
        """Tokens and positions up to the last visual token."""
        hf = self._reader.hf
        turn = self._reader.chat.turn("", kind)
        soft = None if prelude is None else embeddings_for(hf, prelude, "prelude")
        # Embeddings stand before the token that opens the visual ones.
        at = len(turn.before) - (turn.before[-1:] == (hf.model.config.vision_start_token_id,))
        filler = [turn.before[0]] * (0 if soft is None else len(soft))
        ids = torch.tensor([*turn.before[:at], *filler, *turn.before[at:], *[turn.visual] * len(block)], device=hf.device)
        visual = torch.arange(len(ids) - len(block), len(ids), device=hf.device)
        positions = mrope_positions(hf.is_visual(ids), [block]).to(hf.device)
        return Opening(ids, positions, visual, soft, at)

    def _prefilled(
        self, images: np.ndarray, layout: GridLayout, kind: Literal["video", "image"], opening: Opening, layers: range
    ) -> Prefix:
        """The prefix of some sequences of the view, from their frames (B, frames of each, H, W, 3)."""
        prefix = prefill(self._reader.hf, opening, self._pixels(images, layout, kind), len(images), layers)
        self._reader.work.prompt_tokens += len(images) * len(prefix)
        return prefix

    def _completed(self, turns: Sequence[tuple[int, ...]]) -> list[str]:
        """Answers to text-only turns, one batch padded on the left."""
        longest = max(map(len, turns))
        # The filler is a token that is in every prompt already, so that a repetition penalty sees no new one.
        ids = torch.tensor([[*turn[:1] * (longest - len(turn)), *turn] for turn in turns], device=self._reader.hf.device)
        mask = torch.tensor([[0] * (longest - len(turn)) + [1] * len(turn) for turn in turns], device=ids.device)
        positions = (mask.cumsum(1) - 1).clamp_min(0).expand(3, -1, -1)
        answers = self._reader.decoder.generate(ids, mask, positions)
        self._reader.work.prompt_tokens += sum(map(len, turns))
        return [self._reader.decoder.words(answer) for answer in answers]

    def _pixels(self, images: np.ndarray, layout: GridLayout, kind: Literal["video", "image"]) -> dict[str, torch.Tensor]:
        """Pixels and grids for the model."""
        size = (layout.rows * self._cell, layout.columns * self._cell)
        common = {"do_resize": False, "return_tensors": "pt", "input_data_format": "channels_last"}
        if kind == "video":
            output = self._processor.video_processor([resize(video, size) for video in images], do_sample_frames=False, **common)
            names, slots = ("pixel_values_videos", "video_grid_thw"), layout.slots
        else:
            output = self._processor.image_processor([resize(image, size)[0] for image in images], **common)
            names, slots = ("pixel_values", "image_grid_thw"), 1
        self._check_grid(output[names[1]], len(images), slots, layout)
        return {name: output[name] for name in names}

    def _limits(self, view: str, frames: int) -> tuple[BatchLimit, BatchLimit]:
        """Sequences prefilled in one forward pass; questions times sequences in one; and what to lower where one is too much."""
        views = self._config.views
        larger = [f"mllm.views.video.tokens_per_frame (now {views.video.tokens_per_frame})"]
        if view == "frame":
            larger.append(f"mllm.views.frame.scale (now {views.frame.scale})")
        remedy = f"Lower {', '.join(larger)} or sampler.frames (now {frames})."
        if view == "video":
            return BatchLimit("mllm.views.video.batch", 1, remedy), BatchLimit("mllm.views.video.batch", views.video.batch, remedy)
        both = views.frame.batch * views.frame.questions
        return (
            BatchLimit("mllm.views.frame.batch", views.frame.batch, remedy),
            BatchLimit("mllm.views.frame.batch times questions", both, remedy),
        )

    def _check_grid(self, found: torch.Tensor, sequences: int, slots: int, layout: GridLayout) -> None:
        wanted = [[slots, layout.rows * self._merge, layout.columns * self._merge]] * sequences
        if found.tolist() != wanted:
            raise BackendError(
                f"the checkpoint's processor laid out patches {found.tolist()}; wanted {wanted}. "
                "Check that patch_size, merge_size and temporal_patch_size of its processor are those of its model."
            )


def _bytes(gib: float) -> int:
    return round(gib * 2**30)


def _check_tokens(checkpoint: Checkpoint, processor: Any, hf: HFBackend) -> None:
    """Refuse a tokenizer of another model: without its files transformers makes up an empty one."""
    for kind in ("image", "video"):
        token, wanted = getattr(processor, f"{kind}_token"), getattr(hf.model.config, f"{kind}_token_id")
        if processor.tokenizer.convert_tokens_to_ids(token) != wanted:
            raise WeightsError(
                f"weights: the tokenizer of {checkpoint.about} does not know {token} as token {wanted}, as its model does; "
                "wanted tokenizer.json and tokenizer_config.json of the same checkpoint."
            )
