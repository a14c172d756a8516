"""Qwen2-VL (arXiv 2409.12191): a temporal slot is one step in time, whatever the clip's speed."""

from __future__ import annotations

from gazecut_mllm.backend import Backend
from gazecut_mllm.qwen import QwenVL


class Qwen2VL(QwenVL):
    """Qwen2-VL on one checkpoint."""

    model_type = "qwen2_vl"


class Qwen2VLBackend(Backend):
    """Qwen2-VL; options are `config.Qwen2VLConfig`."""

    family_class = Qwen2VL
