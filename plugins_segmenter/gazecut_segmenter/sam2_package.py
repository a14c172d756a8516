"""SAM 2 and 2.1 as Meta's package `sam2` has it (tried with 1.1.0).

Only the package's modules are used, in the order that its predictor calls them. The predictor itself reads folders of JPEG only,
goes point by point and object by object, and fills holes with an operator that is compiled for CUDA.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gazecut.errors import WeightsError
from gazecut.protocols import Runtime
from gazecut_segmenter.config import Sam2Options
from gazecut_segmenter.devices import resolve_device
from gazecut_segmenter.sam2_checkpoint import check_fit, in_form, read_any
from gazecut_segmenter.sam2_files import Checkpoint
from gazecut_segmenter.sam2_hydra import build
from gazecut_segmenter.sam2_opener import Sam2Opener
from gazecut_segmenter.sam2_shared import Decoded, Features, Prompt, Traits
from gazecut_segmenter.sam2_sizes import recognise
from gazecut_segmenter.sam2_tracker import time_code
from gazecut_segmenter.sam2_weights import locate

_ALWAYS = (
    "directly_add_no_mem_embed",
    "fixed_no_obj_ptr",
    "only_obj_ptrs_in_the_past_for_eval",
    "pred_obj_scores",
    "use_high_res_features_in_sam",
    "use_mask_input_as_output_without_sam",
    "use_obj_ptrs_in_encoder",
)
"""What every published configuration switches on, and the tracker takes for granted."""

_FIXED = {"memory_temporal_stride_for_eval": 1, "non_overlap_masks_for_mem_enc": False, "soft_no_obj_ptr": False}
"""What every published configuration leaves as it is, for the tracker does nothing else."""


class Sam2Segmenter(Sam2Opener):
    """The component `sam2`."""

    def __init__(self, config: Sam2Options, runtime: Runtime) -> None:
        """Load the model.

        Raises:
            WeightsError: The weights cannot be found or read, are not of SAM 2, or do not go with the configuration.
            DeviceError: The device is not on this machine.
        """
        device = resolve_device(runtime.device)
        checkpoint = locate(config.weights, config.revision)
        super().__init__(PackageNetwork(load(checkpoint, config).to(device)), config, runtime.work, checkpoint.revision)


class PackageNetwork:
    """A `SAM2Base` in the five steps of `sam2_shared.Network`."""

    def __init__(self, model: Any) -> None:
        """Take a `SAM2Base` (Any: the package is untyped) on its device, in float32."""
        self._model = model.eval()
        self.device: torch.device = model.device
        several = model.multimask_output_in_sam
        self.traits = Traits(
            image_size=model.image_size,
            memories=model.num_maskmem,
            pointers=model.max_obj_ptrs_in_encoder,
            several_for_points=(model.multimask_min_pt_num, model.multimask_max_pt_num) if several else (1, 0),
            several_when_following=several and model.multimask_output_for_tracking and model.multimask_min_pt_num <= 0,
            mask_scale=model.sigmoid_scale_for_mem_enc,
            mask_offset=model.sigmoid_bias_for_mem_enc,
        )
        self.no_memory: Tensor = model.no_mem_embed.detach().flatten()
        self.no_object: Tensor = model.no_obj_ptr.detach().flatten()
        self.absent: Tensor | None = None if model.no_obj_embed_spatial is None else model.no_obj_embed_spatial.detach().flatten()
        self.ages: Tensor = model.maskmem_tpos_enc.detach().flatten(1)
        with torch.inference_mode():
            self.places: Tensor = self._places(model.memory_encoder.position_encoding)
            self._where: Tensor = self._places(model.image_encoder.neck.position_encoding)
            self._image_places: Tensor = model.sam_prompt_encoder.get_dense_pe()

    def encode(self, image: Tensor) -> Features:
        """Features of one image (1, 3, S, S), normalised float32."""
        fine, middle, top = self._model.forward_image(image)["backbone_fpn"]
        return Features(top, middle, fine)

    def decode(self, embedding: Tensor, features: Features, prompt: Prompt, several: bool) -> Decoded:
        """Masks of K objects; the prompt is encoded in float32 in any case, since a point's place needs more bits than bfloat16 has."""
        points, labels = prompt.clicks(len(embedding), self.device)
        with torch.autocast(self.device.type, enabled=False):
            mask = None if prompt.mask is None else prompt.mask.float()
            sparse, dense = self._model.sam_prompt_encoder(points=(points, labels), boxes=None, masks=mask)
        return Decoded(
            *self._model.sam_mask_decoder(
                image_embeddings=embedding,
                image_pe=self._image_places,
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=several,
                repeat_image=False,
                high_res_features=[features.fine, features.middle],
            )
        )

    def attend(self, features: Features, memory: Tensor, places: Tensor, pointer_tokens: int) -> Tensor:
        """Top features in the light of K objects' memories, (K, C, h, h)."""
        count, cells = len(memory), features.top.shape[2:]
        flat = features.top.flatten(2).permute(2, 0, 1).expand(-1, count, -1)  # (h * h, K, C)
        found: Tensor = self._model.memory_attention(
            curr=flat,
            curr_pos=self._where[:, None],
            memory=memory.transpose(0, 1),
            memory_pos=places.transpose(0, 1),
            num_obj_ptr_tokens=pointer_tokens,
        )
        return found.permute(1, 2, 0).reshape(count, -1, *cells)

    def remember(self, features: Features, masks: Tensor) -> Tensor:
        """Memory (K, M, h, h) of K scaled masks (K, 1, S, S) on a frame."""
        memory: Tensor = self._model.memory_encoder(features.top, masks, skip_mask_sigmoid=True)["vision_features"]
        return memory

    def shrink(self, masks: Tensor) -> Tensor:
        """Masks (K, 1, S, S) in [0, 1] as logits (K, 1, 4h, 4h), the learned way."""
        logits: Tensor = self._model.mask_downsample(masks)
        return logits

    def point(self, tokens: Tensor) -> Tensor:
        """Object pointers (K, C) of tokens (K, C)."""
        pointers: Tensor = self._model.obj_ptr_proj(tokens)
        return pointers

    def ages_of_pointers(self, ages: Tensor) -> Tensor:
        """(n, M): how pointers of n frames are marked; zeros for SAM 2.0."""
        if not self._model.add_tpos_enc_to_obj_ptrs:
            return ages.new_zeros(len(ages), self.ages.shape[1])
        width = len(self.no_memory) if self._model.proj_tpos_enc_in_obj_ptrs else self.ages.shape[1]
        marks: Tensor = self._model.obj_ptr_tpos_proj(time_code(ages, width))
        return marks

    def _places(self, encoding: Any) -> Tensor:
        """A module's place code of the coarsest map, (h * h, channels)."""
        cells = self._model.sam_image_embedding_size
        places: Tensor = encoding(torch.empty(1, 1, cells, cells, device=self.device))
        return places[0].flatten(1).T


def load(checkpoint: Checkpoint, options: Sam2Options) -> Any:
    """The `SAM2Base` of a checkpoint (Any: the package is untyped), in float32 on the CPU.

    Raises:
        WeightsError: The checkpoint cannot be read, is not of SAM 2, or does not go with the configuration.
    """
    meta = in_form(read_any(checkpoint.path), "meta", checkpoint.about)
    config = options.config
    if config is None:
        published = recognise({name: tuple(tensor.shape) for name, tensor in meta.items()})
        if published is None:
            raise WeightsError(
                f"weights: {checkpoint.about} has none of the published sizes of SAM 2 and 2.1, and its shapes do not tell how it "
                "computes; say so with segmenter.config, and segmenter.hydra_overrides."
            )
        config = published.meta_config
    model = build(config, options.hydra_overrides)
    switched_off = [name for name in _ALWAYS if not getattr(model, name, False)]
    if switched_off:
        raise WeightsError(f"config {config} switches {switched_off[0]} off, which SAM 2 and 2.1 need for video; leave it on.")
    for name, usual in _FIXED.items():
        if getattr(model, name) != usual:
            raise WeightsError(
                f"config {config} sets {name} to {getattr(model, name)}, which is not followed here; wanted {usual}, as in all that are "
                "published. Leave it out."
            )
    check_fit(meta, {name: tensor.shape for name, tensor in model.state_dict().items()}, checkpoint.about, f"config {config}")
    model.load_state_dict(meta)
    return model
