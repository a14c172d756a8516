"""A checkpoint for all tests."""

from pathlib import Path

import pytest
from tiny_smolvlm import build


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny SmolVLM2."""
    return build(tmp_path_factory.mktemp("smolvlm"))
