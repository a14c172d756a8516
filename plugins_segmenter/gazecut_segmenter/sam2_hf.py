"""SAM 2 and 2.1 as transformers ships them (`Sam2VideoModel`): the default segmenter.

The model is taken apart at its public modules and followed by our own tracker: transformers' session goes object by object, keeps
every frame's masks at full size, and points to a mask prompt with another token than the official code (tried with 5.17).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gazecut.protocols import Runtime
from gazecut_segmenter.config import Sam2HfOptions
from gazecut_segmenter.devices import resolve_device
from gazecut_segmenter.sam2_opener import Sam2Opener
from gazecut_segmenter.sam2_shared import Decoded, Features, Prompt, Traits
from gazecut_segmenter.sam2_tracker import time_code
from gazecut_segmenter.sam2_weights import load, locate


class Sam2HfSegmenter(Sam2Opener):
    """The component `sam2-hf`."""

    def __init__(self, config: Sam2HfOptions, runtime: Runtime) -> None:
        """Load the model.

        Raises:
            WeightsError: The weights cannot be found or read, or are not of SAM 2.
            DeviceError: The device is not on this machine.
        """
        device = resolve_device(runtime.device)
        checkpoint = locate(config.weights, config.revision)
        super().__init__(HfNetwork(load(checkpoint).to(device)), config, runtime.work, checkpoint.revision)


class HfNetwork:
    """A `Sam2VideoModel` in the five steps of `sam2_shared.Network`."""

    def __init__(self, model: Any) -> None:
        """Take a `Sam2VideoModel` (Any: transformers' modules are untyped) on its device, in float32."""
        self._model = model.eval()
        config = model.config
        fewest, most = config.multimask_min_pt_num, config.multimask_max_pt_num
        self.device: torch.device = model.device
        self.traits = Traits(
            image_size=config.image_size,
            memories=config.num_maskmem,
            pointers=config.max_object_pointers_in_encoder,
            several_for_points=(fewest, most) if config.multimask_output_in_sam else (1, 0),
            several_when_following=config.multimask_output_in_sam and config.multimask_output_for_tracking and fewest == 0,
            mask_scale=config.sigmoid_scale_for_mem_enc,
            mask_offset=config.sigmoid_bias_for_mem_enc,
        )
        self.no_memory: Tensor = model.no_memory_embedding.detach().flatten()
        self.no_object: Tensor = model.no_object_pointer.detach().flatten()
        absent = model.occlusion_spatial_embedding_parameter
        self.absent: Tensor | None = None if absent is None else absent.detach().flatten()
        self.ages: Tensor = model.memory_temporal_positional_encoding.detach().flatten(1)
        cells = config.image_size // config.prompt_encoder_config.patch_size
        with torch.inference_mode():
            self.places: Tensor = self._sine(model.memory_encoder.position_encoding, self.ages.shape[1], cells)
            self._where: Tensor = self._sine(model.vision_encoder.neck.position_encoding, len(self.no_memory), cells)
            self._image_places: Tensor = model.get_image_wide_positional_embeddings()

    def encode(self, image: Tensor) -> Features:
        """Features of one image (1, 3, S, S), normalised float32."""
        found = self._model.vision_encoder(image)
        fine, middle, top = found.fpn_hidden_states[-3:]
        decoder = self._model.mask_decoder
        return Features(top, decoder.conv_s1(middle), decoder.conv_s0(fine))

    def decode(self, embedding: Tensor, features: Features, prompt: Prompt, several: bool) -> Decoded:
        """Masks of K objects; the prompt is encoded in float32 in any case, since a point's place needs more bits than bfloat16 has."""
        count = len(embedding)
        points, labels = prompt.clicks(count, self.device)
        with torch.autocast(self.device.type, enabled=False):
            mask = None if prompt.mask is None else prompt.mask.float()
            sparse, dense = self._model.prompt_encoder(points[:, None], labels[:, None], None, mask)
        logits, trust, tokens, presence = self._model.mask_decoder(
            image_embeddings=embedding,
            image_positional_embeddings=self._image_places.expand(count, -1, -1, -1),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
            high_resolution_features=[each.expand(count, -1, -1, -1) for each in (features.fine, features.middle)],
        )
        return Decoded(logits[:, 0], trust[:, 0], tokens[:, 0], presence[:, 0])

    def attend(self, features: Features, memory: Tensor, places: Tensor, pointer_tokens: int) -> Tensor:
        """Top features in the light of K objects' memories, (K, C, h, h)."""
        count, _, height, width = (len(memory), *features.top.shape[1:])
        flat = features.top.flatten(2).permute(2, 0, 1).expand(-1, count, -1)  # (h * h, K, C)
        found: Tensor = self._model.memory_attention(
            current_vision_features=flat,
            current_vision_position_embeddings=self._where[:, None],
            memory=memory.transpose(0, 1),
            memory_posision_embeddings=places.transpose(0, 1),
            num_object_pointer_tokens=pointer_tokens,
        )
        return found.squeeze(1).reshape(count, height, width, -1).permute(0, 3, 1, 2)

    def remember(self, features: Features, masks: Tensor) -> Tensor:
        """Memory (K, M, h, h) of K scaled masks (K, 1, S, S) on a frame."""
        memory: Tensor = self._model.memory_encoder(features.top.expand(len(masks), -1, -1, -1), masks)[0]
        return memory

    def shrink(self, masks: Tensor) -> Tensor:
        """Masks (K, 1, S, S) in [0, 1] as logits (K, 1, 4h, 4h), the learned way."""
        logits: Tensor = self._model.mask_downsample(masks)
        return logits

    def point(self, tokens: Tensor) -> Tensor:
        """Object pointers (K, C) of tokens (K, C)."""
        pointers: Tensor = self._model.object_pointer_proj(tokens)
        return pointers

    def ages_of_pointers(self, ages: Tensor) -> Tensor:
        """(n, M): how pointers of n frames are marked; zeros for SAM 2.0."""
        if not self._model.config.enable_temporal_pos_encoding_for_object_pointers:
            return ages.new_zeros(len(ages), self.ages.shape[1])
        marks: Tensor = self._model.temporal_positional_encoding_projection_layer(time_code(ages, len(self.no_memory)))
        return marks

    def _sine(self, encoding: Any, channels: int, cells: int) -> Tensor:
        """A module's place code of square maps, (cells * cells, channels)."""
        code: Tensor = encoding((1, channels, cells, cells), self.device, torch.float32)
        return code[0].flatten(1).T
