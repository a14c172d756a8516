"""Folders of soft prompts: PEFT's layout for prompt tuning, and beside it what Gazecut must know to use them.

`adapter_model.safetensors` and `adapter_config.json` are what PEFT 0.21 writes and reads for prompt tuning; `gazecut.json` says for
which backbone, view and place the embeddings were trained. A folder holds one view's, or a sub-folder per view.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, JsonValue, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from gazecut.errors import OutputError, WeightsError
from gazecut.options import Options
from gazecut.values.check import check_shape
from gazecut.wording import one_line
from gazecut_fusion.config import Place, View
from gazecut_fusion.whole_files import written_whole

TENSORS, ADAPTER, RECORD = "adapter_model.safetensors", "adapter_config.json", "gazecut.json"
EMBEDDINGS = "prompt_embeddings"  # the one tensor, as PEFT calls it
PROMPT_TUNING = "PROMPT_TUNING"
STORED = ("F16", "F32")
DTYPES = ("float16", "float32")


class Backbone(Options):
    """The multimodal LLM that soft prompts were trained for."""

    mllm: str
    """Its component, for example "qwen2.5-vl"."""

    weights: str
    """Its checkpoint, as the recipe named it."""

    revision: str | None = None
    """Commit of a hub id."""

    signature: str | None = None
    """What the model is known by wherever its checkpoint lies, see `gazecut.protocols.Provenance`."""


class SoftPromptRecord(Options):
    """What `gazecut.json` says; `version` is that of its own form."""

    version: Literal[1] = 1
    view: View
    """The view whose questions they steer."""

    place: Place = "before-text"
    """Where they stand among the tokens."""

    backbone: Backbone
    prompts: str
    """Prompt set of the questions that they were trained with."""

    attribution: dict[str, JsonValue]
    """The recipe's block, filled in: component, layers, head weighting, row."""

    normalization: str
    """How maps were brought to [0, 1] for the loss, for example "per-frame"."""

    initial_text: str = ""
    """Text whose token embeddings they started from."""

    training: dict[str, JsonValue] = Field(default_factory=dict)
    """Whatever the trainer tells of itself: data, steps, seed, losses."""


@dataclass(frozen=True, eq=False)
class SoftPrompt:
    """Learned embeddings of one view.

    Attributes:
        embeddings: (P, d) float16 or float32, finite; P soft tokens of the backbone's width d.
        record: What they were trained for.

    Raises:
        ShapeError: Other axes.
        WeightsError: No token, another dtype, or a value that is not finite.
    """

    embeddings: np.ndarray
    record: SoftPromptRecord

    def __post_init__(self) -> None:
        check_shape("prompt_embeddings", self.embeddings, ("P", "d"))
        if str(self.embeddings.dtype) not in DTYPES:
            raise WeightsError(f"soft prompts: prompt_embeddings are {self.embeddings.dtype}; wanted {' or '.join(DTYPES)}.")
        if not self.embeddings.size or not np.isfinite(self.embeddings).all():
            raise WeightsError(
                f"soft prompts: prompt_embeddings {self.embeddings.shape} are empty or hold values that are not finite; "
                f"train them again from an earlier checkpoint."
            )


def save_soft_prompt(prompt: SoftPrompt, folder: str | Path) -> Path:
    """Write a folder that `load_soft_prompt` and PEFT read; float16 takes half the room: 448 KiB for 64 tokens of width 3584.

    Each file is replaced whole; the record goes first and comes last, so a folder that has one is of one piece.

    Args:
        prompt: What to write; its dtype is kept.
        folder: Where to; made if it is not there.

    Returns:
        The folder.

    Raises:
        OutputError: It cannot be written.
    """
    folder = Path(folder)
    tensors = save({EMBEDDINGS: np.ascontiguousarray(prompt.embeddings)}, metadata={"format": "pt"})
    record = prompt.record.model_dump(mode="json")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORD).unlink(missing_ok=True)
        _write(folder / TENSORS, tensors)
        _write(folder / ADAPTER, _text(_adapter(prompt)))
        _write(folder / RECORD, _text(record))
    except OSError as error:
        raise OutputError(f'cannot write soft prompts to "{folder}": {error.strerror or error}; give another folder.') from error
    return folder


def load_soft_prompt(folder: str | Path) -> SoftPrompt:
    """Read a folder of soft prompts and check that its files fit each other.

    Args:
        folder: One view's.

    Raises:
        WeightsError: A file is missing, cannot be read, or says something else than the others.
    """
    folder = Path(folder)
    adapter, record = _json(folder, ADAPTER), _record(folder)
    if adapter.get("peft_type") != PROMPT_TUNING:
        raise WeightsError(
            f'soft prompts: {folder / ADAPTER} is of peft_type "{adapter.get("peft_type")}"; wanted "{PROMPT_TUNING}". '
            "Give a folder that `gazecut train soft-prompt` wrote."
        )
    embeddings = _embeddings(folder)
    told = (adapter.get("num_virtual_tokens"), adapter.get("token_dim"))
    if told != embeddings.shape:
        raise WeightsError(
            f"soft prompts: {folder / TENSORS} holds {EMBEDDINGS} {embeddings.shape}, {ADAPTER} says (num_virtual_tokens, token_dim) "
            f"= {told}; the files are not of one piece. Fetch or train them again."
        )
    try:
        return SoftPrompt(embeddings, record)
    except WeightsError as error:
        raise WeightsError(f"{error} Looked at {folder}.") from error


def _adapter(prompt: SoftPrompt) -> dict[str, Any]:
    """What PEFT wants to know. How they were started is in the record: PEFT would tokenise the text again."""
    tokens, width = prompt.embeddings.shape
    return {
        "base_model_name_or_path": prompt.record.backbone.weights,
        "inference_mode": True,
        "num_transformer_submodules": 1,
        "num_virtual_tokens": tokens,
        "peft_type": PROMPT_TUNING,
        "prompt_tuning_init": "RANDOM",
        "revision": prompt.record.backbone.revision,
        "task_type": "CAUSAL_LM",
        "token_dim": width,
    }


def _text(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _write(path: Path, content: bytes) -> None:
    with written_whole(path) as fresh:
        fresh.write_bytes(content)


def _embeddings(folder: Path) -> np.ndarray:
    try:
        with safe_open(folder / TENSORS, framework="numpy") as tensors:
            names = list(tensors.keys())
            if names != [EMBEDDINGS]:
                raise WeightsError(f"soft prompts: {folder / TENSORS} holds {', '.join(names) or 'nothing'}; wanted {EMBEDDINGS} alone.")
            stored = tensors.get_slice(EMBEDDINGS).get_dtype()
            if stored not in STORED:
                raise WeightsError(
                    f"soft prompts: {EMBEDDINGS} in {folder / TENSORS} are stored as {stored}; wanted {' or '.join(STORED)}."
                )
            embeddings: np.ndarray = tensors.get_tensor(EMBEDDINGS)
            return embeddings
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"soft prompts: cannot read {folder / TENSORS}: {one_line(error)}. Fetch or train them again.") from error


def _record(folder: Path) -> SoftPromptRecord:
    content = _json(folder, RECORD)
    if content.get("version") != 1:
        raise WeightsError(f"soft prompts: {folder / RECORD} is of version {content.get('version')}; this gazecut reads version 1.")
    try:
        return SoftPromptRecord.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise WeightsError(f"soft prompts: {folder / RECORD}: {where}: {first['msg']}. Fetch or train them again.") from error


def _json(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(
            f"soft prompts: {folder} has no {name}; wanted {TENSORS}, {ADAPTER} and {RECORD}, as `gazecut train soft-prompt` writes them."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"soft prompts: cannot read {folder / name}: {one_line(error)}. Fetch or train them again.") from error
    if not isinstance(content, dict):
        raise WeightsError(f"soft prompts: {folder / name} holds no mapping. Fetch or train them again.")
    return content
