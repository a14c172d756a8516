"""A tiny SAM 2 of transformers' real class, with random weights that are all at work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import Sam2VideoConfig, Sam2VideoMaskDecoderConfig, Sam2VideoModel

SIDE = 64  # px
PRESENT = 5.0  # bias of the head that judges whether the object is there: random ones would mostly say no
EMBEDDING = 128


def tiny_config(side: int = SIDE, newer: bool = True) -> Sam2VideoConfig:
    """The smallest one that transformers 5.17 can compute with.

    Args:
        side: Pixels of the square input, a multiple of 32.
        newer: SAM 2.1 instead of 2.0.
    """
    cells = side // 16
    backbone: dict[str, Any] = {
        "hidden_size": 16,
        "embed_dim_per_stage": [16, 32, 64, 128],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "blocks_per_stage": [1, 1, 2, 1],
        "global_attention_blocks": [3],
        "image_size": [side, side],
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": [128, 64, 32, 16],
        "backbone_feature_sizes": [[4 * cells] * 2, [2 * cells] * 2, [cells] * 2],
        "fpn_hidden_size": EMBEDDING,
    }
    decoder = Sam2VideoMaskDecoderConfig(hidden_size=EMBEDDING)  # given as a dict, transformers 5.17 takes another class for it
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": EMBEDDING, "image_size": side},
        mask_decoder_config=decoder,
        image_size=side,
        memory_attention_hidden_size=EMBEDDING,
        memory_attention_feed_forward_hidden_size=256,
        memory_attention_num_layers=2,
        memory_attention_rope_feat_sizes=[cells, cells],
        memory_encoder_hidden_size=EMBEDDING,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=EMBEDDING,
        memory_fuser_embed_dim=EMBEDDING,
        memory_fuser_intermediate_dim=256,
        enable_occlusion_spatial_embedding=newer,
        enable_temporal_pos_encoding_for_object_pointers=newer,
    )


def tiny_model(side: int = SIDE, newer: bool = True, seed: int = 0) -> Sam2VideoModel:
    """The model; what transformers starts at zero is random too, or a wrong use of it would not show."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Sam2VideoModel(tiny_config(side, newer)).eval()
        with torch.no_grad():
            for name, values in model.named_parameters():
                if values.ndim < 2:
                    values.add_(torch.randn_like(values) * 0.05)
                else:
                    values.copy_(torch.randn_like(values) * (values[0].numel() ** -0.5 if "embed" not in name else 0.3))
            model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(PRESENT)
            twin = model.prompt_encoder.shared_embedding.positional_embedding
            twin.copy_(torch.randn_like(twin))
            model.shared_image_embedding.positional_embedding.copy_(twin)
    return model


def build_folder(folder: Path, side: int = SIDE, newer: bool = True, seed: int = 0) -> Path:
    """Save one in a folder; returns the folder."""
    tiny_model(side, newer, seed).save_pretrained(folder)
    return folder
