"""A random Qwen2.5-VL of the pocket model's size whose tokenizer cuts text about as finely as that of the large models."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, GenerationConfig, PreTrainedTokenizerFast

VOCABULARY = 700  # learnt on a page of prompts, about one token a word
NEW_TOKENS = 4  # of every answer, no more and no fewer


def save_tiny_qwen(folder: Path, texts: Iterable[str]) -> None:
    """Write a checkpoint: the pocket model's architecture, random weights, answers of a fixed length.

    Args:
        folder: Where to.
        texts: What the tokenizer learns its words from.
    """
    with resources.as_file(resources.files("gazecut_mllm") / "pocket") as pocket:
        processor, config = AutoProcessor.from_pretrained(pocket), AutoConfig.from_pretrained(pocket)
    known = processor.tokenizer
    special = {name: getattr(processor, f"{name}_token") for name in ("image", "video")}
    others = sorted((token for token in known.all_special_tokens if token not in special.values()), key=known.convert_tokens_to_ids)
    names = [*others, *special.values(), *("<|vision_start|>", "<|vision_end|>")]
    tokenizer = learnt(texts, list(dict.fromkeys(names)))
    processor.tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=known.eos_token, pad_token=known.pad_token)
    config.text_config.vocab_size = len(processor.tokenizer)
    for name in ("image", "video"):
        setattr(config, f"{name}_token_id", tokenizer.token_to_id(special[name]))
    for name in ("vision_start", "vision_end"):
        setattr(config, f"{name}_token_id", tokenizer.token_to_id(f"<|{name}|>"))
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config)
    model.generation_config = GenerationConfig(
        min_new_tokens=NEW_TOKENS, max_new_tokens=NEW_TOKENS, eos_token_id=tokenizer.token_to_id(known.eos_token), pad_token_id=0
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def learnt(texts: Iterable[str], special: list[str]) -> Tokenizer:
    """A tokenizer that learnt its words from texts; special tokens come first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
