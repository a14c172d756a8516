"""Greedy answers, with whatever else the checkpoint's generation config asks (repetition penalty, several end tokens)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import Cache, GenerationConfig

# What checkpoints set for sampling, at the library's neutral values: unset, transformers would fill them in again and warn.
NEUTRAL_SAMPLING = {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0}


class Decoder:
    """Generates greedily and words what came out."""

    def __init__(self, model: Any, tokenizer: Any, max_new_tokens: int) -> None:
        """Keep the model, its tokenizer and the longest answer in tokens."""
        self._model = model
        self._tokenizer = tokenizer
        self._config = _greedy_config(model.generation_config, tokenizer, max_new_tokens)
        self._ends = {self._config.eos_token_id} if isinstance(self._config.eos_token_id, int) else set(self._config.eos_token_id or ())

    def generate(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        """New token ids (R, n) after prompts, padded behind their end.

        Args:
            ids: (R, N) whole prompts: the repetition penalty looks at all of them.
            mask: (R, N), 0 at padding.
            positions: (3, R, N). Always explicit: what transformers derives from a cache is wrong for long videos.
            cache: Keys and values of all but the last tokens of the prompts; it grows. None for none.
        """
        prompt = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        sequences: torch.Tensor = self._model.generate(**prompt, past_key_values=cache, generation_config=self._config)
        return sequences[:, ids.shape[1] :]

    def words(self, tokens: torch.Tensor) -> str:
        """The text of new tokens (n,) up to their end, without special tokens and outer white space."""
        kept = tokens.tolist()
        end = next((index for index, token in enumerate(kept) if token in self._ends), len(kept))
        return str(self._tokenizer.decode(kept[:end], skip_special_tokens=True)).strip()


def _greedy_config(given: GenerationConfig, tokenizer: Any, max_new_tokens: int) -> GenerationConfig:
    """The checkpoint's own generation config, made greedy."""
    config = copy.deepcopy(given)
    for name, value in {"do_sample": False, "num_beams": 1, "max_new_tokens": max_new_tokens, **NEUTRAL_SAMPLING}.items():
        setattr(config, name, value)
    if config.eos_token_id is None:
        config.eos_token_id = tokenizer.eos_token_id
    if config.pad_token_id is None:  # answers that end early are filled up with it, and cut there again
        config.pad_token_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return config
