"""Rollout rows and logits that the official DecAF code gave on tiny random models."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gazecut_mllm.hf import HFBackend, load
from gazecut_mllm.rollout import rollout_row

FIXTURES = ("rollout_qwen2_5_vl", "rollout_internvl")


def prepared(name: str, data: Any) -> dict[str, Any]:
    inputs = {key: torch.from_numpy(data[key]) for key in data.files if key not in ("rollout", "logits_last", "start_layer")}
    if name == "rollout_qwen2_5_vl":
        inputs["second_per_grid_ts"] = torch.tensor([1.0])
        inputs["mm_token_type_ids"] = 2 * (inputs["input_ids"] == 191).int()
    return inputs


@pytest.fixture(params=FIXTURES)
def case(request: pytest.FixtureRequest, shared: Callable[[str], Path], tmp_path: Path) -> tuple[HFBackend, dict[str, Any], Any]:
    name = request.param
    shutil.copy(shared(f"parity/{name}.config.json"), tmp_path / "config.json")
    shutil.copy(shared(f"parity/{name}.safetensors"), tmp_path / "model.safetensors")
    data = np.load(shared(f"parity/{name}.npz"))
    return load(tmp_path, device="cpu"), prepared(name, data), data


@pytest.mark.parametrize("kernel", ["auto", "chunked", "reference", pytest.param("fused", marks=pytest.mark.gpu)])
def test_rollout_row(case: tuple[HFBackend, dict[str, Any], Any], kernel: Any) -> None:
    backend, inputs, data = case
    trace = backend.trace(inputs, int(data["start_layer"]))
    layers = trace.layers
    if kernel == "fused" and os.environ.get("TRITON_INTERPRET") != "1":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device, and TRITON_INTERPRET is not 1")
        layers = [(query.cuda(), key.cuda(), scale) for query, key, scale in layers]
    row = rollout_row(layers, trace.visual_columns, kernel=kernel)
    assert row.dtype == torch.float32
    error = np.linalg.norm(row.cpu().numpy() - data["rollout"][0]) / np.linalg.norm(data["rollout"][0])
    assert error <= 1e-5


def test_logits(case: tuple[HFBackend, dict[str, Any], Any]) -> None:
    backend, inputs, data = case
    with torch.inference_mode():
        logits = backend.model(**backend._prepare(inputs)).logits[0, -1]
    np.testing.assert_allclose(logits.numpy(), data["logits_last"], atol=1e-4)


def test_the_visual_columns_matter(case: tuple[HFBackend, dict[str, Any], Any]) -> None:
    backend, inputs, data = case
    trace = backend.trace(inputs, int(data["start_layer"]))
    for weighting in ("max", "mean"):
        row = rollout_row(trace.layers, trace.visual_columns, head_weighting=weighting).numpy()
        assert np.linalg.norm(row - data["rollout"][0]) / np.linalg.norm(data["rollout"][0]) > 1e-3


def test_internvl_columns_are_gathered_not_a_range(shared: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copy(shared("parity/rollout_internvl.config.json"), tmp_path / "config.json")
    shutil.copy(shared("parity/rollout_internvl.safetensors"), tmp_path / "model.safetensors")
    data = np.load(shared("parity/rollout_internvl.npz"))
    columns = load(tmp_path, device="cpu").trace(prepared("rollout_internvl", data), 3).visual_columns
    assert columns.tolist() == np.flatnonzero(data["input_ids"][0] == 190).tolist()
    assert int(columns[-1] - columns[0]) + 1 > len(columns)
