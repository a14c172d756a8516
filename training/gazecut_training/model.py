"""The pocket model and its processor: the stock Qwen2.5-VL classes at toy size."""

from pathlib import Path
from typing import Final

import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
)
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

from gazecut_training.tokenizer import (
    CHAT_TEMPLATE,
    CONTEXT,
    END,
    IMAGE_PAD,
    PAD,
    SPECIALS,
    VIDEO_PAD,
    VISION_END,
    VISION_START,
)

WIDTH: Final = 128  # of the language model
VISION_WIDTH: Final = 96  # of the vision tower
HEADS: Final = 4  # of both
ROPE: Final = {"rope_type": "default", "rope_theta": 30.0, "mrope_section": [4, 6, 6]}
"""The stock base of a million would hardly turn any feature over the 8 to 16 cells of an axis."""
DEVIATION: Final = 0.06  # of random weights; the stock 0.02 is meant for widths in the thousands
PATCH: Final = 8  # px
MERGE: Final = 2  # patches per token and axis
WINDOW: Final = 64  # px
FRAMES_PER_SLOT: Final = 2  # of a clip; the processor doubles an image
FRAMES: Final = 8  # of a clip
TOKENS_PER_SECOND: Final = 2
FRAME_SIZE: Final = 256  # px, 16 x 16 tokens
VIDEO_SIZE: Final = 128  # px, 8 x 8 tokens


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int, layers: int = 6, depth: int = 3) -> Qwen2_5_VLForConditionalGeneration:
    """Build the model with random weights.

    Args:
        tokenizer: Gives the vocabulary size and the special tokens.
        seed: Seed of the weights.
        layers: Layers of the language model.
        depth: Blocks of the vision tower.
    """
    ids = {token: tokenizer.get_vocab()[token] for token in SPECIALS}
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": WIDTH,
            "intermediate_size": 3 * WIDTH,
            "num_hidden_layers": layers,
            "num_attention_heads": HEADS,
            "num_key_value_heads": HEADS,
            "max_position_embeddings": CONTEXT,
            "initializer_range": DEVIATION,
            "rms_norm_eps": 1e-6,
            "rope_parameters": dict(ROPE),
            "bos_token_id": ids[PAD],
            "eos_token_id": ids[END],
            "pad_token_id": ids[PAD],
        },
        vision_config={
            "depth": depth,
            "hidden_size": VISION_WIDTH,
            "intermediate_size": 3 * VISION_WIDTH,
            "num_heads": HEADS,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": FRAMES_PER_SLOT,
            "tokens_per_second": TOKENS_PER_SECOND,
            "window_size": WINDOW,
            "out_hidden_size": WIDTH,
            "fullatt_block_indexes": (),
            "initializer_range": DEVIATION,
        },
        image_token_id=ids[IMAGE_PAD],
        video_token_id=ids[VIDEO_PAD],
        vision_start_token_id=ids[VISION_START],
        vision_end_token_id=ids[VISION_END],
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config)  # type: ignore[no-untyped-call]
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False, eos_token_id=ids[END], pad_token_id=ids[PAD], bos_token_id=ids[PAD], max_new_tokens=64
    )
    return model


def build_processor(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLProcessor:
    """Build the processor; its default sizes are 256 px for images and 128 px for videos."""
    common = {"patch_size": PATCH, "merge_size": MERGE, "temporal_patch_size": FRAMES_PER_SLOT}
    return Qwen2_5_VLProcessor(  # type: ignore[no-untyped-call]
        image_processor=Qwen2VLImageProcessor(size={"shortest_edge": FRAME_SIZE**2, "longest_edge": FRAME_SIZE**2}, **common),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(
            size={"shortest_edge": VIDEO_SIZE**2, "longest_edge": FRAMES * VIDEO_SIZE**2}, cap_pixels_per_frame=False, **common
        ),
        chat_template=CHAT_TEMPLATE,
    )


def export(model: Qwen2_5_VLForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a checkpoint folder that AutoProcessor and AutoModelForImageTextToText load offline."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    build_processor(tokenizer).save_pretrained(folder)
