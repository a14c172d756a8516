from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from gazecut.components import ComponentSpec
from gazecut_mllm import plugin
from gazecut_mllm.config import (
    FrameViewOptions,
    InternVL3Config,
    InternVL3FrameViewOptions,
    InternVL3ViewsOptions,
    LlavaOnevisionConfig,
    LlavaOnevisionFrameViewOptions,
    LlavaOnevisionViewsOptions,
    MLLMOptions,
    Qwen2VLConfig,
    Qwen3VLConfig,
    Qwen25VLConfig,
    QwenFrameViewOptions,
    QwenVideoViewOptions,
    QwenViewsOptions,
    RolloutConfig,
    VideoViewOptions,
    ViewsOptions,
)

OPTIONS = (
    MLLMOptions,
    ViewsOptions,
    VideoViewOptions,
    FrameViewOptions,
    Qwen2VLConfig,
    Qwen25VLConfig,
    QwenViewsOptions,
    QwenVideoViewOptions,
    QwenFrameViewOptions,
    InternVL3Config,
    InternVL3ViewsOptions,
    InternVL3FrameViewOptions,
    LlavaOnevisionConfig,
    LlavaOnevisionViewsOptions,
    LlavaOnevisionFrameViewOptions,
    RolloutConfig,
)
NAMES = ("qwen2.5-vl", "qwen3-vl", "qwen2-vl", "internvl3", "llava-onevision", "rollout")


def declared() -> dict[str, ComponentSpec]:
    found: list[ComponentSpec] = []
    plugin.register_mllm(found.append)
    plugin.register_attribution(found.append)
    return {spec.name: spec for spec in found}


def test_declarations() -> None:
    specs = declared()
    assert tuple(specs) == NAMES
    for spec in specs.values():
        assert spec.needs == "gazecut[mllm]"
        assert spec.requires == ("torch", "transformers", "torchvision")
        for where in (spec.target, spec.config):
            module, _, name = where.partition(":")
            assert hasattr(importlib.import_module(module), name)


def test_plugin_and_config_import_no_torch() -> None:
    code = f"""
import sys
sys.path[:0] = {[path for path in sys.path if path]!r}
import gazecut_mllm.plugin, gazecut_mllm.config
print(sorted({{"torch", "transformers", "torchvision"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_defaults_and_partial_views() -> None:
    config = Qwen25VLConfig(weights="x", views={"frame": {"batch": 2}})  # type: ignore[arg-type]
    assert (config.views.video.tokens_per_frame, config.views.frame.scale, config.views.frame.batch) == (400, 2, 2)
    assert config.seconds_per_slot == "auto"
    assert Qwen25VLConfig(weights="x", seconds_per_slot=1).seconds_per_slot == 1.0


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (Qwen25VLConfig, {}),
        (Qwen25VLConfig, {"weights": ""}),
        (Qwen25VLConfig, {"weights": "x", "seconds_per_slot": 0}),
        (Qwen25VLConfig, {"weights": "x", "seconds_per_slot": "fast"}),
        (Qwen2VLConfig, {"weights": "x", "seconds_per_slot": 1.0}),
        (Qwen3VLConfig, {"weights": "x", "seconds_per_slot": 0.0}),
        (Qwen2VLConfig, {"weights": "x", "dtype": "int8"}),
        (Qwen2VLConfig, {"weights": "x", "view": "sound"}),
        (Qwen2VLConfig, {"weights": "x", "views": {"video": {"tokens_per_frame": "many"}}}),
        (Qwen2VLConfig, {"weights": "x", "views": {"sound": {}}}),
        (Qwen2VLConfig, {"weights": "x", "max_new_tokens": 0}),
        (InternVL3Config, {"weights": "x", "views": {"frame": {"max_tiles": 0}}}),
        (InternVL3Config, {"weights": "x", "views": {"video": {"tokens_per_frame": 400}}}),
        (InternVL3Config, {"weights": "x", "views": {"frame": {"scale": 2}}}),
        (LlavaOnevisionConfig, {"weights": "x", "views": {"frame": {"max_tiles": 0}}}),
        (LlavaOnevisionConfig, {"weights": "x", "views": {"video": {"max_tiles": 4}}}),
        (RolloutConfig, {"head_weighting": "median"}),
        (RolloutConfig, {"first_layer": -1}),
        (RolloutConfig, {"row": "all"}),
        (RolloutConfig, {"chunk": 0}),
    ],
)
def test_wrong_options(model: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model(**options)


@pytest.mark.parametrize("model", OPTIONS)
def test_every_option_says_what_it_means(model: type[BaseModel]) -> None:
    for name, option in model.model_fields.items():
        assert option.description, name
