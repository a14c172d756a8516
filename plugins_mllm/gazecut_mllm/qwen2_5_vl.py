"""Qwen2.5-VL (arXiv 2502.13923): temporal positions follow real time, `tokens_per_second` of the checkpoint per second of clip."""

from __future__ import annotations

from gazecut.values import Frames
from gazecut_mllm.backend import Backend
from gazecut_mllm.config import Qwen25VLConfig
from gazecut_mllm.qwen import QwenVL


class Qwen25VL(QwenVL):
    """Qwen2.5-VL on one checkpoint."""

    model_type = "qwen2_5_vl"

    options: Qwen25VLConfig

    def slot_step(self, frames: Frames) -> float:
        """Temporal positions from one slot to the next: seconds per slot times positions per second."""
        seconds = self.options.seconds_per_slot
        span = frames.seconds_between * self.frames_per_slot if seconds == "auto" else seconds
        return span * float(self.model_config.vision_config.tokens_per_second)


class Qwen25VLBackend(Backend):
    """Qwen2.5-VL; options are `config.Qwen25VLConfig`."""

    family_class = Qwen25VL
