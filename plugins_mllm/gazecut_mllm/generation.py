"""Greedy answers, with whatever else the checkpoint's generation config asks (repetition penalty, several end tokens)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from gazecut.errors import PromptError
from gazecut.work import Work

# What checkpoints set for answers that are not greedy, for their length, and for what comes back with them.
UNSET = (
    *("temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff"),
    *("num_beams", "num_return_sequences", "early_stopping", "length_penalty", "penalty_alpha"),
    *("max_length", "return_dict_in_generate", "output_scores", "output_logits", "output_attentions", "output_hidden_states"),
)


class Decoder:
    """Generates greedily and words what came out."""

    def __init__(self, model: Any, tokenizer: Any, max_new_tokens: int, work: Work) -> None:
        """Make the model greedy; keep it, its tokenizer, the longest answer in tokens, and where tokens are counted."""
        self._model, self._work = model, work
        self._tokenizer = tokenizer
        # The model's own from now on: whatever is unset in another one, transformers fills in from it.
        self._config = model.generation_config = _greedy_config(model.generation_config, tokenizer, max_new_tokens)
        self._longest, self._context = max_new_tokens, getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self._ends = {self._config.eos_token_id} if isinstance(self._config.eos_token_id, int) else set(self._config.eos_token_id or ())

    def check_room(self, prompt: int, remedy: str) -> None:
        """Refuse a prompt that leaves no room for the longest answer.

        Args:
            prompt: Position behind its last token.
            remedy: What to do, one sentence.

        Raises:
            PromptError: The model was made for fewer positions.
        """
        if self._context is not None and prompt + self._longest > self._context:
            raise PromptError(
                f"a prompt of {prompt} positions and an answer of up to {self._longest} tokens do not fit into the model's context of "
                f"{self._context} (max_position_embeddings of its config.json). {remedy}"
            )

    def generate(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """New token ids (R, n) after prompts of text, padded behind their end.

        Args:
            ids: (R, N) whole prompts.
            mask: (R, N), 0 at padding, which is on the left.
            positions: (R, N), or (3, R, N) for M-RoPE.
        """
        prompt = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        return self._counted(self._model.generate(**prompt)[:, ids.shape[1] :])

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
        tokens: torch.Tensor = self._model.generate(**prompt, custom_generate=loop)
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
    for name, value in {**dict.fromkeys(UNSET), "do_sample": False, "max_new_tokens": max_new_tokens}.items():
        setattr(config, name, value)
    if config.eos_token_id is None:
        config.eos_token_id = tokenizer.eos_token_id
    if config.pad_token_id is None:  # answers that end early are filled up with it, and cut there again
        config.pad_token_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return config
