"""A tiny InternVL3 of the real classes: tiles of 32 px with 4 x 4 visual tokens, and the chat template of the "-hf" checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_checkpoints import save, tiny_text, tiny_tokenizer
from transformers import (
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    PreTrainedTokenizerFast,
)

TOKENS = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}<IMG_CONTEXT>\n"
    "{% elif content['type'] == 'video' %}<video>\n"
    "{% else %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TILE, PATCH = 32, 4


def tiny_config(tokenizer: PreTrainedTokenizerFast) -> InternVLConfig:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 100.0}  # as the checkpoints have it
    vision: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": [TILE, TILE],
        "patch_size": [PATCH, PATCH],
        "attention_bias": True,
    }
    return InternVLConfig(
        text_config=tiny_text(tokenizer, model_type="qwen2", rope_parameters=rope),
        vision_config=vision,
        image_token_id=tokenizer.convert_tokens_to_ids(TOKENS["context_image_token"]),
        image_seq_length=(TILE // PATCH // 2) ** 2,
        tie_word_embeddings=False,
    )


def build_checkpoint(folder: Path) -> Path:
    tokenizer = tiny_tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>", *TOKENS.values()], extra_special_tokens=TOKENS)
    config = tiny_config(tokenizer)
    model = InternVLForConditionalGeneration(config)
    pixels = {"size": {"height": TILE, "width": TILE}, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    processor = InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(**pixels),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(**pixels),
        image_seq_length=config.image_seq_length,
        chat_template=TEMPLATE,
    )
    return save(folder, model, processor)
