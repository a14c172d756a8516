"""The store on disk: what goes in comes out whole, or not at all."""

from __future__ import annotations

import errno
import logging
import os
import random
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gazecut.cache import Store, default_folder, default_limit, digest, digest_arrays, usage
from gazecut.errors import RequestError

KEY, OTHER = digest("one"), digest("two")
MAPS = {
    "map": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "flags": np.array([True, False]),
    "folded": np.arange(6, dtype=np.float16).reshape(2, 3).T,
    "number": np.array(3.5),
    "nothing": np.zeros((0, 2), np.int64),
}
FACTS = {"texts": ["a circle", "ein Kreis, größer"], "none": None}
MIB = 2**20


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "stages", 100 * MIB)


def file_of(store: Store) -> Path:
    return store.entries()[0].path


def assert_same(store: Store) -> None:
    found = store.read("maps", KEY)
    assert found is not None
    assert found.facts == FACTS
    assert {name: array.dtype for name, array in found.arrays.items()} == {name: array.dtype for name, array in MAPS.items()}
    for name, array in MAPS.items():
        np.testing.assert_array_equal(found.arrays[name], array, strict=True)


def test_what_was_written_is_read(store: Store) -> None:
    assert store.read("maps", KEY) is None
    store.write("maps", KEY, MAPS, FACTS)
    assert_same(store)
    assert store.read("maps", OTHER) is None
    assert store.read("answers", KEY) is None


def test_facts_need_no_arrays(store: Store) -> None:
    store.write("answers", KEY, {}, FACTS)
    found = store.read("answers", KEY)
    assert found is not None
    assert (dict(found.arrays), found.facts) == ({}, FACTS)


def test_200_damages_are_never_a_wrong_result(store: Store) -> None:
    draw = random.Random(7)
    store.write("maps", KEY, MAPS, FACTS)
    whole = file_of(store).read_bytes()
    seen = set()
    for _ in range(200):
        kind = draw.choice(["flip", "cut", "delete", "version", "grow", "empty", "swap"])
        seen.add(kind)
        path = file_of(store)
        match kind:
            case "flip":
                place = draw.randrange(8 * len(whole))
                path.write_bytes(bytes(byte ^ (1 << place % 8) if at == place // 8 else byte for at, byte in enumerate(whole)))
            case "cut":
                path.write_bytes(whole[: draw.randrange(len(whole))])
            case "delete":
                path.unlink()
            case "version":
                path.write_bytes(whole.replace(b"gazecut 1\n", b"gazecut 0\n"))
            case "grow":
                path.write_bytes(whole + draw.randbytes(draw.randint(1, 9)))
            case "empty":
                path.write_bytes(b"")
            case "swap":
                store.write("maps", OTHER, {"map": np.zeros(3)}, {})
                (path.parents[1] / OTHER[:2] / f"{OTHER}.stage").replace(path)
        assert store.read("maps", KEY) is None, kind
        assert store.entries() == [], kind  # it is gone, and made again
        store.write("maps", KEY, MAPS, FACTS)
        assert_same(store)
    assert len(seen) == 7


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    store = Store(tmp_path, 10 * MIB)
    keys = [digest(number) for number in range(8)]
    for age, key in enumerate(keys):
        store.write("maps", key, {"map": np.zeros(MIB, np.uint8)}, {})
        os.utime(store._path("maps", key), (0, 1000 + age))
    assert store.read("maps", keys[0])  # used just now
    for number in range(8, 12):
        store.write("maps", digest(number), {"map": np.zeros(MIB, np.uint8)}, {})
    left = {entry.key for entry in store.entries()}
    assert sum(entry.size for entry in store.entries()) <= 10 * MIB
    assert keys[0] in left
    assert digest(11) in left
    assert not {keys[1], keys[2]} & left


def test_nothing_larger_than_the_limit_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, MIB)
    store.write("maps", KEY, {"map": np.zeros(MIB + 1, np.uint8)}, {})
    assert store.entries() == []


def test_use_and_clear(store: Store) -> None:
    store.write("maps", KEY, MAPS, FACTS)
    store.write("maps", OTHER, MAPS, FACTS)
    store.write("answers", KEY, {}, FACTS)
    table = list(usage(store.entries()))
    assert [(stage, files) for stage, files, _ in table] == [("answers", 1), ("maps", 2)]
    (file_of(store).parent / ".writing-dead").write_bytes(b"half")
    assert store.clear() == sum(size for _, _, size in table)
    assert [path for path in store.folder.rglob("*") if path.exists()] == []
    assert store.clear() == 0


def test_what_dead_writers_left_is_swept_and_living_ones_are_let_be(store: Store) -> None:
    store.write("maps", KEY, MAPS, FACTS)
    dead, living = file_of(store).parent / ".writing-dead", file_of(store).parent / ".writing-living"
    dead.write_bytes(b"half")
    living.write_bytes(b"half")
    os.utime(dead, (0, time.time() - 7200))
    Store(store.folder, store.limit).write("maps", OTHER, MAPS, FACTS)
    assert not dead.exists()
    assert living.exists()
    assert_same(store)


def test_a_folder_that_refuses_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file" / "stages", MIB)
    for key in (KEY, OTHER):
        store.write("maps", key, MAPS, FACTS)
    assert store.read("maps", KEY) is None
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"cannot keep results in {store.folder}: Not a directory; going on without"
    ]


def test_a_disk_that_takes_no_writes_is_read_all_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write("maps", KEY, MAPS, FACTS)

    def refuse(*arguments: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "utime", refuse)
    assert_same(store)


def test_those_who_share_a_folder_can_read_what_others_wrote(store: Store) -> None:
    before = os.umask(0o022)
    try:
        store.write("maps", KEY, MAPS, FACTS)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file_of(store).stat().st_mode) == 0o644


def test_what_others_keep_in_the_folder_stays(tmp_path: Path) -> None:
    store = Store(tmp_path, 4 * MIB)
    others = [
        tmp_path / "play" / "act" / "first.stage",
        tmp_path / "play" / "ab" / "first.stage",
        tmp_path / "maps" / OTHER[:2] / f"{KEY}.stage",  # in no place of a key
        tmp_path / "deep" / "down" / ".writing-home",
    ]
    for path in others:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"mine")
        os.utime(path, (0, 1000))
    (tmp_path / "empty" / "folder").mkdir(parents=True)
    for number in range(8):
        store.write("maps", digest(number), {"map": np.zeros(MIB, np.uint8)}, {})
    assert 0 < store.clear() <= 4 * MIB
    assert [path.read_bytes() for path in others] == [b"mine"] * 4
    assert (tmp_path / "empty" / "folder").is_dir()
    assert store.entries() == []


def test_folders_that_vanish_while_room_is_made_harm_nobody(tmp_path: Path) -> None:
    store, other = Store(tmp_path, MIB), Store(tmp_path, MIB)
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            for number in range(50):
                (tmp_path / "maps" / f"{number:02x}").mkdir(parents=True, exist_ok=True)
            other.clear()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(300):
            assert store.entries() == []
    finally:
        stop.set()
        thread.join()


WRITER = """
import sys
from pathlib import Path
import numpy as np
from gazecut.cache import Store, digest
store = Store(Path(sys.argv[1]), 2**30)
print("ready", flush=True)
for number in range(100_000):
    value = number % 5
    found = store.read("maps", digest(value))
    assert found is None or (found.arrays["map"] == value).all() and found.facts == {"value": value}
    store.write("maps", digest(value), {"map": np.full(200_000, value)}, {"value": value})
"""


def test_writers_at_once_and_killed_ones_leave_no_wrong_file(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) for _ in range(2)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    time.sleep(1.0)
    for writer in writers:
        assert writer.poll() is None  # no assertion of theirs failed
        writer.kill()
        writer.communicate()
    store = Store(tmp_path, 2**30)
    for value in range(5):
        found = store.read("maps", digest(value))
        assert found is not None
        assert (found.arrays["map"] == value).all()
    assert len(store.entries()) == 5


def test_where_and_how_much(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GAZECUT_CACHE", str(tmp_path))
    monkeypatch.setenv("GAZECUT_CACHE_GIB", "0.5")
    assert (default_folder(), default_limit()) == (tmp_path, 2**29)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GAZECUT_CACHE", "~/kept")  # as a file of settings has it, which no shell has read
    assert default_folder() == tmp_path / "kept"
    monkeypatch.delenv("GAZECUT_CACHE")
    monkeypatch.delenv("GAZECUT_CACHE_GIB")
    assert default_folder().parts[-2:] == ("gazecut", "stages")
    assert default_limit() == 10 * 2**30


@pytest.mark.parametrize("text", ["much", "-1", "nan", "inf"])
def test_a_limit_that_is_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("GAZECUT_CACHE_GIB", text)
    with pytest.raises(RequestError) as caught:
        default_limit()
    assert str(caught.value) == f'GAZECUT_CACHE_GIB is "{text}"; wanted how many GiB of results may be kept, a number of 0 or more.'


def test_keys_know_content_and_nothing_else() -> None:
    assert digest({"a": 1, "b": [True, None]}) == digest({"b": [True, None], "a": 1})
    assert len({digest(content) for content in ("1", 1, [1], {"1": 1}, None, 1.5, True)}) == 7
    with pytest.raises(TypeError):
        digest({"path": Path()})
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest(float("nan"))
    with pytest.raises(ValueError, match="no key of the cache"):
        Store(Path(), 1).read("maps", "../../etc")


NUMBERS = hnp.boolean_dtypes() | hnp.integer_dtypes() | hnp.unsigned_integer_dtypes() | hnp.floating_dtypes()


@given(hnp.arrays(NUMBERS, hnp.array_shapes(max_dims=3, max_side=4)), st.text(max_size=3))
def test_equal_arrays_equal_name(array: np.ndarray, name: str) -> None:
    folded = np.asfortranarray(array)
    swapped = array.astype(array.dtype.newbyteorder())
    assert digest_arrays({name: array}) == digest_arrays({name: folded}) == digest_arrays({name: swapped})
    assert digest_arrays({name: array}) != digest_arrays({name + "x": array})
    assert digest_arrays({name: array}) != digest_arrays({name: array[None]})
