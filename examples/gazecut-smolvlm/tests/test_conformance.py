"""The family keeps the rules of multimodal LLMs."""

from pathlib import Path

import pytest
from gazecut.testing import MLLMConformance
from gazecut_mllm.capture import is_capturing


class TestSmolVLM(MLLMConformance):
    component = "smolvlm"

    @pytest.fixture(autouse=True)
    def _weights(self, weights: Path) -> None:
        type(self).options = {"weights": str(weights), "max_new_tokens": 6}

    def is_capturing(self) -> bool:
        return is_capturing()
