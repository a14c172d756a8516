"""The benchmark of the multimodal LLM's stage does what it says, at a size that takes seconds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch


@pytest.fixture(scope="module")
def stage(benchmark: Callable[[str], ModuleType]) -> Iterator[ModuleType]:
    """The benchmark on few and small frames."""
    module = benchmark("mllm_stage")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FRAMES", 3)
        patch.setattr(module, "TINY_SIZE", (60, 100))
        yield module


@pytest.mark.parametrize("name", ["qwen2.5-vl-7b", "internvl3-8b"])
def test_every_share_is_measured(stage: ModuleType, name: str) -> None:
    row = stage.measured(name, torch.device("cpu"), rounds=1, tiny=True)
    assert all(row[share] > 0 for share in ("vision", "prefill", "generation", "rollout"))
    # object and background, of the video and of 3 frames, and the category: 9 answers of 4 tokens
    assert row["generated_tokens"] == 9 * 4
    assert row["peak"] > 0
    text = stage.report([{**row, "vision": 1.0, "prefill": 2.0, "generation": 4.0, "rollout": 1.0}], "some machine", torch.device("cpu"))
    assert f"| {name}, tiny | " in text
    assert "| 8.00 | " in text
    assert " | 1.00 s (12%) | 2.00 s (25%) | 4.00 s (50%) | 1.00 s (12%) | " in text


def test_shapes_are_those_of_the_published_models(stage: ModuleType) -> None:
    """Counted without memory: 8.29 and 7.94 G parameters, as their model cards say."""
    from random_weights import SHAPES, learnt
    from transformers import AutoModelForImageTextToText, PreTrainedTokenizerFast

    for name, parameters in (("qwen2.5-vl-7b", 8.29e9), ("internvl3-8b", 7.94e9)):
        build, special = SHAPES[name]
        names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *special.values()]
        extra = special if name.startswith("internvl3") else {}
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=learnt(["a page"], names), eos_token="<|im_end|>", extra_special_tokens=extra)
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(build(tokenizer, False)[0])
        assert abs(model.num_parameters() - parameters) < 0.005e9


def test_a_cpu_is_told_to_take_tiny_models(stage: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["mllm_stage.py"])
    with pytest.raises(SystemExit):
        stage.main()
    assert "give --device cuda, or --tiny" in capsys.readouterr().err


def test_a_tiny_run_writes_nothing(
    stage: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"name": "x", "parameters": 10**6, "peak": 2**30, "vision": 1, "prefill": 1, "generation": 1, "rollout": 1}
    monkeypatch.setattr(stage, "measured", lambda *_arguments: {**row, "prompt_tokens": 7, "generated_tokens": 8})
    for tiny, written in (([], 2), (["--tiny"], 0)):
        folder = tmp_path / f"written-{written}"
        monkeypatch.setattr(sys, "argv", ["mllm_stage.py", "--device", "cuda", *tiny, "--output", str(folder)])
        stage.main()
        assert "| x | 1.0 M | 4.00 | 1.0 GiB |" in capsys.readouterr().out
        assert len(list(folder.glob("*"))) == written
        assert not written or json.loads((folder / "mllm_stage.json").read_text())["rows"][0]["name"] == "x"
