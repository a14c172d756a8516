"""A tiny SAM 2 with random weights, in both forms; large enough for all that a published one has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

SIDE = 128  # px
WIDTH = 16
CHANNELS = 128  # the fewest that transformers can do
BLOCKS, GLOBAL_BLOCKS, WINDOWS = [1, 1, 2, 1], [3], [8, 4, 8, 4]

GAIN = 0.75  # of each layer; near 1, a memory's last bit, which is rounded away, moves logits by 1e-4 and more
PRESENCE = 0.75  # bias of the judgement whether an object is there: it is on most frames, not on all

CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"
CONFIG_OF_2_0 = "configs/sam2/sam2_hiera_t.yaml"
OVERRIDES = (
    f"++model.image_size={SIDE}",
    f"++model.image_encoder.trunk.embed_dim={WIDTH}",
    f"++model.image_encoder.trunk.stages={BLOCKS}",
    f"++model.image_encoder.trunk.global_att_blocks={GLOBAL_BLOCKS}",
    f"++model.image_encoder.trunk.window_spec={WINDOWS}",
    f"++model.image_encoder.neck.d_model={CHANNELS}",
    f"++model.image_encoder.neck.position_encoding.num_pos_feats={CHANNELS}",
    f"++model.image_encoder.neck.backbone_channel_list={[WIDTH << stage for stage in (3, 2, 1, 0)]}",
    f"++model.memory_attention.d_model={CHANNELS}",
    f"++model.memory_attention.layer.d_model={CHANNELS}",
    "++model.memory_attention.layer.dim_feedforward=256",
    "++model.memory_attention.num_layers=2",
    f"++model.memory_attention.layer.self_attention.embedding_dim={CHANNELS}",
    f"++model.memory_attention.layer.cross_attention.embedding_dim={CHANNELS}",
    f"++model.memory_attention.layer.self_attention.feat_sizes={[SIDE // 16] * 2}",
    f"++model.memory_attention.layer.cross_attention.feat_sizes={[SIDE // 16] * 2}",
    f"++model.memory_encoder.in_dim={CHANNELS}",
    f"++model.memory_encoder.mask_downsampler.embed_dim={CHANNELS}",
    f"++model.memory_encoder.fuser.layer.dim={CHANNELS}",
)


@dataclass(frozen=True)
class TinySam2:
    """One model twice.

    Attributes:
        folder: As transformers writes it.
        file: Meta's names, in .safetensors.
        config: Of package sam2, for the file.
        overrides: Changes of that configuration.
    """

    folder: Path
    file: Path
    config: str
    overrides: tuple[str, ...]


def build_tiny_sam2(root: Path, generation: str = "2.1") -> TinySam2:
    """Write the model below a folder; `generation` is "2" or "2.1"."""
    from transformers import Sam2VideoModel

    from gazecut_segmenter.sam2_convert import convert

    folder, file = root / "tiny", root / "tiny.safetensors"
    model = Sam2VideoModel(_config(newer=generation != "2"))
    _randomise(model)
    model.save_pretrained(folder)
    convert(folder, file)
    return TinySam2(folder, file, CONFIG if generation != "2" else CONFIG_OF_2_0, OVERRIDES)


def _config(newer: bool) -> object:
    from transformers import Sam2VideoConfig
    from transformers.models.sam2_video.configuration_sam2_video import Sam2VideoMaskDecoderConfig

    widths = [WIDTH << stage for stage in range(4)]
    backbone = {
        "hidden_size": WIDTH,
        "image_size": [SIDE, SIDE],
        "embed_dim_per_stage": widths,
        "blocks_per_stage": BLOCKS,
        "global_attention_blocks": GLOBAL_BLOCKS,
        "window_size_per_stage": WINDOWS,
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": widths[::-1],
        "backbone_feature_sizes": [[SIDE // stride] * 2 for stride in (4, 8, 16)],
        "fpn_hidden_size": CHANNELS,
    }
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": CHANNELS, "image_size": SIDE},
        mask_decoder_config=Sam2VideoMaskDecoderConfig(hidden_size=CHANNELS),
        image_size=SIDE,
        enable_temporal_pos_encoding_for_object_pointers=newer,
        enable_occlusion_spatial_embedding=newer,
        memory_attention_hidden_size=CHANNELS,
        memory_attention_num_layers=2,
        memory_attention_feed_forward_hidden_size=256,
        memory_attention_rope_feat_sizes=[SIDE // 16] * 2,
        memory_encoder_hidden_size=CHANNELS,
        mask_downsampler_embed_dim=CHANNELS,
        memory_fuser_embed_dim=CHANNELS,
        memory_fuser_intermediate_dim=4 * CHANNELS,
    )


def _randomise(model: torch.nn.Module) -> None:
    """Weights that let signals through; with those of a new model they fade to nothing."""
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            noise = torch.randn(tensor.shape, generator=random)
            norm = "norm" in name and name.endswith("weight")
            fan_in = tensor[0].numel() if tensor.dim() > 1 else 1
            tensor.copy_(1 + 0.1 * noise if norm else GAIN * noise / fan_in**0.5 if tensor.dim() > 1 else 0.2 * noise)
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(PRESENCE)
        model.shared_image_embedding.positional_embedding.copy_(model.prompt_encoder.shared_embedding.positional_embedding)
