"""Gazecut turns a sentence and a video into masks by reading where a multimodal LLM looks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gazecut.pipeline import Pipeline
    from gazecut.result import Result

    __version__: str

__all__ = ["Pipeline", "Result", "__version__"]

# Imported on first use: `import gazecut` is part of every listing and recipe check, which must not wait for OpenCV and PyAV.
_LAZY = {"Pipeline": "gazecut.pipeline", "Result": "gazecut.result"}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata  # slow to import, and an interruption before `main` begins ends in a traceback

        return metadata.version("gazecut")
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
