"""The fused kernel without a card: its tests under Triton's interpreter, and its code through the compiler."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("triton", reason="Triton has no build for this platform")

ROOT = Path(__file__).parents[2]

TESTS = ("tests/gpu/test_gpu_rollout.py", "tests/mllm/test_mllm_parity.py")

COMPILE = """
import sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from gazecut_mllm.rollout import tiles

SIZES = {"WIDTH": 128, "ROWS": 64, "KEYS": 64, "UPCAST": False}
POINTERS = {"query": "*bf16", "key": "*bf16", "starts": "*i32", "rows": "*fp32", "logs": "*fp32", "products": "*fp32", "peaks": "*fp32"}

def compile(kernel, present, capability, **sizes):
    constants = {**SIZES, **sizes, **{name: None for name in ("tokens", "mask", "starts", "chosen") if name not in present}}
    signature, values = {}, {}
    for at, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name], values[(at,)] = "constexpr", constants[name]
        else:
            signature[name] = POINTERS.get(name) or ("*u8" if name in present else "fp32" if name == "scale" else "i32")
    source = ASTSource(fn=kernel, signature=signature, constexprs=values)
    built = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 4, "num_stages": 2})
    print(kernel.__name__, capability, built.asm["cubin"][:4] == b"\\x7fELF")

for capability in (80, 90):
    compile(tiles.rows_kernel, ("chosen", "starts", "tokens"), capability)
    compile(tiles.columns_kernel, ("mask",), capability, BATCH=1)
    compile(tiles.columns_kernel, ("starts",), capability, BATCH=16, ROWS=32)
"""


@pytest.mark.skipif(torch.cuda.is_available(), reason="Triton starts where there is a CUDA device")
def test_a_triton_that_does_not_start_is_a_lack() -> None:
    fused = importlib.import_module("gazecut_mllm.rollout.fused")
    somewhere: Any = SimpleNamespace(is_cuda=True, dtype=torch.bfloat16, shape=(4, 100, 64), device=torch.device("cuda:0"))
    assert re.fullmatch(r"Triton does not start here \(.*drivers?.*\)", fused.lack(somewhere))


def test_tests_of_the_card_pass_under_the_interpreter() -> None:
    # A process of its own: Triton reads the variable when the kernels are defined.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", *TESTS],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_compiles_for_the_cards_that_it_is_meant_for(tmp_path: Path) -> None:
    script = tmp_path / "compile.py"  # Triton reads the source of what imports it
    script.write_text(COMPILE)
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    kernels = ("rows_kernel", "columns_kernel", "columns_kernel")
    assert done.stdout.splitlines() == [f"{name} {capability} True" for capability in (80, 90) for name in kernels], done.stderr
