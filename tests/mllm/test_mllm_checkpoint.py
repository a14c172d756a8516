"""What a checkpoint is known by: another text whenever its files are others, without loading anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gazecut_mllm.checkpoint import Checkpoint, identify, on_this_machine
from gazecut_mllm.config import Qwen25VLConfig

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    copy = tmp_path / "checkpoint"
    shutil.copytree(checkpoint("qwen2.5-vl"), copy, copy_function=shutil.copy2)
    return copy


def known_by(weights: object, verify: bool = False, revision: str | None = None) -> str | None:
    return identify(Qwen25VLConfig(weights=str(weights), revision=revision), verify)


def keep_time(path: Path, change: Callable[[Path], object]) -> None:
    """Change a file and set its times back."""
    status = path.stat()
    change(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_the_same_files_are_the_same(folder: Path, tmp_path: Path) -> None:
    assert known_by(folder) == known_by(folder)
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved, copy_function=shutil.copy2)
    assert known_by(moved) == known_by(folder)
    (folder / "README.md").write_text("not read by anyone")
    (folder / "optimizer.bin").write_bytes(b"neither is this")
    assert known_by(moved) == known_by(folder)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda folder: (folder / WEIGHTS).rename(folder / "other.safetensors"), id="name"),
        pytest.param(lambda folder: keep_time(folder / "config.json", lambda path: path.write_text(path.read_text() + "\n")), id="size"),
        pytest.param(lambda folder: keep_time(folder / WEIGHTS, lambda path: flip(path, 40)), id="header"),
        pytest.param(lambda folder: (folder / "generation_config.json").unlink(), id="gone"),
        pytest.param(lambda folder: (folder / "more.safetensors").write_bytes(b"\x01"), id="more, and too short for a header"),
    ],
)
def test_other_files_are_others(folder: Path, change: Callable[[Path], object]) -> None:
    before = known_by(folder), known_by(folder, verify=True)
    change(folder)
    after = known_by(folder), known_by(folder, verify=True)
    assert None not in after
    assert after[0] != before[0]
    assert after[1] != before[1]


def test_files_of_another_time_are_others_unless_they_are_read(folder: Path) -> None:
    before = known_by(folder), known_by(folder, verify=True)
    os.utime(folder / "tokenizer.json", ns=(1, 1))
    assert known_by(folder) != before[0]
    assert known_by(folder, verify=True) == before[1]


def test_verifying_reads_every_byte(folder: Path) -> None:
    weights = folder / WEIGHTS
    signs, content = known_by(folder), known_by(folder, verify=True)
    assert signs != content
    keep_time(weights, lambda path: flip(path, path.stat().st_size - 1))
    assert known_by(folder) == signs  # that is what is given up for speed
    assert known_by(folder, verify=True) != content
    keep_time(weights, lambda path: flip(path, path.stat().st_size - 1))
    assert known_by(folder, verify=True) == content


def test_a_safetensors_file_that_lies_about_its_header_is_still_known(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((2**62).to_bytes(8, "little") + b"{}")
    assert known_by(folder) is not None


def test_a_package_is_known_by_its_files() -> None:
    from importlib import resources

    weights = "package:gazecut_mllm/pocket"
    found = on_this_machine(weights)
    assert found is not None
    assert found.folder.is_dir()
    assert known_by(weights) == known_by(resources.files("gazecut_mllm") / "pocket")


def hub_snapshot(cache: Path, source: Path, commit: str) -> Path:
    """What the hub's library leaves behind for "someone/model", its branch main at a commit."""
    repository = cache / "models--someone--model"
    snapshot = repository / "snapshots" / commit
    shutil.copytree(source, snapshot, copy_function=shutil.copy2)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(commit)
    return snapshot


def test_a_snapshot_of_the_hub_is_known_by_its_commit(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert known_by("someone/model") is None
    first, second = "1" * 40, "2" * 40
    snapshot = hub_snapshot(tmp_path / "hub", folder, first)
    assert known_by("someone/model") == f"someone/model {first}"
    assert known_by("someone/model", verify=True) == known_by(folder, verify=True)
    os.utime(snapshot / "config.json", ns=(1, 1))
    assert known_by("someone/model") == f"someone/model {first}"
    hub_snapshot(tmp_path / "hub", folder, second)
    assert known_by("someone/model") == f"someone/model {second}"
    assert known_by("someone/model", revision=first) == f"someone/model {first}"
    assert known_by("someone/model", revision="3" * 40) is None


@pytest.mark.parametrize("weights", ["no/such/folder/anywhere", "/nowhere", "package:gazecut_mllm/nothing", "package:no_such_package/x"])
def test_what_is_nowhere_is_not_known(weights: str) -> None:
    assert known_by(weights) is None
    assert known_by(weights, verify=True) is None


def test_a_file_is_no_checkpoint(folder: Path) -> None:
    assert known_by(folder / WEIGHTS) is None


def test_names_in_messages(folder: Path) -> None:
    assert Checkpoint(folder).about == f"folder {folder}"
    assert Checkpoint(folder, "1" * 40, "someone/model").about == f'folder {folder} (hub id "someone/model")'


def test_nothing_that_computes_is_imported(folder: Path) -> None:
    code = f"""
import sys
from gazecut_mllm.checkpoint import identify
from gazecut_mllm.config import Qwen25VLConfig
for weights in ({str(folder)!r}, "package:gazecut_mllm/pocket", "someone/model"):
    for verify in (False, True):
        identify(Qwen25VLConfig(weights=weights), verify)
print(sorted({{"torch", "transformers", "numpy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() in ("[]", "['numpy']")
