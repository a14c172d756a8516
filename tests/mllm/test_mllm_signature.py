"""A model's signature: the same however it was loaded, another for another model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText

from gazecut.protocols import Runtime
from gazecut_mllm.config import Qwen25VLConfig
from gazecut_mllm.hf import load
from gazecut_mllm.qwen2_5_vl import Qwen25VLBackend


def signature(weights: Path, dtype: str = "float32") -> str | None:
    return Qwen25VLBackend(Qwen25VLConfig(weights=str(weights), dtype=dtype), Runtime("cpu")).describe().signature


def test_it_says_family_and_width(checkpoint: Callable[[str], Path]) -> None:
    backend = load(checkpoint("qwen2.5-vl"), device="cpu")
    assert backend.signature.startswith(f"qwen2_5_vl, width {backend.width}, ")


def test_neither_folder_nor_dtype_changes_it(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    known = signature(checkpoint("qwen2.5-vl"))
    copy = shutil.copytree(checkpoint("qwen2.5-vl"), tmp_path / "copy")
    assert {signature(copy, dtype) for dtype in ("float32", "bfloat16", "float16")} == {known}


def test_another_model_has_another(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint("qwen2.5-vl"), tmp_path / "other")
    model = AutoModelForImageTextToText.from_pretrained(folder)
    torch.manual_seed(1)
    torch.nn.init.normal_(model.get_input_embeddings().weight)
    model.save_pretrained(folder)
    assert signature(folder) != signature(checkpoint("qwen2.5-vl"))
