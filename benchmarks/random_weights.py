"""Checkpoints of real shapes with random weights: what a model costs does not depend on what it learnt.

The language model has its whole vocabulary; the tokenizer, which cannot be made up, is learnt on a page of prompts and cuts text about as
finely. Rows of the vocabulary beyond the tokenizer's are zero, so that answers can be worded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from tiny_qwen import learnt
from transformers import (
    AutoModelForImageTextToText,
    GenerationConfig,
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLProcessor,
    InternVLVideoProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

TURNS = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}IMAGE{% elif content['type'] == 'video' %}VIDEO{% else %}{{ content['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN_TOKENS = {name: f"<|{name}|>" for name in ("vision_start", "vision_end", "image_pad", "video_pad")}
INTERNVL_TOKENS = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
LANGUAGE_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
}
LANGUAGE_TINY = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2}


def qwen2_5_vl(tokenizer: PreTrainedTokenizerFast, tiny: bool) -> tuple[Any, Any]:
    """Config and processor of Qwen2.5-VL-7B, or of a tiny one."""
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in QWEN_TOKENS.items()}
    sections = [2, 3, 3] if tiny else [16, 24, 24]
    text = {
        **(LANGUAGE_TINY if tiny else LANGUAGE_7B),
        "vocab_size": len(tokenizer) if tiny else 152064,
        "max_position_embeddings": 128000,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": sections},
    }
    large = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "window_size": 112}
    small = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "window_size": 56}
    blocks = [1] if tiny else [7, 15, 23, 31]
    vision = {**(small if tiny else large), "out_hidden_size": text["hidden_size"], "fullatt_block_indexes": blocks, "tokens_per_second": 2}
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
    )
    pixels = {"size": {"shortest_edge": 4 * 784, "longest_edge": 16384 * 784}, "patch_size": 14, "merge_size": 2, "temporal_patch_size": 2}
    around = "<|vision_start|><|{}_pad|><|vision_end|>"
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**pixels),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**pixels, cap_pixels_per_frame=False),
        chat_template=TURNS.replace("IMAGE", around.format("image")).replace("VIDEO", around.format("video")),
    )
    return config, processor


def internvl3(tokenizer: PreTrainedTokenizerFast, tiny: bool) -> tuple[Any, Any]:
    """Config and processor of InternVL3-8B, or of a tiny one with 4 x 4 visual tokens in a tile."""
    side = 112 if tiny else 448
    text = {
        **(LANGUAGE_TINY if tiny else LANGUAGE_7B),
        "model_type": "qwen2",
        "vocab_size": len(tokenizer) if tiny else 151674,
        "max_position_embeddings": 32768,
        "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e6},
    }
    large = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**(small if tiny else large), "image_size": [side, side], "patch_size": [14, 14], "attention_bias": True}
    config = InternVLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=tokenizer.convert_tokens_to_ids(INTERNVL_TOKENS["context_image_token"]),
        image_seq_length=(side // 28) ** 2,
        tie_word_embeddings=False,
    )
    pixels = {"size": {"height": side, "width": side}, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    processor = InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(**pixels),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(**pixels),
        image_seq_length=config.image_seq_length,
        chat_template=TURNS.replace("IMAGE", "<IMG_CONTEXT>\n").replace("VIDEO", "<video>\n"),
    )
    return config, processor


Shape = tuple[Callable[[PreTrainedTokenizerFast, bool], tuple[Any, Any]], dict[str, str]]
SHAPES: dict[str, Shape] = {"qwen2.5-vl-7b": (qwen2_5_vl, QWEN_TOKENS), "internvl3-8b": (internvl3, INTERNVL_TOKENS)}
"""What is made for the end of a recipe's name, and its special tokens."""


def save_random(folder: Path, name: str, texts: Iterable[str], new_tokens: int, device: torch.device, tiny: bool = False) -> int:
    """Write a checkpoint.

    Args:
        folder: Where to; 17 GB for those of 7 and 8 billion parameters.
        name: One of `SHAPES`.
        texts: What the tokenizer learns its words from.
        new_tokens: Length of every answer, no more and no fewer.
        device: Where the weights are drawn; bfloat16 on a CUDA device, float32 elsewhere.
        tiny: A model of seconds instead, with the same patches.

    Returns:
        Number of parameters.
    """
    build, special = SHAPES[name]
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *special.values()]
    extra = special if build is internvl3 else {}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=learnt(texts, names), eos_token="<|im_end|>", pad_token="<|endoftext|>", extra_special_tokens=extra
    )
    config, processor = build(tokenizer, tiny)
    ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    for part in (config, config.text_config):
        part.update(ends)
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16 if device.type == "cuda" else torch.float32)
    with torch.no_grad():
        model.get_output_embeddings().weight[len(tokenizer) :] = 0
    model.generation_config = GenerationConfig(
        min_new_tokens=new_tokens, max_new_tokens=new_tokens, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return int(model.num_parameters())
