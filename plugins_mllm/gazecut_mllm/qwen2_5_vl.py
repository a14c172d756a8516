"""Qwen2.5-VL: temporal positions follow real time, `tokens_per_second` of the checkpoint per second of clip."""

from __future__ import annotations

from typing import ClassVar

from gazecut.protocols import Runtime
from gazecut.values import Frames
from gazecut_mllm.config import Qwen25VLConfig
from gazecut_mllm.qwen import QwenBackend


class Qwen25VLBackend(QwenBackend):
    """Qwen2.5-VL (arXiv 2502.13923)."""

    family: ClassVar[str] = "qwen2_5_vl"

    def __init__(self, config: Qwen25VLConfig, runtime: Runtime) -> None:
        """Load model and processor.

        Raises:
            WeightsError: The weights cannot be found, read, or are of another family.
            DeviceError: The machine has no such device.
        """
        super().__init__(config, runtime)
        self._seconds_per_slot = config.seconds_per_slot

    def slot_step(self, frames: Frames) -> float:
        """Temporal positions from one slot to the next: seconds per slot times positions per second."""
        seconds = self._seconds_per_slot
        span = frames.seconds_between * self._frames_per_slot if seconds == "auto" else seconds
        return span * float(self._reader.hf.model.config.vision_config.tokens_per_second)
