"""Where every value of a filled-in recipe comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gazecut.plugins import discover
from gazecut.recipe import Recipe, builtin_recipes, load_recipe
from gazecut.recipe.problems import Place
from gazecut.registry import Registry

CHILD = """\
version: 1
extends: base.yaml
mllm:
  views: {frame: {tokens: 9}}
  size: [1, 2]
selector: sigma
about: |
  two
  # 2
"""

SHOWN = r"""version: 1             # r.yaml:1:10
about: "two\n# 2\n"    # r.yaml:7:8
sampler:
  use: uniform         # base.yaml:3:16
  frames: 7            # --set
mllm:
  use: small.v1        # base.yaml:4:13
  weights: here        # base.yaml:4:32
  view: video          # default of mllm small.v1
  views:
    video:
      tokens: 64       # base.yaml:4:62
    frame:
      tokens: 9        # r.yaml:4:27
  seconds: auto        # default of mllm small.v1
  size:                # r.yaml:5:9
  - 1
  - 2
  names: null          # default of mllm small.v1
prompts: decaf         # base.yaml:5:10
attribution:
  use: rollout         # base.yaml:6:14
fusion:
- use: blur            # base.yaml:8:11
  sigma: 3.0           # --set
  side: 3              # default of fusion blur
- use: mean            # base.yaml:9:5
selector:
  use: sigma           # r.yaml:6:11
  sigma: 1.0           # default of selector sigma
  side: 3              # default of selector sigma
segmenter:
  use: classical       # base.yaml:11:12
scorer:
  use: judge           # base.yaml:12:15
  keep:
    above: 0.5         # base.yaml:12:36
    otherwise: best    # default of scorer judge
tracklets:
  suppress_above: 0.7  # default of tracklets
  link_above: 0.5      # default of tracklets
  contrast_above: 0.0  # default of tracklets
exporters:
- use: masks           # default of exporters
- use: sheet           # default of exporters
  sigma: 1.0           # default of exporter sheet
  side: 3              # default of exporter sheet
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry, recipe_text: str) -> Recipe:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(recipe_text)
    Path("r.yaml").write_text(CHILD)
    return load_recipe("r.yaml", ["sampler.frames=7", "fusion.blur.sigma=3"], registry)


def test_a_reader_sees_the_origin_of_every_value(recipe: Recipe) -> None:
    assert recipe.to_yaml(origins=True) == SHOWN


def test_what_is_shown_is_the_recipe(recipe: Recipe, registry: Registry) -> None:
    Path("again.yaml").write_text(recipe.to_yaml(origins=True))
    again = load_recipe("again.yaml", registry=registry)
    assert again.filled() == recipe.filled()
    assert set(again.origins) == set(recipe.origins)
    assert all(place.source == "again.yaml" for place in again.origins.values())


def test_places_by_path(recipe: Recipe) -> None:
    assert recipe.origins["mllm", "views", "frame", "tokens"] == Place("r.yaml", 4, 27)
    assert recipe.origins["fusion", 0, "sigma"] == Place("--set")
    assert recipe.origins["fusion", 0, "use"] == Place("base.yaml", 8, 11)
    assert recipe.origins["scorer", "keep", "otherwise"] == Place("default of scorer judge")


def test_for_programs(recipe: Recipe) -> None:
    values = {each["path"]: (each["value"], each["origin"]) for each in json.loads(json.dumps(recipe.values()))}
    assert values["fusion.0.sigma"] == (3.0, "--set")
    assert values["mllm.size"] == ([1, 2], "r.yaml:5:9")
    assert values["tracklets.suppress_above"] == (0.7, "default of tracklets")


def test_a_recipe_given_as_data_has_origins_too(recipe: Recipe, registry: Registry) -> None:
    loaded = load_recipe({"version": 1, "extends": "base.yaml", "sampler": {"frames": 2}}, {"about": "x"}, registry)
    assert loaded.origins["sampler", "frames"] == Place("recipe")
    assert loaded.origins["sampler", "use"] == Place("base.yaml", 3, 16)
    assert loaded.origins["about",] == Place("overrides")


def test_one_value_that_stands_for_a_block_is_the_origin_of_all_of_it(recipe: Recipe, plugin_folder: Any) -> None:
    modules = {
        "acme_short": (
            "from gazecut.components import ComponentSpec, hookimpl\n"
            "@hookimpl\n"
            "def register_selector(register): register(ComponentSpec('short', 'made up', 'nowhere:Thing', 'acme_short_config:Config'))\n"
        ),
        "acme_short_config": (
            "from typing import Any\n"
            "from pydantic import field_validator\n"
            "from gazecut.options import Options\n"
            "class Sides(Options):\n"
            "    video: int = 1\n"
            "    frame: int = 1\n"
            "class Config(Options):\n"
            "    sides: Sides = Sides()\n"
            "    @field_validator('sides', mode='before')\n"
            "    @classmethod\n"
            "    def _both(cls, value: Any): return {'video': value, 'frame': value} if isinstance(value, int) else value\n"
        ),
    }
    plugin_folder.add("acme-short", modules, {"main": "acme_short"})
    Path("short.yaml").write_text("version: 1\nextends: base.yaml\nselector: {use: short, sides: 5}\n")
    loaded = load_recipe("short.yaml", registry=discover(plugin_folder.distributions()))
    assert loaded.filled()["selector"] == {"use": "short", "sides": {"video": 5, "frame": 5}}
    assert loaded.origins["selector", "sides", "frame"] == Place("short.yaml", 3, 31)


@pytest.mark.parametrize("name", builtin_recipes())
def test_every_value_of_a_shipped_recipe_has_an_origin(name: str) -> None:
    registry = discover()
    recipe = load_recipe(name, registry=registry)
    commented = [line for line in recipe.to_yaml(origins=True).splitlines() if "  # " in line]
    assert len(commented) == len(recipe.origins)
    assert {place.source.split(" ")[0] for place in recipe.origins.values()} <= {*builtin_recipes(), "default"}
