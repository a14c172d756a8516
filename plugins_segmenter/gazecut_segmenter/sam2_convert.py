"""Converts a checkpoint of SAM 2 or 2.1 between Meta's form and that of transformers, tensor by tensor, bit by bit.

The tensors themselves never change, only names and files. What a conversion writes depends on its tensors alone: converting there
and back gives the same tensors always, and the same bytes where a conversion wrote the first file, too.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    Sam2ImageProcessor,
    Sam2VideoConfig,
    Sam2VideoMaskDecoderConfig,
    Sam2VideoModel,
    Sam2VideoProcessor,
    Sam2VideoVideoProcessor,
)

from gazecut.errors import WeightsError
from gazecut.wording import one_line
from gazecut_segmenter.sam2_checkpoint import PICKLES, SAFETENSORS, Tensors, check_fit, form_of, in_form, read_any
from gazecut_segmenter.sam2_files import CONFIG_FILE, MODEL_FILE
from gazecut_segmenter.sam2_sizes import SIZES, Model, recognise

DECODER_WIDTH = 2048  # Meta fixes it: inner width of the mask decoder
PUBLISHED_SIDE = 1024  # px

_DECODER_WIDTH_OF = "sam_mask_decoder.transformer.layers.0.mlp.layers.0.bias"


def convert(source: Path, target: Path, like: Path | None = None) -> str | None:
    """Convert a checkpoint; the names say into what.

    Args:
        source: A folder of transformers, or a file in either form.
        target: Where to write, not there yet: a .pt or .safetensors file gets Meta's form, any other name is a folder for transformers.
        like: A folder of transformers whose config and processor files the new folder gets; None recognises the published sizes.

    Returns:
        One line: what was written. None where the source is no checkpoint of SAM 2.

    Raises:
        WeightsError: The source cannot be read, holds code, lacks tensors or has some left over, or its size is none of those known.
        OSError: The target cannot be written.
    """
    tensors = read_any(source)
    if form_of(tensors) is None:
        return None
    meta = in_form(tensors, "meta", source)
    ours = in_form(meta, "transformers", source)
    model = recognise({name: tuple(tensor.shape) for name, tensor in meta.items()})
    pattern = like or (source if (source / CONFIG_FILE).is_file() else None)
    config = read_config(pattern) if pattern else transformers_config(model, source)
    check_fit(ours, shapes_of(config), source, f"its config ({pattern or _called(model)})")
    if target.suffix in (*PICKLES, SAFETENSORS):
        _write_meta(meta, target, source)
        form = "Meta's form"
    else:
        _write_folder(ours, target, config, pattern)
        form = "the form of transformers"
    return f"{len(meta)} tensors of {_called(model)} in {form}"


def transformers_config(model: Model | None, about: object) -> Sam2VideoConfig:
    """The config of a published model, as transformers has it.

    Args:
        model: What was recognised.
        about: What to call the checkpoint in messages.

    Raises:
        WeightsError: Nothing was recognised.
    """
    if model is None:
        known = ", ".join(size.name for size in SIZES)
        raise WeightsError(
            f"weights: {about} has none of the published sizes ({known}), and its shapes do not tell how it computes; name a folder of "
            "transformers with the config of such a model: --like FOLDER."
        )
    size, newer = model.size, model.generation != "2"
    backbone: dict[str, Any] = {
        "hidden_size": size.width,
        "num_attention_heads": size.heads,
        "embed_dim_per_stage": size.widths,
        "num_attention_heads_per_stage": [size.heads << stage for stage in range(len(size.blocks))],
        "blocks_per_stage": list(size.blocks),
        "global_attention_blocks": list(size.global_blocks),
        "window_size_per_stage": list(size.windows),
        "window_positional_embedding_background_size": [size.background] * 2,
    }
    return Sam2VideoConfig(
        vision_config={"backbone_config": backbone, "backbone_channel_list": size.widths[::-1]},
        enable_temporal_pos_encoding_for_object_pointers=newer,
        enable_occlusion_spatial_embedding=newer,
        architectures=["Sam2VideoModel"],
        dtype="float32",
    )


def read_config(folder: Path) -> Sam2VideoConfig:
    """The config in a folder of transformers.

    Raises:
        WeightsError: There is none, it cannot be read, is of another model, or no model can be made as it says.
    """
    file = folder / CONFIG_FILE
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"weights: {file} cannot be read: {one_line(error)}. Name a folder of transformers.") from error
    found = values.get("model_type") if isinstance(values, dict) else None
    if found != Sam2VideoConfig.model_type:
        raise WeightsError(f'weights: {file} is of a model of type {found!r}; wanted "{Sam2VideoConfig.model_type}".')
    try:
        config = Sam2VideoConfig.from_dict(values)
        # transformers 5.17 reads the mask decoder's block as another class, without the defaults of what a file leaves out
        decoder: Any = config.mask_decoder_config
        config.mask_decoder_config = Sam2VideoMaskDecoderConfig.from_dict(decoder.to_dict())
        shapes_of(config)
    except Exception as error:  # values of any kind, and whatever they make of a model
        raise WeightsError(
            f"weights: {file} describes no SAM 2: {one_line(error)}. Fetch it again, or write it with another version of transformers."
        ) from error
    if not isinstance(config.image_size, int) or config.image_size < 1:
        raise WeightsError(f"weights: {file} has image_size {config.image_size}; wanted one number, the side of a square in pixels.")
    return config


def shapes_of(config: Sam2VideoConfig) -> Mapping[str, torch.Size]:
    """Shapes of all tensors of the model that a config describes; none of them is made."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in Sam2VideoModel(config).state_dict().items()}


def _called(model: Model | None) -> str:
    return "a SAM 2 of an own size" if model is None else f"SAM {model.generation} {model.size.name}"


def _write_meta(tensors: Tensors, target: Path, about: object) -> None:
    width = len(tensors[_DECODER_WIDTH_OF])
    if width != DECODER_WIDTH:
        raise WeightsError(
            f"weights: the mask decoder of {about} is {width} wide within; Meta's code has {DECODER_WIDTH} and could not load it. "
            "Use it with segmenter sam2-hf."
        )
    # Copies of their own, in one order: what is written depends on nothing else.
    ordered = {name: tensors[name].clone(memory_format=torch.contiguous_format) for name in sorted(tensors)}
    if target.suffix == SAFETENSORS:
        _save(ordered, target)
        return
    with target.open("wb") as opened:  # given a path, torch would write its name into the file
        torch.save({"model": ordered}, opened)


def _write_folder(tensors: Tensors, target: Path, config: Sam2VideoConfig, pattern: Path | None) -> None:
    target.mkdir()
    _save({name: tensor.contiguous() for name, tensor in tensors.items()}, target / MODEL_FILE, metadata={"format": "pt"})
    if pattern is not None:
        for file in sorted(pattern.glob("*.json")):
            shutil.copyfile(file, target / file.name)
        return
    config.save_pretrained(target)
    side = {"height": PUBLISHED_SIDE, "width": PUBLISHED_SIDE}
    quarter = {"height": PUBLISHED_SIDE // 4, "width": PUBLISHED_SIDE // 4}
    images, videos = Sam2ImageProcessor(size=side, mask_size=quarter), Sam2VideoVideoProcessor(size=side)
    Sam2VideoProcessor(image_processor=images, video_processor=videos, target_size=PUBLISHED_SIDE).save_pretrained(target)


def _save(tensors: Tensors, file: Path, metadata: dict[str, str] | None = None) -> None:
    """Write safetensors that whoever may read other new files may read, too: the library lets their owner alone."""
    file.touch()
    mode = file.stat().st_mode
    save_file(tensors, file, metadata)
    file.chmod(mode)
