"""What users see when weights or devices are not what they asked for."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file

from gazecut.errors import DeviceError, WeightsError
from gazecut.protocols import Runtime
from gazecut_mllm.backend import Backend
from gazecut_mllm.config import Qwen2VLConfig, Qwen25VLConfig
from gazecut_mllm.devices import peak_memory, present_devices, resolve_device, resolve_dtype
from gazecut_mllm.family import Placement
from gazecut_mllm.hf import load
from gazecut_mllm.qwen2_5_vl import Qwen25VLBackend
from gazecut_mllm.qwen2_vl import Qwen2VLBackend
from gazecut_mllm.weights import load_processor, locate

FAMILIES = ("qwen2-vl", "qwen2.5-vl", "qwen3-vl")
HINTS = {
    "qwen2_vl": "qwen2-vl",
    "qwen2_5_vl": "qwen2.5-vl",
    "qwen3_vl": "qwen3-vl",
    "internvl": "internvl3",
    "llava_onevision": "llava-onevision",
}
KINDS = {name: kind for kind, name in HINTS.items()}
MISSING = {
    "processor_config.json": "cannot load processor and tokenizer files of|has no image processor|has no video processor",
    "chat_template.jinja": "has no chat template",
    "tokenizer.json": "does not know|cannot load processor and tokenizer files",
    "model.safetensors": "cannot load weights in safetensors form",
}
BESIDE = {
    "processor_config.json": ("preprocessor_config.json", "video_preprocessor_config.json"),
    "tokenizer.json": ("tokenizer_config.json",),
}
"""What says the same, and must be gone too."""


@pytest.fixture
def copy(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """A checkpoint that a test may break."""
    return Path(shutil.copytree(checkpoint("qwen2.5-vl"), tmp_path / "copy"))


def open_backend(weights: object, device: str = "cpu") -> Qwen25VLBackend:
    return Qwen25VLBackend(Qwen25VLConfig(weights=str(weights)), Runtime(device))


def test_a_folder_inside_a_package(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_models"
    package.mkdir()
    (package / "__init__.py").touch()
    copy.rename(package / "tiny")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert locate("package:some_models/tiny").folder == package / "tiny"
    assert open_backend("package:some_models/tiny").describe().weights == "package:some_models/tiny"
    with pytest.raises(WeightsError, match='package "some_models" has no folder "other"'):
        locate("package:some_models/other")
    with pytest.raises(WeightsError, match='no package "none_such" is installed'):
        locate("package:none_such/tiny")
    sys.modules.pop("some_models", None)


def test_paths_that_are_no_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(WeightsError, match=r"model.safetensors is a file; wanted the folder"):
        locate(str(file))
    for missing in (str(tmp_path / "none"), "./none", "~/none-such", "none", "a/b/c"):
        with pytest.raises(WeightsError, match=r"no folder .*; wanted one with config.json"):
            locate(missing)
    with pytest.raises(WeightsError, match=r"folder .* has no config.json; wanted a whole checkpoint"):
        open_backend(tmp_path)


def test_a_hub_id_without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        WeightsError, match=r'hub does not give "some-owner/some-model": .*offline, only what is in the hub cache'
    ) as caught:
        open_backend("some-owner/some-model")
    assert caught.value.exit_status == 2
    with pytest.raises(WeightsError, match=r'hub does not give "some-owner/some-model" at v1: '):
        load("some-owner/some-model", revision="v1", device="cpu")
    with pytest.raises(WeightsError, match=r'hub does not give "not an/id"'):
        locate("not an/id")


def test_a_hub_id_in_the_cache_needs_no_network(copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "cache" / "models--some-owner--some-model"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    (cached / "snapshots").mkdir()
    copy.rename(cached / "snapshots" / commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    found = open_backend("some-owner/some-model").describe()
    assert (found.weights, found.revision) == ("some-owner/some-model", commit)


def test_another_family(checkpoint: Callable[[str], Path]) -> None:
    with pytest.raises(WeightsError, match=r'holds a model of type "qwen2_vl"; wanted "qwen2_5_vl". Set mllm.use to "qwen2-vl"'):
        open_backend(checkpoint("qwen2-vl"))
    with pytest.raises(WeightsError, match=r'Set mllm\.use to "qwen2\.5-vl"'):
        Qwen2VLBackend(Qwen2VLConfig(weights=str(checkpoint("qwen2.5-vl"))), Runtime("cpu"))


@pytest.mark.parametrize("found", HINTS)
@pytest.mark.parametrize("asked", FAMILIES)
def test_weights_of_any_other_family(asked: str, found: str, make_backend: Callable[..., Backend], tmp_path: Path) -> None:
    kind = KINDS[asked]
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip" if found == kind else found}))
    then = "Choose weights of that family" if found == kind else rf'Set mllm\.use to "{re.escape(HINTS[found])}"'
    with pytest.raises(WeightsError, match=rf'holds a model of type "\w+"; wanted "{kind}"\. {then}\.') as caught:
        make_backend(asked, weights=str(tmp_path))
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("missing", MISSING)
def test_a_missing_file(
    family: str, missing: str, checkpoint: Callable[[str], Path], make_backend: Callable[..., Backend], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoint(family), tmp_path / "copy"))
    (folder / missing).unlink()
    for name in BESIDE.get(missing, ()):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(WeightsError, match=MISSING[missing]) as caught:
        make_backend(family, weights=str(folder))
    assert caught.value.exit_status == 2


def test_broken_weights(copy: Path) -> None:
    file = copy / "model.safetensors"
    tensors = load_file(file)
    save_file(dict(list(tensors.items())[1:]), file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks 1 tensors, first .*; they would stay at random"):
        open_backend(copy)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="cannot load weights in safetensors form of folder"):
        open_backend(copy)
    file.unlink()
    torch.save(tensors, copy / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="cannot load weights in safetensors form of folder"):
        open_backend(copy)


def test_weights_of_another_size(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 80
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="cannot load weights in safetensors form of folder"):
        open_backend(copy)


def test_incomplete_processors(copy: Path) -> None:
    template = copy / "chat_template.jinja"
    words = template.read_text()
    template.write_text("no place for anything")
    with pytest.raises(WeightsError, match="chat template does not place one"):
        open_backend(copy)._reader.chat.turn("x", Placement("video", ("<|video_pad|>",), "<|video_pad|>"))
    template.unlink()
    with pytest.raises(WeightsError, match="has no chat template"):
        open_backend(copy)
    template.write_text(words)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copy / name).unlink()
    with pytest.raises(WeightsError, match=r"tokenizer of .* does not know <\|image_pad\|> as token \d+"):
        open_backend(copy)


def test_a_tokenizer_alone_is_no_processor(copy: Path) -> None:
    for name in ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json", "config.json"):
        (copy / name).unlink(missing_ok=True)
    with pytest.raises(WeightsError, match="processor"):
        load_processor(locate(str(copy)))


def test_devices() -> None:
    assert present_devices()[-1] == "cpu"
    assert resolve_device("auto") == torch.device(present_devices()[0])
    assert resolve_device("cpu") == torch.device("cpu")
    for absent in ("tpu", "cuda:99", "cpu:1"):
        with pytest.raises(DeviceError, match=rf'device "{absent}" is not here; this machine has: .*cpu\. Choose one of them, or "auto"'):
            resolve_device(absent)
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match='device "cuda" is not here'):
            open_backend("never-looked-at/here", "cuda")


def test_dtypes() -> None:
    assert resolve_dtype("auto", torch.device("cpu")) == torch.float32
    assert resolve_dtype("auto", torch.device("cuda")) == torch.bfloat16
    assert resolve_dtype("float16", torch.device("cpu")) == torch.float16
    assert peak_memory(torch.device("cpu")) == 0


def test_half_precision_loads_and_answers(checkpoint: Callable[[str], Path]) -> None:
    backend = Qwen25VLBackend(Qwen25VLConfig(weights=str(checkpoint("qwen2.5-vl")), dtype="bfloat16", max_new_tokens=3), Runtime("cpu"))
    assert backend.describe().dtype == "bfloat16"
    assert isinstance(backend.complete("the red circle"), str)
