"""A tiny SmolVLM2 with random weights: what tests need, and whoever wants to see this run at once.

python tests/tiny_smolvlm.py FOLDER
"""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)
from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

TILE, PATCH, SCALE, TILES = 32, 4, 2, 4  # 4 x 4 tokens of a tile, up to 4 x 4 tiles
NAMED = {
    "image_token": "<image>",
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
}
PLACES = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
WORDS = ["the red circle on the left, what is it?", "Frame from 00:01: a single word."]


def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes, a few words, and the tokens that stand around tiles."""
    tokens = Tokenizer(models.BPE())
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|im_start|>", "<|im_end|>", *NAMED.values(), *PLACES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokens.train_from_iterator(WORDS, trainer)
    ends = {"eos_token": "<end_of_utterance>", "pad_token": "<|im_end|>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokens, extra_special_tokens=NAMED, **ends)


def model(words: PreTrainedTokenizerFast) -> SmolVLMForConditionalGeneration:
    """The real architecture, with weights large enough for attention to be far from uniform."""
    heads = {"num_attention_heads": 4, "num_hidden_layers": 4}
    ids = {"eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    text = {**heads, "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, **ids}
    text |= {"num_key_value_heads": 2, "vocab_size": len(words), "max_position_embeddings": 4096}
    vision = {**heads, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    vision |= {"image_size": TILE, "patch_size": PATCH}
    image = words.convert_tokens_to_ids(NAMED["image_token"])
    config = SmolVLMConfig(
        text_config=text,
        vision_config=vision,
        scale_factor=SCALE,
        image_token_id=image,
        pad_token_id=words.pad_token_id,
    )
    made = SmolVLMForConditionalGeneration(config).eval()
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if weight.ndim > 1:
                gain = (
                    2.0 if "text_model" in name and ("q_proj" in name or "k_proj" in name) else 1.0
                )
                scale = gain / weight[0].numel() ** 0.5 if "embed_tokens" not in name else 1.0
                weight.copy_(torch.randn(weight.shape, generator=draw) * scale)
    return made


def build(folder: Path) -> Path:
    """Write the whole checkpoint: weights, tokenizer, chat template, processor."""
    words = tokenizer()
    sizes = {"size": {"longest_edge": TILES * TILE}, "max_image_size": {"longest_edge": TILE}}
    processor = SmolVLMProcessor(
        SmolVLMImageProcessor(**sizes),
        words,
        SmolVLMVideoProcessor(**sizes),
        image_seq_len=(TILE // PATCH // SCALE) ** 2,
        chat_template=DEFAULT_CHAT_TEMPLATE,
    )
    model(words).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    build(Path(sys.argv[1]))
