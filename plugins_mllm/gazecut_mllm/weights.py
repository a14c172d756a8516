"""Where a checkpoint is, and how it is loaded: safetensors only, no remote code, nothing left at random."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from httpx import HTTPError
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from gazecut.errors import PluginError, WeightsError
from gazecut_mllm.capture import NAMES
from gazecut_mllm.checkpoint import FILES, Checkpoint, on_this_machine
from gazecut_mllm.config import DeviceMap, Quantization
from gazecut_mllm.devices import WAITING, resolve_device
from gazecut_mllm.kernels import Kernel
from gazecut_mllm.memory import is_out_of_memory

HINTS = {
    "qwen2_vl": "qwen2-vl",
    "qwen2_5_vl": "qwen2.5-vl",
    "qwen3_vl": "qwen3-vl",
    "internvl": "internvl3",
    "llava_onevision": "llava-onevision",
}
PARTS = ("tokenizer", "image_processor", "video_processor")
LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
# What transformers, safetensors and the hub raise for folders, files and hub ids that they cannot use.
LOADING_ERRORS = (OSError, ValueError, RuntimeError, KeyError, AttributeError, TypeError, SafetensorError)


def locate(weights: str, revision: str | None = None) -> Checkpoint:
    """The checkpoint that the option `weights` means; one on the hub is downloaded where the hub cache does not have it.

    Args:
        weights: A local folder, a hub id ("owner/name"), or "package:NAME/FOLDER" inside an installed package.
        revision: Commit or tag of a hub id.

    Raises:
        WeightsError: There is no such folder, package or hub id, or the hub cannot be reached.
    """
    return on_this_machine(weights) or _from_hub(weights, revision)


def _from_hub(hub_id: str, revision: str | None) -> Checkpoint:
    # One look-up for the whole snapshot: file by file, transformers retries each for minutes where there is no network.
    try:
        folder = Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(FILES)))
    except (*LOADING_ERRORS, HTTPError) as error:
        at = f" at {revision}" if revision else ""
        raise WeightsError(
            f'weights: no folder {hub_id}, and the hub does not give "{hub_id}"{at}: {_first_line(error)} '
            "Check the id, the revision and the network; offline, only what is in the hub cache can be used. Or give a local folder."
        ) from error
    return Checkpoint(folder, revision=folder.name, hub_id=hub_id)


def check_family(checkpoint: Checkpoint, family: str) -> None:
    """Refuse a folder that is no checkpoint, or one of another family; reads `config.json` alone.

    Raises:
        WeightsError: It has no config.json, one that cannot be read, or one of a model of another type.
    """
    if not (checkpoint.folder / "config.json").is_file():
        raise WeightsError(
            f"weights: {checkpoint.about} has no config.json; wanted a whole checkpoint: config.json, *.safetensors and the files of "
            "tokenizer and processor."
        )
    with _explained(checkpoint, "config.json"):
        found = json.loads((checkpoint.folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if found != family:
        hint = HINTS.get(found)
        then = f'Set mllm.use to "{hint}".' if hint else "Choose weights of that family."
        raise WeightsError(f'weights: {checkpoint.about} holds a model of type "{found}"; wanted "{family}". {then}')


@dataclass(frozen=True)
class Loading:
    """How a model is loaded.

    Attributes:
        device: Where it computes; its first part, where `device_map` spreads it.
        dtype: Floating type of its weights, or of what is computed with quantised ones.
        attention: The kernel of its language model.
        quantization: Bits of its weights: "4bit" (nf4) and "8bit" by bitsandbytes, "none" leaves them as they are.
        device_map: Where its parts are, as transformers takes it; None puts all of it on the device.
    """

    device: torch.device
    dtype: torch.dtype
    attention: Kernel = "sdpa"
    quantization: Quantization = "none"
    device_map: DeviceMap | None = None

    def arguments(self) -> dict[str, Any]:
        """What transformers takes.

        Raises:
            PluginError: Package bitsandbytes is needed and not installed.
            DeviceError: The device map names a device that the machine does not have.
        """
        if isinstance(self.device_map, dict):
            for place in self.device_map.values():
                if place not in WAITING:
                    resolve_device(place)
        given: dict[str, Any] = {"dtype": self.dtype, "attn_implementation": {"text_config": NAMES[self.attention]}}
        if self.spread:
            given["device_map"] = self.device_map or {"": str(self.device)}
        if self.quantization != "none":
            if find_spec("bitsandbytes") is None:
                raise PluginError(
                    f'mllm.quantization is {self.quantization}, which needs package bitsandbytes: pip install "gazecut[quantized]". '
                    'Or set mllm.quantization to "none".'
                )
            four = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": self.dtype}
            bits: Any = BitsAndBytesConfig  # untyped
            given["quantization_config"] = bits(**four) if self.quantization == "4bit" else bits(load_in_8bit=True)
        return given

    @property
    def spread(self) -> bool:
        """Whether transformers puts the parts of the model where they belong."""
        return self.device_map is not None or self.quantization != "none"


def load_model(checkpoint: Checkpoint, family: str | None, loading: Loading) -> PreTrainedModel:
    """The model of a checkpoint, ready to answer, its language model attending through the capture.

    Args:
        checkpoint: Where it is.
        family: The `model_type` that its config must have; None takes any image-text-to-text model.
        loading: How it is loaded.

    Raises:
        WeightsError: It cannot be found or read, is of another family, or lacks weights.
        PluginError: A package that it needs is not installed, or too old.
        DeviceError: It is to be spread over devices that the machine does not have.
    """
    if family is not None:
        check_family(checkpoint, family)
    arguments = loading.arguments()
    with _explained(checkpoint, "weights in safetensors form"), _quiet():
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            checkpoint.folder,
            **LOCAL,
            **arguments,
            use_safetensors=True,
            output_loading_info=True,
        )
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:
        raise WeightsError(
            f"weights: {checkpoint.about} lacks {len(missing)} tensors, first {missing[0]}; they would stay at random. "
            "Fetch or save the checkpoint again."
        )
    ready: PreTrainedModel = (model if loading.spread else model.to(loading.device)).eval()
    return ready


def load_processor(checkpoint: Checkpoint, parts: Sequence[str] = PARTS) -> Any:
    """The processor of a checkpoint: tokenizer, chat template, image and video preprocessing.

    Args:
        checkpoint: Where it is.
        parts: What it must have.

    Raises:
        WeightsError: It cannot be found or read, or has no chat template.
        PluginError: A package that it needs is not installed.
    """
    processors: Any = AutoProcessor  # untyped
    with _explained(checkpoint, "processor and tokenizer files"):
        processor = processors.from_pretrained(checkpoint.folder, **LOCAL)
    for part in parts:
        if getattr(processor, part, None) is None:
            raise WeightsError(f"weights: {checkpoint.about} has no {part.replace('_', ' ')}; wanted the files of a whole processor.")
    if not processor.chat_template:
        raise WeightsError(f"weights: {checkpoint.about} has no chat template; wanted chat_template.jinja beside the tokenizer.")
    if getattr(getattr(processor, "video_processor", None), "cap_pixels_per_frame", False) is None:
        processor.video_processor.cap_pixels_per_frame = False  # we resize; unset, transformers warns about a change of its default
    return processor


@contextmanager
def _explained(checkpoint: Checkpoint, what: str) -> Iterator[None]:
    """Turn what loading raises into one message."""
    try:
        yield
    except ImportError as error:
        raise PluginError(f"weights: {checkpoint.about} cannot be loaded without a package: {_first_line(error)}") from error
    except LOADING_ERRORS as error:
        if is_out_of_memory(error):
            raise
        raise WeightsError(
            f"weights: cannot load {what} of {checkpoint.about}: {_first_line(error)} Check that the folder is complete."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".") + "."


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
