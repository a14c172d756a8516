"""Where a checkpoint is, and how it is loaded: safetensors only, no remote code, nothing left at random."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, PreTrainedModel
from transformers.utils import logging as transformers_logging

from gazecut.errors import WeightsError
from gazecut_mllm.capture import ATTENTION

PACKAGE_SCHEME = "package:"
# What transformers and safetensors raise for folders, files and hub ids that they cannot use.
LOADING_ERRORS = (OSError, ValueError, RuntimeError, KeyError, AttributeError, TypeError, SafetensorError)


@dataclass(frozen=True)
class Checkpoint:
    """A folder with a model, or a model on the hub.

    Attributes:
        source: The folder's path, or the hub id.
        local: Whether it is a folder.
        revision: Commit or tag of a hub id, or None.
    """

    source: str
    local: bool
    revision: str | None = None

    @property
    def about(self) -> str:
        """What to call it in messages."""
        return f"folder {self.source}" if self.local else f'hub id "{self.source}"' + (f" at {self.revision}" if self.revision else "")

    @property
    def options(self) -> dict[str, Any]:
        """How transformers must look for it."""
        return {"local_files_only": self.local, "revision": self.revision or "main", "trust_remote_code": False}


def locate(weights: str, revision: str | None = None) -> Checkpoint:
    """The checkpoint that the option `weights` means.

    Args:
        weights: A local folder, a hub id ("owner/name"), or "package:NAME/FOLDER" inside an installed package.
        revision: Commit or tag of a hub id.

    Raises:
        WeightsError: There is no such folder or package, and it cannot be a hub id.
    """
    if weights.startswith(PACKAGE_SCHEME):
        return Checkpoint(str(_inside_package(weights)), local=True)
    folder = Path(weights).expanduser()
    if folder.is_dir():
        return Checkpoint(str(folder), local=True)
    if folder.exists():
        raise WeightsError(f"weights: {weights} is a file; wanted the folder that holds config.json and *.safetensors.")
    if weights.startswith((".", "/", "~")) or weights.count("/") != 1:
        raise WeightsError(f'weights: no folder {weights}; wanted one with config.json and *.safetensors, or a hub id "owner/name".')
    return Checkpoint(weights, local=False, revision=revision)


def _inside_package(weights: str) -> Path:
    package, _, inside = weights.removeprefix(PACKAGE_SCHEME).partition("/")
    try:
        folder = Path(str(resources.files(package))) / inside
    except (ModuleNotFoundError, TypeError, ValueError):
        raise WeightsError(f'weights: {weights}: no package "{package}" is installed.') from None
    if not folder.is_dir():
        raise WeightsError(f'weights: {weights}: package "{package}" has no folder "{inside}"; looked at {folder}. Reinstall the package.')
    return folder


def load_model(checkpoint: Checkpoint, family: str | None, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """The model of a checkpoint, ready to answer, its language model attending through the capture.

    Args:
        checkpoint: Where it is.
        family: The `model_type` that its config must have; None takes any image-text-to-text model.
        dtype: Floating type of its weights.
        device: Where it computes.

    Raises:
        WeightsError: It cannot be found or read, is of another family, or lacks weights.
    """
    with _explained(checkpoint, "config.json"):
        found = AutoConfig.from_pretrained(checkpoint.source, **checkpoint.options).model_type
    if family is not None and found != family:
        hint = {"qwen2_vl": "qwen2-vl", "qwen2_5_vl": "qwen2.5-vl"}.get(found)
        then = f'Set mllm.use to "{hint}".' if hint else "Choose weights of that family."
        raise WeightsError(f'weights: {checkpoint.about} holds a model of type "{found}"; wanted "{family}". {then}')
    with _explained(checkpoint, "weights in safetensors form"), _quiet():
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            checkpoint.source,
            **checkpoint.options,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            attn_implementation={"text_config": ATTENTION},
        )
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:
        raise WeightsError(
            f"weights: {checkpoint.about} lacks {len(missing)} tensors, first {missing[0]}; they would stay at random. "
            "Fetch or save the checkpoint again."
        )
    ready: PreTrainedModel = model.to(device).eval()
    return ready


def load_processor(checkpoint: Checkpoint) -> Any:
    """The processor of a checkpoint: tokenizer, chat template, image and video preprocessing.

    Raises:
        WeightsError: It cannot be found or read, or has no chat template.
    """
    processors: Any = AutoProcessor  # untyped
    with _explained(checkpoint, "processor and tokenizer files"):
        processor = processors.from_pretrained(checkpoint.source, **checkpoint.options)
    for part in ("tokenizer", "image_processor", "video_processor"):
        if getattr(processor, part, None) is None:
            raise WeightsError(f"weights: {checkpoint.about} has no {part.replace('_', ' ')}; wanted the files of a whole processor.")
    if not processor.chat_template:
        raise WeightsError(f"weights: {checkpoint.about} has no chat template; wanted chat_template.jinja beside the tokenizer.")
    if getattr(processor.video_processor, "cap_pixels_per_frame", False) is None:
        processor.video_processor.cap_pixels_per_frame = False  # we resize; unset, transformers warns about a change of its default
    return processor


@contextmanager
def _explained(checkpoint: Checkpoint, what: str) -> Iterator[None]:
    """Turn what loading raises into one message."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except LOADING_ERRORS as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        then = "Check that the folder is complete."
        if not checkpoint.local:
            then = (
                "Check the id, the revision and the network; offline, only what is in the hub cache can be used. "
                "Or set weights to a local folder."
            )
        raise WeightsError(f"weights: cannot load {what} of {checkpoint.about}: {first} {then}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar of transformers meanwhile: the terminal is the command line's."""
    bars: Any = transformers_logging  # untyped
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()
