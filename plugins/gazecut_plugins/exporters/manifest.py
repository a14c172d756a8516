"""The run manifest as a file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gazecut.errors import OutputError
from gazecut.result import Result
from gazecut_plugins.exporters.config import ManifestOptions


class ManifestExporter:
    """Writes `run.json`: what is enough to repeat the run, and under "measured", last, what was measured."""

    def __init__(self, config: ManifestOptions) -> None:
        """Take the options, of which there are none."""

    def export(self, result: Result, folder: Path) -> None:
        """Write the manifest, in its own order.

        Raises:
            OutputError: It holds something that JSON cannot say.
        """
        try:
            text = json.dumps(_measured_last(result.manifest), default=_plain, ensure_ascii=False, allow_nan=False, indent=2)
        except (TypeError, ValueError) as exc:
            raise OutputError(
                f"run.json: {exc}; wanted text, finite numbers, lists and mappings. Look at the components' options and descriptions."
            ) from exc
        (folder / "run.json").write_text(text + "\n", encoding="utf-8")


def _measured_last(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sorted(manifest.items(), key=lambda entry: entry[0] == "measured"))  # stable: the rest keeps its order


def _plain(value: object) -> object:
    """NumPy values, paths and read-only mappings as JSON has them."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON: {str(value)[:60]}")
