"""Reads the tensors of a SAM 2 checkpoint, whoever wrote it, and gives them the names that are wanted. Nothing is ever executed."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from gazecut.errors import WeightsError
from gazecut.wording import one_line
from gazecut_segmenter import sam2_keys
from gazecut_segmenter.sam2_files import MODEL_FILE

Form = Literal["meta", "transformers"]
Tensors = dict[str, torch.Tensor]

PICKLES = (".pt", ".pth")
SAFETENSORS = ".safetensors"
CODE = "prompt_encoder.shared_embedding.positional_embedding"
COPY = "shared_image_embedding.positional_embedding"  # the same again in transformers

_ROWS = "sam_prompt_encoder.point_embeddings.{}.weight"  # Meta keeps four tensors
_TABLE = "prompt_encoder.point_embed.weight"  # and transformers these as its rows
_MARKS: Mapping[Form, str] = {"meta": "image_encoder.", "transformers": "vision_encoder."}


def read_any(path: Path) -> Tensors:
    """All tensors of a file or folder, on the CPU, whatever model they are of.

    Args:
        path: A .pt, .pth or .safetensors file, or a folder with model.safetensors.

    Raises:
        WeightsError: There is nothing, it cannot be read, or holds more than tensors.
    """
    file = _file(path)
    return _read_pickle(file) if file.suffix in PICKLES else _read_safetensors(file)


def form_of(tensors: Tensors) -> Form | None:
    """Whose names tensors have; None where they have no image encoder of SAM 2."""
    return next((form for form, mark in _MARKS.items() if any(name.startswith(mark) for name in tensors)), None)


def in_form(tensors: Tensors, form: Form, about: object) -> Tensors:
    """The same tensors by the names of one form; those that are there already stay as they are.

    Args:
        tensors: By the names of either form.
        form: Whose names are wanted.
        about: What to call the checkpoint in messages.

    Raises:
        WeightsError: They are not of SAM 2, one has a name that it does not know, or the two copies of the position code differ.
    """
    if _form_in(tensors, about) == form:
        return dict(tensors)
    rest = dict(tensors)
    special = _as_table(rest, about) if form == "transformers" else _as_rows(rest, about)
    rename = sam2_keys.to_transformers if form == "transformers" else sam2_keys.to_meta
    names = {name: rename(name) for name in rest}
    unknown = sorted(name for name, found in names.items() if found is None)
    if unknown:
        raise WeightsError(
            f"weights: {about} has {len(unknown)} tensors that SAM 2 does not know, first {unknown[0]}; wanted a checkpoint of "
            "SAM 2 or 2.1."
        )
    return {**{str(names[name]): tensor for name, tensor in rest.items()}, **special}


def check_fit(tensors: Tensors, wanted: Mapping[str, torch.Size], about: object, model: str) -> None:
    """Refuse tensors that are not exactly those of a model.

    Args:
        tensors: What there is.
        wanted: Shapes by name.
        about: What to call the checkpoint in messages.
        model: What to call the model in messages.

    Raises:
        WeightsError: Some are missing, left over or of other shapes; says how many, and the first of each.
    """
    missing, extra = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    other = sorted(name for name in wanted.keys() & tensors.keys() if tensors[name].shape != wanted[name])
    problems = [f"{len(missing)} are missing, first {missing[0]}"] if missing else []
    problems += [f"{len(extra)} are left over, first {extra[0]}"] if extra else []
    if other:
        name = other[0]
        problems.append(f"{len(other)} are of another size, first {name} {tuple(tensors[name].shape)}, wanted {tuple(wanted[name])}")
    if problems:
        raise WeightsError(
            f"weights: the tensors of {about} are not those of {model}: {'; '.join(problems)}. Choose a config that goes with the weights."
        )


def _form_in(tensors: Tensors, about: object) -> Form:
    form = form_of(tensors)
    if form is None:
        raise WeightsError(f"weights: {about} has {len(tensors)} tensors, but no image encoder of SAM 2; wanted weights of SAM 2 or 2.1.")
    return form


def _file(path: Path) -> Path:
    file = path / MODEL_FILE if path.is_dir() else path
    if not file.is_file():
        what = f"folder {path} has no {MODEL_FILE}" if path.is_dir() else f"no file or folder {path}"
        raise WeightsError(f"weights: {what}; wanted a .pt or .safetensors file, or a folder with config.json and {MODEL_FILE}.")
    if file.suffix not in (*PICKLES, SAFETENSORS):
        raise WeightsError(f"weights: {path} is no checkpoint by its name; wanted .pt, .pth or .safetensors, or a folder.")
    return file


def _read_pickle(file: Path) -> Tensors:
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"weights: {file} is a pickle with more than tensors in it, or none at all; loading it might run foreign code, so it is "
            "not read. Fetch the checkpoint from its publisher, or save its tensors alone as .safetensors."
        ) from error
    except Exception as error:  # a damaged file raises whatever its reader stumbles over
        raise WeightsError(f"weights: {file} cannot be read: {one_line(error)}. Fetch the checkpoint again.") from error
    tensors = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise WeightsError(f'weights: {file} holds no tensors by name; wanted {{"model": {{name: tensor}}}}, as Meta publishes them.')
    return {str(name): tensor.detach() for name, tensor in tensors.items()}


def _read_safetensors(file: Path) -> Tensors:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"weights: {file} cannot be read: {one_line(error)}. Fetch the checkpoint again.") from error


def _as_table(rest: Tensors, about: object) -> Tensors:
    """What transformers keeps otherwise, taken out of Meta's tensors."""
    names = [_ROWS.format(row) for row in range(sum(name.startswith(_ROWS[: _ROWS.index("{")]) for name in rest))]
    code = sam2_keys.to_meta(CODE)
    lacking = [name for name in (*names, code) if name not in rest] or ([_ROWS.format(0)] if not names else [])
    if lacking:
        raise WeightsError(f"weights: {about} has no {lacking[0]}; wanted a whole checkpoint of SAM 2 or 2.1.")
    return {_TABLE: torch.cat([rest.pop(name) for name in names]), COPY: rest[str(code)].clone()}


def _as_rows(rest: Tensors, about: object) -> Tensors:
    """What Meta keeps otherwise, taken out of transformers' tensors; some versions write one of the two equal ones only."""
    copy = rest.pop(COPY, rest.get(CODE))
    code = rest.setdefault(CODE, copy) if copy is not None else None
    if code is None or copy is None or _TABLE not in rest:
        raise WeightsError(f"weights: {about} has no {CODE if code is None else _TABLE}; wanted a whole checkpoint of SAM 2 or 2.1.")
    if not torch.equal(copy, code):
        raise WeightsError(f"weights: {COPY} and {CODE} of {about} differ; Meta's form keeps one of them, so they must be equal.")
    return {_ROWS.format(row): values[None].clone() for row, values in enumerate(rest.pop(_TABLE))}
