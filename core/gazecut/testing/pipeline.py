"""A whole pipeline of fakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from gazecut.pipeline import Pipeline

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


def fake_pipeline(
    overrides: Mapping[str, Any] | None = None,
    *,
    plugins: Sequence[ModuleType | str | Path] = (),
    observers: Sequence[object] = (),
    cache: bool = True,
) -> Pipeline:
    """A pipeline of fakes, which segments `moving_square` in milliseconds; needs no weights and no torch.

    Args:
        overrides: {"stage": "component"} or {"stage.option": value}, for example {"scorer": "my-scorer"}.
        plugins: Plugins that are not installed: modules, dotted names of modules, or paths of .py files.
        observers: Who is told of its runs.
        cache: Keep results of stages on disk, as every pipeline does.
    """
    return Pipeline.from_recipe(
        FAKE_RECIPE, overrides=overrides or {}, device="cpu", observers=observers, plugins=[PLUGIN, *plugins], cache=cache
    )
