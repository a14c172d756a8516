"""A whole pipeline of fakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from gazecut.pipeline import Pipeline
from gazecut.plugins import discover
from gazecut.protocols import Runtime
from gazecut.recipe import load_recipe

PLUGIN = "gazecut.testing.plugin"

FAKE_RECIPE: Mapping[str, Any] = MappingProxyType(
    {
        "version": 1,
        "about": "fakes at every stage; finds what stands out of an even ground",
        "sampler": {"use": "fake"},
        "mllm": {"use": "fake"},
        "prompts": "decaf",
        "attribution": {"use": "fake"},
        "fusion": [{"use": "fake-difference"}, {"use": "fake-mean"}],
        "selector": {"use": "fake"},
        "segmenter": {"use": "fake"},
        "scorer": {"use": "fake"},
        "exporters": [{"use": "fake"}],
    }
)
"""A recipe of fakes alone, to override where a real component is wanted."""


def fake_pipeline(overrides: Mapping[str, Any] | None = None, *, plugins: Sequence[Any] = (), observers: Sequence[object] = ()) -> Pipeline:
    """A pipeline of fakes, which segments `moving_square` in milliseconds; needs no weights and no torch.

    Args:
        overrides: {"stage": "component"} or {"stage.option": value}, for example {"scorer": "my-scorer"}.
        plugins: Plugin modules, or their names, besides those that are installed.
        observers: Who is told of its runs.
    """
    registry = discover(modules=[PLUGIN, *plugins])
    return Pipeline(load_recipe(FAKE_RECIPE, overrides or {}, registry), registry, Runtime("cpu"), observers)
