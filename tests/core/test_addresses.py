"""Addresses of weights: which are ids of the hub, and which folders of packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gazecut.addresses import is_hub_id, packaged_folder
from gazecut.errors import WeightsError


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("facebook/sam2.1-hiera-large", True),
        ("owner", False),
        ("owner/name/more", False),
        ("./owner/name", False),
        ("./name", False),
        ("../name", False),
        ("/models", False),
        ("~/models", False),
        ("package:gazecut/core", False),
    ],
)
def test_hub_ids_are_told_from_paths(address: str, expected: bool) -> None:
    assert is_hub_id(address) is expected


def test_the_folder_of_a_package(plugin_folder: Any) -> None:
    small: Path = plugin_folder.path / "acme_weights" / "small"
    small.mkdir(parents=True)
    (small.parent / "__init__.py").touch()
    assert packaged_folder("package:acme_weights/small") == small
    assert packaged_folder("acme_weights/small") is None
    with pytest.raises(WeightsError, match='package "acme_weights" has no folder "large"; looked at'):
        packaged_folder("package:acme_weights/large")


@pytest.mark.parametrize("name", ["", "none_such", "..", "a b"])
def test_what_is_no_package_is_said(name: str) -> None:
    with pytest.raises(WeightsError, match=f'no package "{name}" is installed; install it, or give a folder or a hub id'):
        packaged_folder(f"package:{name}/x")
