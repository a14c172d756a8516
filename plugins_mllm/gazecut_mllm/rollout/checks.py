"""What a rollout is given, checked and brought into one form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from gazecut.arrays import Array
from gazecut.errors import BackendError, ShapeError
from gazecut_mllm.rollout.reach import Reach


class LayerTensors(NamedTuple):
    """A layer of B sequences: query (B, H, N, d), key (B, G, N, d), scale, and how they were given."""

    query: torch.Tensor
    key: torch.Tensor
    scale: float
    batched: bool
    numpy: bool


def layer_tensors(index: int, layer: tuple[Array, Array, float], after: torch.Tensor | None) -> LayerTensors:
    """A layer as tensors, one sequence as a batch of one.

    Args:
        index: Which layer it is, for messages.
        layer: As the caller gave it.
        after: Query of the layer after it, whose sequences, tokens and dtype it must share; None for the last one.

    Raises:
        ShapeError: Query and key do not fit each other, or the layer after.
        BackendError: Some of their values are not finite.
    """
    query, key, numpy = _tensor(layer[0]), _tensor(layer[1]), isinstance(layer[0], np.ndarray)
    _check_fit(index, query, key)
    batched = query.ndim == 4
    if not batched:
        query, key = query[None], key[None]
    if after is not None:
        _check_same(index, query, after)
    for name, tensor in (("query", query), ("key", key)):
        low, high = torch.aminmax(tensor.detach())  # unlike isfinite, takes no memory
        if not (torch.isfinite(low) and torch.isfinite(high)):
            raise BackendError(
                f"rollout layer {index} has a {name} with values that are not finite (found {float(low)} to {float(high)}). "
                'The model overflowed or its weights are broken; try dtype "bfloat16" or "float32".'
            )
    return LayerTensors(query, key, float(layer[2]), batched, numpy)


def per_sequence(name: str, given: Array | None, wanted: tuple[int, ...]) -> list[torch.Tensor | None]:
    """What `Masking` gives of each sequence.

    Args:
        name: Attribute, for messages.
        given: Of all sequences, of each, or None.
        wanted: Its shape with the B sequences first.

    Raises:
        ShapeError: Another shape, or other values than booleans.
    """
    if given is None:
        return [None] * wanted[0]
    tensor = _tensor(given)
    if tensor.dtype != torch.bool or tuple(tensor.shape) not in (wanted, wanted[1:]):
        raise ShapeError(f"rollout {name} has shape {tuple(tensor.shape)} and dtype {tensor.dtype}; wanted {wanted[1:]} or {wanted}, bool.")
    return list(tensor.expand(wanted))


def chosen_columns(visual_columns: Array, count: int, reaches: Sequence[Reach]) -> list[torch.Tensor]:
    """The visual columns (N,) bool of each of `count` sequences, in host memory.

    Raises:
        ShapeError: Neither positions nor booleans of the right shape, positions out of range, or columns outside of the trunk or in
            the padding.
    """
    given, length = _tensor(visual_columns).cpu(), len(reaches[0])
    if given.dtype == torch.bool:
        if tuple(given.shape) not in ((length,), (count, length)):
            raise ShapeError(f"visual columns have shape {tuple(given.shape)} and dtype bool; wanted {(length,)} or {(count, length)}.")
        chosen = given.expand(count, -1)
    else:
        chosen = _positions(given, length).expand(count, -1)
    for reach, columns in zip(reaches, chosen, strict=True):
        if columns[reach.trunk :].any():
            raise ShapeError(
                f"visual columns reach to {int(columns.nonzero()[-1])}; wanted them within the first {reach.trunk} tokens, "
                "which all prompts share."
            )
        if reach.tokens is not None and (columns & ~reach.tokens.cpu()).any():
            raise ShapeError("some visual columns are padding; wanted positions of tokens alone.")
    return list(chosen)


def _positions(given: torch.Tensor, length: int) -> torch.Tensor:
    if given.ndim != 1 or given.is_floating_point() or given.is_complex():
        raise ShapeError(f"visual columns have shape {tuple(given.shape)} and dtype {given.dtype}; wanted (V,) integers, or booleans.")
    if given.numel() and not (given.min() >= 0 and given.max() < length):
        raise ShapeError(
            f"visual columns span {int(given.min())} to {int(given.max())}; wanted 0 to {length - 1}, positions of {length} tokens."
        )
    chosen = torch.zeros(length, dtype=torch.bool)
    chosen[given.long()] = True
    return chosen


def _check_fit(index: int, query: torch.Tensor, key: torch.Tensor) -> None:
    where = f"rollout layer {index} has query {tuple(query.shape)} and key {tuple(key.shape)}"
    fits = query.ndim == key.ndim and query.ndim in (3, 4) and query.shape[-2:] == key.shape[-2:] and query.shape[:-3] == key.shape[:-3]
    if not fits or 0 in (*query.shape, *key.shape):
        raise ShapeError(f"{where}; wanted (H, N, d) and (G, N, d), or (B, H, N, d) and (B, G, N, d).")
    if query.shape[-3] % key.shape[-3]:
        raise ShapeError(f"{where}; wanted a number of query heads that is a multiple of the key heads.")
    if query.dtype != key.dtype or not query.is_floating_point():
        raise ShapeError(f"rollout layer {index} has a query of {query.dtype} and a key of {key.dtype}; wanted one floating type.")
    if query.device != key.device:
        raise ShapeError(f"rollout layer {index} has its query on {query.device} and its key on {key.device}; wanted them together.")


def _check_same(index: int, query: torch.Tensor, after: torch.Tensor) -> None:
    where = f"rollout layer {index} has query {tuple(query.shape)}"
    if query.shape[2] != after.shape[2]:
        raise ShapeError(f"{where}; wanted {after.shape[2]} tokens, as the layer after it has.")
    if len(query) != len(after):
        raise ShapeError(f"{where}, {len(query)} sequences; wanted {len(after)}, as the layer after it has.")
    if query.dtype != after.dtype:
        raise ShapeError(f"{where} of {query.dtype}; wanted {after.dtype}, as the layer after it has.")


def _tensor(array: Array) -> torch.Tensor:
    return array if isinstance(array, torch.Tensor) else torch.as_tensor(array)
