"""Qwen2-VL: a temporal slot is one step in time, whatever the clip's speed."""

from __future__ import annotations

from typing import ClassVar

from gazecut.protocols import Runtime
from gazecut_mllm.config import Qwen2VLConfig
from gazecut_mllm.qwen import QwenBackend


class Qwen2VLBackend(QwenBackend):
    """Qwen2-VL (arXiv 2409.12191)."""

    family: ClassVar[str] = "qwen2_vl"

    def __init__(self, config: Qwen2VLConfig, runtime: Runtime) -> None:
        """Load model and processor.

        Raises:
            WeightsError: The weights cannot be found, read, or are of another family.
            DeviceError: The machine has no such device.
        """
        super().__init__(config, runtime)
