"""The keys of a recipe, in the order in which data passes through them."""

from __future__ import annotations

from gazecut.components import Kind

SINGLE: tuple[Kind, ...] = ("sampler", "mllm", "attribution", "selector", "segmenter", "scorer")
"""Stages that are one component; every recipe has all of them."""

LISTS: dict[str, Kind] = {"fusion": "fusion", "exporters": "exporter"}
"""Stages that are a list of components; a child's list replaces its parent's whole."""

KEYS = (
    "version",
    "about",
    "extends",
    "sampler",
    "mllm",
    "prompts",
    "attribution",
    "fusion",
    "selector",
    "segmenter",
    "scorer",
    "tracklets",
    "exporters",
)
