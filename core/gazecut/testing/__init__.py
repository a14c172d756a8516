"""What plugin packages test themselves with: conformance classes, fakes of every stage, a synthetic clip, pytest fixtures.

A component keeps its kind's rules when the conformance class of that kind passes. Subclass it and name the component:

```python
from gazecut.testing import FusionConformance

class TestMaxFusion(FusionConformance):
    component = "max"
```

Run it with `pytest`. The component is found as any command finds it, so its package must be installed; one that is not yet is
named by `plugins = ["my_package.plugin"]`. Options that it cannot do without go into `options = {"weights": "path/to/folder"}`.
Every rule is a method of the class, its first docstring line is the rule. A failure says it again, with what was found and what
is allowed:

```
scorer "overlap" (acme-scorer 1.0) breaks the rule: Every tracklet gets one score.
  found:   1 score for 3 tracklets
  allowed: 3 scores
```

There is a class for each kind that has a protocol: `SamplerConformance`, `MLLMConformance`, `AttributionConformance`,
`FusionConformance`, `SelectorConformance`, `SegmenterConformance`, `ScorerConformance`, `ExporterConformance`,
`TrainerConformance`; `CONFORMANCE` has them by kind. They run on the CPU, in seconds.

`moving_square()` gives a clip with its truth, `gazecut.testing.fakes` a component of each kind that needs no weights and no torch,
and `fake_pipeline()` a whole pipeline of them that segments the square in milliseconds. Where Gazecut is installed, pytest also has the
fixtures `clip`, `scene`, `fake_mllm` and `pipeline`; see `gazecut.testing.pytest_plugin`.

The conformance classes need pytest: `pip install "gazecut[test]"`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gazecut.testing.conformance import (
        CONFORMANCE,
        AttributionConformance,
        Conformance,
        ExporterConformance,
        FusionConformance,
        MLLMConformance,
        SamplerConformance,
        ScorerConformance,
        SegmenterConformance,
        SelectorConformance,
        TrainerConformance,
    )
    from gazecut.testing.pipeline import FAKE_RECIPE, fake_pipeline
    from gazecut.testing.square import MovingSquare, moving_square

__all__ = [
    "CONFORMANCE",
    "FAKE_RECIPE",
    "AttributionConformance",
    "Conformance",
    "ExporterConformance",
    "FusionConformance",
    "MLLMConformance",
    "MovingSquare",
    "SamplerConformance",
    "ScorerConformance",
    "SegmenterConformance",
    "SelectorConformance",
    "TrainerConformance",
    "fake_pipeline",
    "moving_square",
]

# Imported on first use: pytest loads the plugin in this package in every run of every environment that has Gazecut.
_MODULES = {"FAKE_RECIPE": "pipeline", "fake_pipeline": "pipeline", "MovingSquare": "square", "moving_square": "square"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'conformance')}"), name)
    except ModuleNotFoundError as error:
        if error.name != "pytest":
            raise
        raise ImportError(f'{__name__}.{name} needs pytest, which is not installed. Install it: pip install "gazecut[test]"') from error
