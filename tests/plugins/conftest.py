"""No setting of whoever runs the tests chooses plugins; helpers that make plugins up."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GAZECUT_DISABLE", "GAZECUT_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
