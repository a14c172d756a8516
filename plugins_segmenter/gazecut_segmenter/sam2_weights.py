"""Where a checkpoint of SAM 2 is, and how it becomes a `Sam2VideoModel`: safetensors only, nothing left at random."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from httpx import HTTPError
from huggingface_hub import snapshot_download
from transformers import Sam2VideoConfig, Sam2VideoModel
from transformers.utils import logging as transformers_logging

from gazecut.errors import WeightsError
from gazecut.wording import one_line
from gazecut_segmenter.sam2_checkpoint import CODE, COPY, PICKLES, Tensors, check_fit, in_form, read_any
from gazecut_segmenter.sam2_convert import read_config, shapes_of, transformers_config
from gazecut_segmenter.sam2_files import CONFIG_FILE, MODEL_FILE, Checkpoint, on_this_machine
from gazecut_segmenter.sam2_sizes import recognise


def locate(weights: str, revision: str | None = None) -> Checkpoint:
    """The checkpoint that the option `weights` means; one on the hub is downloaded where the hub cache does not have it.

    Args:
        weights: A local folder, a file, a hub id ("owner/name"), or "package:NAME/FOLDER" inside an installed package.
        revision: Commit or tag of a hub id.

    Raises:
        WeightsError: There is no such folder, file or hub id, or the hub cannot be reached.
    """
    found = on_this_machine(weights)
    if found is not None:
        return found
    try:
        folder = Path(snapshot_download(weights, revision=revision, allow_patterns=[CONFIG_FILE, MODEL_FILE]))
    except (OSError, ValueError, RuntimeError, HTTPError) as error:
        at = f" at {revision}" if revision else ""
        raise WeightsError(
            f'weights: no file or folder {weights}, and the hub does not give "{weights}"{at}: {one_line(error)}. '
            "Check the id, the revision and the network; offline, only what is in the hub cache can be used. Or give a local folder."
        ) from error
    on_this_machine(str(folder))  # whole?
    return Checkpoint(folder, revision=folder.name, hub_id=weights)


def load(checkpoint: Checkpoint) -> Any:
    """The `Sam2VideoModel` of a checkpoint (Any: transformers' modules are untyped), in float32 on the CPU.

    Its tensors may have Meta's names. The configuration is the `config.json` in the folder or beside the file; without one, the
    published sizes of SAM 2 and 2.1 are recognised by their shapes.

    Raises:
        WeightsError: It is a pickle, cannot be read, or its tensors are not those of its configuration.
    """
    path = checkpoint.path
    if path.suffix in PICKLES:
        raise WeightsError(
            f"weights: {path} is a pickle; sam2-hf reads safetensors only. Convert it: "
            f"gazecut weights convert {path} {path.with_suffix('')}, and name the new folder. Or use segmenter sam2."
        )
    tensors = in_form(read_any(path), "transformers", checkpoint.about)
    _complete(tensors)
    config = _config(path, tensors, checkpoint.about)
    check_fit(tensors, shapes_of(config), checkpoint.about, f"its configuration ({config.image_size} px)")
    # Copies, for where a tensor lies in a file decides how it is aligned, and that the last bit of what is computed with it.
    copies = {name: tensor.clone() for name, tensor in tensors.items()}
    with _quiet():
        return Sam2VideoModel.from_pretrained(None, config=config, state_dict=copies, dtype=torch.float32, local_files_only=True)


def _config(path: Path, tensors: Tensors, about: str) -> Sam2VideoConfig:
    folder = path if path.is_dir() else path.parent
    if (folder / CONFIG_FILE).is_file():
        return read_config(folder)
    meta = in_form(tensors, "meta", about)
    model = recognise({name: tuple(tensor.shape) for name, tensor in meta.items()})
    if model is None:
        raise WeightsError(
            f"weights: {about} has none of the published sizes of SAM 2 and 2.1, and there is no {CONFIG_FILE} beside it; "
            "its shapes alone do not tell how it computes. Put the config.json of the model there."
        )
    return transformers_config(model, about)


def _complete(tensors: Tensors) -> None:
    """Some versions of transformers write one of two equal tensors only."""
    for name, twin in ((CODE, COPY), (COPY, CODE)):
        if name not in tensors and twin in tensors:
            tensors[name] = tensors[twin].clone()


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
