"""What distributions say of themselves is foreign text: whatever it is, the others load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gazecut.plugins import discover
from gazecut.registry import Registry

PLUGIN = """
from gazecut.components import ComponentSpec, hookimpl

@hookimpl
def register_fusion(register):
    register(ComponentSpec(name="good", summary="made up", target="good:Thing", config="good:Config"))
"""
METADATA = "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n"
ENTRY_POINTS = "[gazecut]\nmain = acme\n"


@pytest.fixture
def found(plugin_folder: Any) -> Any:
    plugin_folder.add("good", {"good": PLUGIN}, {"main": "good"})

    def discovered(metadata: str | bytes | None = METADATA, entry_points: str | bytes | None = ENTRY_POINTS) -> Registry:
        info = plugin_folder.path / "acme-1.0.dist-info"
        info.mkdir()
        for name, content in (("METADATA", metadata), ("entry_points.txt", entry_points)):
            if content is not None:
                (info / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        registry = discover(plugin_folder.distributions())
        assert registry.names("fusion") == ("good",)
        return registry

    return discovered


@pytest.mark.parametrize("metadata", [None, "", "Version: 1.0\n", "Name:  \nVersion: 1.0\n", b"\xff\xfe\x00Name: acme", "Name"])
def test_a_distribution_without_a_name_is_a_failure(found: Any, plugin_folder: Any, metadata: Any) -> None:
    (failure,) = found(metadata).failures
    assert failure.reason == f"the metadata of a distribution in {plugin_folder.path} has no name; install it again"
    assert failure.origin.distribution == "?"


def test_several_without_a_name_are_all_shown(found: Any, plugin_folder: Any) -> None:
    info = plugin_folder.path / "other-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    assert len(found(None).failures) == 2


def test_a_version_is_not_needed(plugin_folder: Any) -> None:
    plugin_folder.add("good", {"good": PLUGIN}, {"main": "good"})
    (plugin_folder.path / "good-1.0.dist-info" / "METADATA").write_text("Name: good\n")
    assert str(discover(plugin_folder.distributions()).component("fusion", "good").origin) == "good ?"


@pytest.mark.parametrize(
    ("entry_points", "reason"),
    [
        ("[gazecut]\nno equals sign\n", "its entry_points.txt cannot be read (TypeError: "),
        (b"[gazecut]\nmain = \xff\n", "its entry_points.txt cannot be read (UnicodeDecodeError: "),
        ("[gazecut]\nmain =\n", 'its entry point "main" points to ""; wanted "package.module"'),
        ("[gazecut]\nmain = acme plugin\n", 'its entry point "main" points to "acme plugin"; wanted "package.module"'),
        ("[gazecut]\nmain = .acme\n", 'its entry point "main" points to ".acme"; wanted "package.module"'),
        ("[gazecut]\nmain = acme:\n", 'its entry point "main" points to "acme:"; wanted "package.module"'),
        ("[gazecut]\nmain = no_such_module_of_acme:plugin\n", "ModuleNotFoundError: No module named 'no_such_module_of_acme'"),
    ],
)
def test_a_malformed_entry_point_is_a_failure(found: Any, entry_points: Any, reason: str) -> None:
    (failure,) = found(entry_points=entry_points).failures
    assert failure.reason.startswith(reason)
    assert str(failure.origin) == "acme 1.0"


@pytest.mark.parametrize(
    "entry_points", [None, "", "garbage", b"\xff\xfe", "[console_scripts]\nbroken", "[gazecut.other]\nmain = acme\n", "[gazecut]\n"]
)
def test_distributions_that_declare_no_plugin_are_passed_over(found: Any, entry_points: Any) -> None:
    assert not found(entry_points=entry_points).failures


def test_two_entry_points_of_one_name_or_of_one_module(found: Any, plugin_folder: Any) -> None:
    (plugin_folder.path / "acme.py").write_text(PLUGIN.replace('"good"', '"other"'))
    (plugin_folder.path / "more.py").write_text(PLUGIN.replace('"good"', '"more"'))
    plugin_folder.add("zzz", {}, {"again": "good"})
    plugin_folder.add("twice", {}, {"main": "acme\nmain = more"})
    registry = discover(plugin_folder.distributions())
    assert registry.names("fusion") == ("good", "other")
    assert [failure.reason for failure in registry.failures] == [
        "another plugin is called twice:main, too",
        "is the same module as good:main of good 1.0",
    ]


def test_a_folder_that_is_no_distribution_at_all(found: Any, plugin_folder: Any) -> None:
    (plugin_folder.path / "acme-2.0.dist-info").write_text("a file in the place of a folder")
    Path(plugin_folder.path / "empty-1.0.dist-info").mkdir()
    assert len(found().failures) == 1  # acme itself, whose module is missing
