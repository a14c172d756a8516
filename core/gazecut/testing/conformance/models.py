"""What the rules for multimodal LLM backends look at: frames, traces, and what a model carries around."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from gazecut.arrays import Array, floating, to_numpy
from gazecut.values import Answer, Frames, Trace

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_DEEPEST = 5  # levels of attributes between a backend and its model


def noise(count: int = 2, size: tuple[int, int] = (64, 64), seed: int = 0) -> Frames:
    """Frames of random pixels, every other one of a clip with 4 frames a second."""
    images = np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)
    return Frames(images, np.arange(count, dtype=np.int64) * 2, 4.0)


def attention_rows(trace: Trace) -> Iterator[np.ndarray]:
    """The last token's attention in each layer, (H, N), worked out from its query and all keys."""
    for query, key, scale in trace.layers:
        last, keys = _numbers(query)[:, -1:], _numbers(key)
        logits = scale * (np.repeat(keys, len(last) // len(keys), axis=0) * last).sum(axis=2)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        yield weights / weights.sum(axis=1, keepdims=True)


def apart(first: Answer, second: Answer) -> float:
    """How far queries and keys of two answers are from each other, relative to the largest; infinite where their shapes differ."""
    pairs = [(one, other) for one, other in zip(_arrays(first), _arrays(second), strict=True)]
    if any(one.shape != other.shape for one, other in pairs):
        return np.inf
    return max((float(np.abs(one - other).max() / max(np.abs(one).max(), 1e-12)) for one, other in pairs), default=0.0)


def hook_count(component: object) -> int:
    """Forward hooks on every torch module that a component leads to, found without torch."""
    seen: set[int] = set()
    return sum(len(getattr(module, name)) for each in _inside(component, _DEEPEST, seen) for module in each.modules() for name in _HOOKS)


def attention_settings(model: Any) -> dict[str, str]:
    """The attention setting of a transformers model and of each of its parts."""
    parts = {"": model.config, **{name: part for name, part in vars(model.config).items() if hasattr(part, "_attn_implementation")}}
    return {name: str(part._attn_implementation) for name, part in parts.items()}


def _inside(thing: object, depth: int, seen: set[int]) -> Iterator[Any]:
    """Models among what an object holds."""
    if id(thing) in seen or depth < 0:
        return
    seen.add(id(thing))
    if all(hasattr(thing, name) for name in _HOOKS):
        yield thing
        return
    held: Iterable[object] = thing.values() if isinstance(thing, Mapping) else thing if isinstance(thing, list | tuple) else ()
    for each in (*held, *getattr(thing, "__dict__", {}).values()):
        yield from _inside(each, depth - 1, seen)


def _arrays(answer: Answer) -> list[np.ndarray]:
    return [_numbers(array) for trace in answer.traces for query, key, _ in trace.layers for array in (query, key)]


def _numbers(array: Array) -> np.ndarray:
    return to_numpy(floating(array))
