"""A package that nobody here has seen adds a scorer and a fusion strategy; a recipe uses each by one line."""

from __future__ import annotations

from typing import Any

from gazecut.pipeline import Pipeline
from gazecut.plugins import discover
from gazecut.protocols import Runtime
from gazecut.recipe import load_recipe
from gazecut.testing import FAKE_RECIPE, moving_square

PLUGIN = """
from gazecut.components import ComponentSpec, hookimpl

@hookimpl
def register_scorer(register):
    register(ComponentSpec("even", "all count alike", "acme_parts:EvenScorer", "acme_parts:EvenOptions"))

@hookimpl
def register_fusion(register):
    register(ComponentSpec("sharpen", "maps to a power", "acme_parts:SharpenFusion", "acme_parts:SharpenOptions"))
"""
PARTS = """
from dataclasses import replace

import numpy as np

from gazecut.options import Options
from gazecut.values import Judgement


class EvenOptions(Options):
    score: float = 1.0


class SharpenOptions(Options):
    power: float = 2.0


class EvenScorer:
    def __init__(self, config):
        self._config = config

    def judge(self, tracklets, maps, fused):
        count = len(tracklets)
        return Judgement(np.full(count, self._config.score), np.ones(count, bool))


class SharpenFusion:
    def __init__(self, config):
        self._config = config

    def plan(self, queries):
        return queries

    def fuse(self, maps):
        return maps.map_open(lambda entry: replace(entry.maps, values=np.clip(entry.maps.values, 0, 1) ** self._config.power))
"""


def test_one_line_each_in_a_recipe(plugin_folder: Any) -> None:
    plugin_folder.add("acme", {"acme_plugin": PLUGIN, "acme_parts": PARTS}, {"main": "acme_plugin"}, version="0.2")
    registry = discover(modules=["gazecut.testing.plugin"])
    recipe = dict(FAKE_RECIPE) | {"scorer": {"use": "even", "score": 0.25}, "fusion": [*FAKE_RECIPE["fusion"], {"use": "sharpen"}]}
    pipeline = Pipeline(load_recipe(recipe, (), registry), registry, Runtime("cpu"))
    sample = moving_square()
    result = pipeline.segment(sample.images, "the square")
    assert result.masks.any()
    assert {judged.score for judged in result.tracklets} == {0.25}
    used = result.manifest["components"]
    assert {"acme 0.2"} == {f"{each['distribution']} {each['version']}" for each in used if each["name"] in ("even", "sharpen")}
