"""Tiny checkpoints of the real classes, built offline, with attention sharp enough for a mistake to show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
CORPUS = ["You are a helpful assistant.", "the red circle on the left, what is it? a single word.", "describe the background of the video"]
TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PATCH = 8


def tiny_tokenizer(special: Sequence[str] = SPECIAL, **named: Any) -> PreTrainedTokenizerFast:
    """Bytes and a few words; special tokens come first, those with a name of their own are `named` too."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=list(special), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", **named)


def tiny_text(tokenizer: PreTrainedTokenizerFast, **given: Any) -> dict[str, Any]:
    """A language model of 4 layers, 4 query heads on 2 key heads; `given` is what a family has besides."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **given,
    }


def save(folder: Path, model: Any, processor: Any) -> Path:
    """Write a checkpoint: sharp weights, and a generation config that samples, as those of the families do."""
    tokenizer = processor.tokenizer
    sharpen(model.eval(), seed=7)
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=0.1,
        top_p=0.001,
        top_k=1,
        repetition_penalty=1.05,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id],
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def sharpen(model: torch.nn.Module, seed: int) -> None:
    """Random weights whose attention is far from uniform and whose answers differ from prompt to prompt."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                gain = 2.0 if "language_model" in name and ("q_proj" in name or "k_proj" in name) else 1.0
                weight.copy_(torch.randn(weight.shape, generator=generator) * gain / weight.shape[-1] ** 0.5)
                if "embed_tokens" in name:
                    weight.mul_(weight.shape[-1] ** 0.5)
            elif "q_norm" in name:
                weight.fill_(3.0)
            elif "bias" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)


def tiny_config(family: str, tokenizer: PreTrainedTokenizerFast) -> Any:
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("image_pad", "video_pad", "vision_start", "vision_end")}
    rope = {"rope_type": "default", "rope_theta": 100.0, "mrope_section": [2, 3, 3]}
    text = tiny_text(tokenizer, rope_parameters=rope)
    shared: dict[str, Any] = {"patch_size": PATCH, "temporal_patch_size": 2, "spatial_merge_size": 2, "depth": 2}
    tokens = {
        "image_token_id": ids["image_pad"],
        "video_token_id": ids["video_pad"],
        "vision_start_token_id": ids["vision_start"],
        "vision_end_token_id": ids["vision_end"],
    }
    if family == "qwen2-vl":
        vision = {**shared, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2}
        return Qwen2VLConfig(text_config=text, vision_config=vision, **tokens)
    if family == "qwen3-vl":
        text["rope_parameters"] = {**rope, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
        vision = {**shared, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 64, "depth": 3}
        vision |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
        return Qwen3VLConfig(text_config={**text, "head_dim": 16}, vision_config=vision, **tokens)
    vision = {**shared, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 64, "window_size": 32}
    return Qwen2_5_VLConfig(text_config=text, vision_config={**vision, "fullatt_block_indexes": [1], "tokens_per_second": 2}, **tokens)


CLASSES = {
    "qwen2-vl": (Qwen2VLForConditionalGeneration, Qwen2VLProcessor, Qwen2VLVideoProcessor),
    "qwen2.5-vl": (Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor, Qwen2VLVideoProcessor),
    "qwen3-vl": (Qwen3VLForConditionalGeneration, Qwen3VLProcessor, Qwen3VLVideoProcessor),
}


def build_checkpoint(folder: Path, family: str) -> Path:
    tokenizer = tiny_tokenizer()
    model_class, processor_class, video_class = CLASSES[family]
    pixels = {"size": {"shortest_edge": 4 * 256, "longest_edge": 10**7}, "patch_size": PATCH, "merge_size": 2, "temporal_patch_size": 2}
    processor = processor_class(
        image_processor=Qwen2VLImageProcessor(**pixels),
        tokenizer=tokenizer,
        video_processor=video_class(**pixels, cap_pixels_per_frame=False),
        chat_template=TEMPLATE,
    )
    return save(folder, model_class(tiny_config(family, tokenizer)), processor)
