"""A tiny LLaVA-OneVision of the real classes: tiles of 30 px with 7 x 7 features, whose last 2 px no patch covers, as the last 6 of 384."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_checkpoints import save, tiny_text, tiny_tokenizer
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    PreTrainedTokenizerFast,
)

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")
# Like that of the checkpoints: what is seen first, then the text, on a line of its own.
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }} "
    "{% for kind in ['image', 'video'] %}"
    "{% for content in message['content'] %}{% if content['type'] == kind %}<{{ kind }}>{% endif %}{% endfor %}"
    "{% endfor %}"
    "{% for content in message['content'] %}{% if content['type'] == 'text' %}{{ '\n' + content['text'] }}{% endif %}{% endfor %}"
    "<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TILE, PATCH = 30, 4
SIDE = TILE // PATCH
PINPOINTS = [[TILE * down, TILE * across] for down in range(1, 7) for across in range(1, 7)]


def tiny_config(tokenizer: PreTrainedTokenizerFast) -> LlavaOnevisionConfig:
    rope = {"rope_type": "default", "rope_theta": 100.0}
    vision: dict[str, Any] = {
        "model_type": "siglip_vision_model",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": TILE,
        "patch_size": PATCH,
        "vision_use_head": False,
    }
    return LlavaOnevisionConfig(
        text_config=tiny_text(tokenizer, model_type="qwen2", rope_parameters=rope),
        vision_config=vision,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=PINPOINTS,
        tie_word_embeddings=False,
    )


def build_checkpoint(folder: Path) -> Path:
    tokenizer = tiny_tokenizer(SPECIAL)
    model = LlavaOnevisionForConditionalGeneration(tiny_config(tokenizer))
    size = {"height": TILE, "width": TILE}
    processor = LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=PINPOINTS),
        tokenizer=tokenizer,
        video_processor=LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=SIDE**2,
        vision_feature_select_strategy="full",
        chat_template=TEMPLATE,
    )
    return save(folder, model, processor)
