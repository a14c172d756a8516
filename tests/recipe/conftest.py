"""A made-up set of components with options of every sort, so that recipes are tested apart from the real ones."""

from __future__ import annotations

from typing import Any

import pytest

from gazecut.plugins import discover
from gazecut.recipe.stages import SINGLE
from gazecut.registry import Registry

CONFIGS = '''
from typing import Annotated, Literal
from pydantic import Field, field_validator
from gazecut.options import Options

class Plain(Options):
    """No options."""

class Sampler(Options):
    frames: Annotated[int, Field(ge=1)] = 16

class Video(Options):
    tokens: int = 400

class Views(Options):
    video: Video = Video()
    frame: Video | None = None

class Model(Options):
    weights: str
    view: Literal["video", "frame"] = "video"
    views: Views = Views()
    seconds: float | Literal["auto"] = "auto"
    size: tuple[int, int] | None = None
    names: list[Literal["video", "frame"]] | None = None

class Blur(Options):
    sigma: Annotated[float, Field(gt=0)] = 1.0
    side: int = 3

    @field_validator("side")
    @classmethod
    def _odd(cls, side):
        if side % 2 == 0:
            raise ValueError(f"{side} is even")
        return side

class Keep(Options):
    above: float = 0.8
    otherwise: Literal["best", "none"] = "best"

class Scorer(Options):
    keep: Literal["best"] | Keep = "best"
'''

PLUGIN = """
from gazecut.components import ComponentSpec, hookimpl

def spec(name, config="Plain"):
    return ComponentSpec(name, "made up", "no_such_module_anywhere:Thing", f"acme_config:{config}")

@hookimpl
def register_sampler(register): register(spec("uniform", "Sampler"))
@hookimpl
def register_mllm(register): register(spec("small.v1", "Model")); register(spec("large", "Model"))
@hookimpl
def register_attribution(register): register(spec("rollout"))
@hookimpl
def register_fusion(register): register(spec("blur", "Blur")); register(spec("blur.v2", "Blur")); register(spec("mean"))
@hookimpl
def register_selector(register): register(spec("argmax")); register(spec("sigma", "Blur"))
@hookimpl
def register_segmenter(register): register(spec("classical"))
@hookimpl
def register_scorer(register): register(spec("judge", "Scorer"))
@hookimpl
def register_exporter(register): register(spec("masks")); register(spec("sheet", "Blur"))
"""

RECIPE = """\
version: 1
about: made up
sampler: {use: uniform, frames: 4}
mllm: {use: small.v1, weights: here, views: {video: {tokens: 64}}}
prompts: decaf
attribution: rollout
fusion:
  - {use: blur, sigma: 2.0}
  - mean
selector: argmax
segmenter: classical
scorer: {use: judge, keep: {above: 0.5}}
"""


@pytest.fixture
def registry(plugin_folder: Any) -> Registry:
    """The made-up components, as Gazecut's own."""
    plugin_folder.add("gazecut", {"acme_plugin": PLUGIN, "acme_config": CONFIGS}, {"main": "acme_plugin"})
    registry = discover(plugin_folder.distributions())
    assert not registry.failures
    assert all(registry.names(kind) for kind in SINGLE)
    return registry


@pytest.fixture
def recipe_text() -> str:
    """A recipe of made-up components, without problems."""
    return RECIPE
