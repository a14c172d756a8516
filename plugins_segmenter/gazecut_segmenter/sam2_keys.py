"""What tensors of SAM 2 are called: in Meta's checkpoints, and in those of transformers.

A table of names, read both ways. It holds for SAM 2 and 2.1 of any size, and says nothing about two places where tensors are kept
otherwise: the point embeddings and the second copy of the position code, see `sam2_convert`.
"""

from __future__ import annotations

import re
from functools import cache

# Meta's name, and the one of transformers. "*" is any one part, "#" a number, "@" is q, k or v.
_TABLE = """
image_encoder.trunk.pos_embed                                      vision_encoder.backbone.pos_embed
image_encoder.trunk.pos_embed_window                               vision_encoder.backbone.pos_embed_window
image_encoder.trunk.patch_embed.proj.*                             vision_encoder.backbone.patch_embed.projection.*
image_encoder.trunk.blocks.*.attn.*.*                              vision_encoder.backbone.blocks.*.attn.*.*
image_encoder.trunk.blocks.*.proj.*                                vision_encoder.backbone.blocks.*.proj.*
image_encoder.trunk.blocks.*.norm#.*                               vision_encoder.backbone.blocks.*.layer_norm#.*
image_encoder.neck.convs.*.conv.*                                  vision_encoder.neck.convs.*.*
memory_attention.norm.*                                            memory_attention.layer_norm.*
memory_attention.layers.*.norm#.*                                  memory_attention.layers.*.layer_norm#.*
memory_attention.layers.*.linear#.*                                memory_attention.layers.*.linear#.*
memory_attention.layers.*.*.@_proj.*                               memory_attention.layers.*.*.@_proj.*
memory_attention.layers.*.*.out_proj.*                             memory_attention.layers.*.*.o_proj.*
memory_encoder.pix_feat_proj.*                                     memory_encoder.feature_projection.*
memory_encoder.out_proj.*                                          memory_encoder.projection.*
memory_encoder.mask_downsampler.encoder.12.*                       memory_encoder.mask_downsampler.final_conv.*
memory_encoder.fuser.layers.*.gamma                                memory_encoder.memory_fuser.layers.*.scale
memory_encoder.fuser.layers.*.norm.*                               memory_encoder.memory_fuser.layers.*.layer_norm.*
memory_encoder.fuser.layers.*.dwconv.*                             memory_encoder.memory_fuser.layers.*.depthwise_conv.*
memory_encoder.fuser.layers.*.pwconv#.*                            memory_encoder.memory_fuser.layers.*.pointwise_conv#.*
maskmem_tpos_enc                                                   memory_temporal_positional_encoding
no_mem_embed                                                       no_memory_embedding
no_mem_pos_enc                                                     no_memory_positional_encoding
no_obj_ptr                                                         no_object_pointer
no_obj_embed_spatial                                               occlusion_spatial_embedding_parameter
obj_ptr_tpos_proj.*                                                temporal_positional_encoding_projection_layer.*
mask_downsample.*                                                  mask_downsample.*
sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix    prompt_encoder.shared_embedding.positional_embedding
sam_prompt_encoder.not_a_point_embed.weight                        prompt_encoder.not_a_point_embed.weight
sam_prompt_encoder.no_mask_embed.weight                            prompt_encoder.no_mask_embed.weight
sam_prompt_encoder.mask_downscaling.0.*                            prompt_encoder.mask_embed.conv1.*
sam_prompt_encoder.mask_downscaling.1.*                            prompt_encoder.mask_embed.layer_norm1.*
sam_prompt_encoder.mask_downscaling.3.*                            prompt_encoder.mask_embed.conv2.*
sam_prompt_encoder.mask_downscaling.4.*                            prompt_encoder.mask_embed.layer_norm2.*
sam_prompt_encoder.mask_downscaling.6.*                            prompt_encoder.mask_embed.conv3.*
sam_mask_decoder.conv_s0.*                                         mask_decoder.conv_s0.*
sam_mask_decoder.conv_s1.*                                         mask_decoder.conv_s1.*
sam_mask_decoder.iou_token.weight                                  mask_decoder.iou_token.weight
sam_mask_decoder.mask_tokens.weight                                mask_decoder.mask_tokens.weight
sam_mask_decoder.obj_score_token.weight                            mask_decoder.obj_score_token.weight
sam_mask_decoder.output_upscaling.0.*                              mask_decoder.upscale_conv1.*
sam_mask_decoder.output_upscaling.1.*                              mask_decoder.upscale_layer_norm.*
sam_mask_decoder.output_upscaling.3.*                              mask_decoder.upscale_conv2.*
sam_mask_decoder.transformer.norm_final_attn.*                     mask_decoder.transformer.layer_norm_final_attn.*
sam_mask_decoder.transformer.final_attn_token_to_image.@_proj.*    mask_decoder.transformer.final_attn_token_to_image.@_proj.*
sam_mask_decoder.transformer.final_attn_token_to_image.out_proj.*  mask_decoder.transformer.final_attn_token_to_image.o_proj.*
sam_mask_decoder.transformer.layers.*.norm#.*                      mask_decoder.transformer.layers.*.layer_norm#.*
sam_mask_decoder.transformer.layers.*.*.@_proj.*                   mask_decoder.transformer.layers.*.*.@_proj.*
sam_mask_decoder.transformer.layers.*.*.out_proj.*                 mask_decoder.transformer.layers.*.*.o_proj.*
"""

_MLPS = (
    ("image_encoder.trunk.blocks.*.mlp", "vision_encoder.backbone.blocks.*.mlp", 2),
    ("sam_mask_decoder.transformer.layers.*.mlp", "mask_decoder.transformer.layers.*.mlp", 2),
    ("sam_mask_decoder.iou_prediction_head", "mask_decoder.iou_prediction_head", 3),
    ("sam_mask_decoder.pred_obj_score_head", "mask_decoder.pred_obj_score_head", 3),
    ("sam_mask_decoder.output_hypernetworks_mlps.*", "mask_decoder.output_hypernetworks_mlps.*", 3),
    ("obj_ptr_proj", "object_pointer_proj", 3),
)
"""Stacks of linear layers: both names, and how many layers. Meta counts them, transformers names the first and the last."""

_DOWNSAMPLING = 4  # steps of the mask downsampler; Meta counts convolution, normalisation and activation of each


def to_transformers(name: str) -> str | None:
    """The name that transformers gives to a tensor of Meta's checkpoints; None where it has no such tensor."""
    return _renamed(name, 0)


def to_meta(name: str) -> str | None:
    """The name that Meta's checkpoints give to a tensor of transformers; None where they have no such tensor."""
    return _renamed(name, 1)


def _renamed(name: str, side: int) -> str | None:
    for pattern, template in _rules(side):
        if match := pattern.fullmatch(name):
            return template.format(*match.groups())
    return None


@cache
def _rules(side: int) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Patterns of one side's names, each with the other side's name as a template."""
    return tuple((_pattern(pair[side]), re.sub(r"[*#@]", "{}", pair[1 - side])) for pair in _pairs())


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name).replace(r"\*", r"([^.]+)").replace(r"\#", r"(\d+)").replace("@", "([qkv])"))


def _pairs() -> list[tuple[str, str]]:
    pairs = [(meta, ours) for meta, ours in (line.split() for line in _TABLE.split("\n") if line)]
    for meta, ours, depth in _MLPS:
        pairs += [(f"{meta}.layers.{index}.*", f"{ours}.{_layer(index, depth)}.*") for index in range(depth)]
    meta, ours = "memory_encoder.mask_downsampler.encoder", "memory_encoder.mask_downsampler.layers"
    for step in range(_DOWNSAMPLING):
        pairs += [(f"{meta}.{3 * step}.*", f"{ours}.{step}.conv.*"), (f"{meta}.{3 * step + 1}.*", f"{ours}.{step}.layer_norm.*")]
    return pairs


def _layer(index: int, depth: int) -> str:
    return "proj_in" if index == 0 else "proj_out" if index == depth - 1 else f"layers.{index - 1}"
