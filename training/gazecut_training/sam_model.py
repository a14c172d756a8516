"""The pocket SAM 2: the stock `Sam2VideoModel` at toy size."""

from pathlib import Path
from typing import Final

import torch
from torch import nn
from transformers import Sam2VideoConfig, Sam2VideoModel
from transformers.models.sam2_video.configuration_sam2_video import Sam2VideoMaskDecoderConfig

WIDTH: Final = 16  # of the first stage of the vision encoder
BLOCKS: Final = (1, 1, 2, 1)
GLOBAL_BLOCKS: Final = (3,)
WINDOWS: Final = (8, 4, 12, 6)  # tokens; at 192 px the last two stages see whole windows of 12 and 6
CHANNELS: Final = 128  # the fewest that transformers can do
LAYERS: Final = 2  # of memory attention
SMALL: Final = 0.02  # deviation of what transformers starts at zero
FUSER_SCALE: Final = 0.1
STARTED_AT_ZERO: Final = (
    "no_memory_embedding",
    "no_object_pointer",
    "memory_temporal_positional_encoding",
    "occlusion_spatial_embedding_parameter",
    "pos_embed",
    "pos_embed_window",
)


def build_sam(seed: int, side: int) -> Sam2VideoModel:
    """Build the model with random weights, in training mode.

    Args:
        seed: Seed of the weights.
        side: Pixels of its square input, a multiple of 64.
    """
    torch.manual_seed(seed)
    model = Sam2VideoModel(sam_config(side))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.rpartition(".")[2] in STARTED_AT_ZERO:
                nn.init.trunc_normal_(parameter, std=SMALL)
            if "memory_fuser" in name and name.endswith(".scale"):
                parameter.fill_(FUSER_SCALE)
        # Two buffers that a published checkpoint holds the same numbers in; transformers draws each for itself.
        model.shared_image_embedding.positional_embedding.copy_(model.prompt_encoder.shared_embedding.positional_embedding)
    model.train()
    return model


def sam_config(side: int) -> Sam2VideoConfig:
    """The configuration for square inputs of so many pixels."""
    widths = [WIDTH << stage for stage in range(len(BLOCKS))]
    backbone = {
        "hidden_size": WIDTH,
        "image_size": [side, side],
        "embed_dim_per_stage": widths,
        "blocks_per_stage": list(BLOCKS),
        "global_attention_blocks": list(GLOBAL_BLOCKS),
        "window_size_per_stage": list(WINDOWS),
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": widths[::-1],
        "backbone_feature_sizes": [[side // stride] * 2 for stride in (4, 8, 16)],
        "fpn_hidden_size": CHANNELS,
    }
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": CHANNELS, "image_size": side},
        mask_decoder_config=Sam2VideoMaskDecoderConfig(hidden_size=CHANNELS, mlp_dim=4 * CHANNELS, iou_head_hidden_dim=CHANNELS),
        image_size=side,
        enable_temporal_pos_encoding_for_object_pointers=True,
        enable_occlusion_spatial_embedding=True,
        memory_attention_hidden_size=CHANNELS,
        memory_attention_num_layers=LAYERS,
        memory_attention_feed_forward_hidden_size=2 * CHANNELS,
        memory_attention_rope_feat_sizes=[side // 16] * 2,
        memory_attention_dropout=0.0,
        memory_attention_rope_dropout=0.0,
        memory_encoder_hidden_size=CHANNELS,
        mask_downsampler_embed_dim=CHANNELS,
        memory_fuser_embed_dim=CHANNELS,
        memory_fuser_intermediate_dim=4 * CHANNELS,
        architectures=["Sam2VideoModel"],
    )


def export_sam(model: Sam2VideoModel, folder: Path) -> None:
    """Write a checkpoint folder that segmenter `sam2-hf` loads."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
