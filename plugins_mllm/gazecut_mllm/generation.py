"""Greedy answers, with whatever else the checkpoint's generation config asks (repetition penalty, several end tokens)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from gazecut.work import Work

# What checkpoints set for sampling, at the library's neutral values: unset, transformers would fill them in again and warn.
NEUTRAL_SAMPLING = {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0}


class Decoder:
    """Generates greedily and words what came out."""

    def __init__(self, model: Any, tokenizer: Any, max_new_tokens: int, work: Work) -> None:
        """Keep the model, its tokenizer, the longest answer in tokens, and where tokens are counted."""
        self._model, self._work = model, work
        self._tokenizer = tokenizer
        self._config = _greedy_config(model.generation_config, tokenizer, max_new_tokens)
        self._ends = {self._config.eos_token_id} if isinstance(self._config.eos_token_id, int) else set(self._config.eos_token_id or ())

    def generate(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """New token ids (R, n) after prompts of text, padded behind their end.

        Args:
            ids: (R, N) whole prompts.
            mask: (R, N), 0 at padding, which is on the left.
            positions: (3, R, N).
        """
        prompt = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        return self._counted(self._model.generate(**prompt, generation_config=self._config)[:, ids.shape[1] :])

    def follow(self, ids: torch.Tensor, logits: torch.Tensor, read: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """New token ids (R, n) after prompts that the model has read already, padded behind their end.

        Args:
            ids: (R, N) whole prompts: the repetition penalty looks at all of them.
            logits: (R, v) of the first new tokens.
            read: Takes new tokens (R,) through the model, and gives the logits (R, v) of those after them.
        """
        # The library works the generation config out, into processors and criteria; only the loop is ours.
        everything = torch.ones_like(ids)
        prompt = {"input_ids": ids, "attention_mask": everything, "position_ids": everything}
        loop = partial(_greedily, logits=logits, read=read, filler=self._config.pad_token_id)
        tokens: torch.Tensor = self._model.generate(**prompt, generation_config=self._config, custom_generate=loop)
        return self._counted(tokens[:, ids.shape[1] :])

    def words(self, tokens: torch.Tensor) -> str:
        """The text of new tokens (n,) up to their end, without special tokens and outer white space."""
        kept = tokens.tolist()
        return str(self._tokenizer.decode(kept[: self._end(kept)], skip_special_tokens=True)).strip()

    def _end(self, tokens: Sequence[int]) -> int:
        return next((index for index, token in enumerate(tokens) if token in self._ends), len(tokens))

    def _counted(self, tokens: torch.Tensor) -> torch.Tensor:
        """New tokens (R, n), those of each answer up to its end counted."""
        self._work.generated_tokens += sum(min(self._end(row) + 1, len(row)) for row in tokens.tolist())
        return tokens


def _greedily(
    _model: Any,
    input_ids: torch.Tensor,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    *,
    logits: torch.Tensor,
    read: Callable[[torch.Tensor], torch.Tensor],
    filler: int,
    **_prepared: Any,
) -> torch.Tensor:
    """The loop of a greedy answer, in the form that transformers calls: prompts and answers (R, N + n)."""
    ids, ended = input_ids, torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
    while True:
        scores: torch.Tensor = logits_processor(ids, logits.float())  # type: ignore[arg-type]  # typed for its own aliases
        tokens = scores.argmax(-1).masked_fill(ended, filler)
        ids = torch.cat([ids, tokens[:, None]], dim=1)
        ended = ended | stopping_criteria(ids, scores)
        if ended.all():
            return ids
        logits = read(tokens)


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
