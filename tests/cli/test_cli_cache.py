"""The commands about what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gazecut.cache import Store, default_limit, digest


@pytest.fixture
def kept(own_cache: Path) -> Store:
    store = Store(own_cache, default_limit())
    store.write("readings", digest(1), {"maps": np.zeros((4, 8, 8), np.float32)}, {})
    store.write("tracks", digest(2), {}, {"tracks": []})
    return store


def test_what_is_kept_and_where(gazecut: Any, kept: Store) -> None:
    ended = gazecut("cache", "show")
    assert ended.status == 0
    header, readings, tracks, total, _, where = ended.out.splitlines()
    assert header.split() == ["STAGE", "FILES", "SIZE"]
    assert readings.split()[:3] == ["readings", "1", "1.2"]
    assert tracks.split()[:2] == ["tracks", "1"]
    assert total.split()[:2] == ["all", "2"]
    assert where == f"in {kept.folder}, at most 10.0 GiB; what was not used for longest goes first"
    assert gazecut("cache", "path").out == f"{kept.folder}\n"


def test_an_empty_cache_is_no_error(gazecut: Any, own_cache: Path) -> None:
    assert gazecut("cache", "show").out.splitlines()[1].split() == ["all", "0", "0", "B"]
    assert gazecut("cache", "clear").out == f"freed 0 B in {own_cache}\n"


def test_clearing(gazecut: Any, kept: Store) -> None:
    ended = gazecut("cache", "clear")
    assert ended.status == 0
    assert ended.out.startswith("freed 1.")
    assert kept.entries() == []


def test_a_limit_that_is_none_is_refused(gazecut: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAZECUT_CACHE_GIB", "much")
    ended = gazecut("cache", "show")
    assert ended.status == 2
    assert ended.err == 'gazecut: GAZECUT_CACHE_GIB is "much"; wanted how many GiB of results may be kept, a number of 0 or more.\n'
