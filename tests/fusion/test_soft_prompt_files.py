"""Folders of soft prompts: PEFT reads ours, we read what we wrote, and nothing that does not fit gets through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import save_file

from gazecut.errors import OutputError, ShapeError, WeightsError
from gazecut_fusion.soft_prompt_files import (
    ADAPTER,
    RECORD,
    TENSORS,
    Backbone,
    SoftPrompt,
    SoftPromptRecord,
    load_soft_prompt,
    save_soft_prompt,
)

RECORD_OF_FRAMES = SoftPromptRecord(
    view="frame",
    place="before-text",
    backbone=Backbone(mllm="qwen2.5-vl", weights="Qwen/Qwen2.5-VL-7B-Instruct", revision="abc", signature="qwen2_5_vl, width 8, 00ff"),
    prompts="steerseg",
    attribution={"use": "rollout", "head_weighting": "mean", "first_layer": 14, "last_layer": None, "row": "last-prompt"},
    normalization="per-frame",
    initial_text="Look at the object ‘that’ is meant.",
    training={"steps": 6500, "seed": 0},
)


def prompt(tokens: int = 4, width: int = 8, dtype: str = "float32") -> SoftPrompt:
    return SoftPrompt(np.random.default_rng(0).normal(size=(tokens, width)).astype(dtype), RECORD_OF_FRAMES)


@given(
    embeddings=st.sampled_from(["float16", "float32"]).flatmap(
        lambda dtype: arrays.arrays(
            dtype,
            arrays.array_shapes(min_dims=2, max_dims=2, max_side=9),
            elements={"allow_nan": False, "allow_infinity": False},
        )
    )
)
def test_what_is_written_is_read_again_to_the_bit(embeddings: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("soft")
    found = load_soft_prompt(save_soft_prompt(SoftPrompt(embeddings, RECORD_OF_FRAMES), folder))
    assert found.record == RECORD_OF_FRAMES
    assert found.embeddings.dtype == embeddings.dtype
    assert found.embeddings.tobytes() == embeddings.tobytes()


def test_a_file_of_the_papers_size_can_be_sent_around(tmp_path: Path) -> None:
    save_soft_prompt(prompt(64, 3584, "float16"), tmp_path)
    assert 64 * 3584 * 2 < (tmp_path / TENSORS).stat().st_size < 480_000


def test_peft_reads_configuration_and_tensor(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    from peft.utils import load_peft_weights

    ours = prompt()
    save_soft_prompt(ours, tmp_path)
    config = peft.PeftConfig.from_pretrained(str(tmp_path))
    assert isinstance(config, peft.PromptTuningConfig)
    assert (config.num_virtual_tokens, config.token_dim, config.task_type) == (4, 8, "CAUSAL_LM")
    assert config.base_model_name_or_path == "Qwen/Qwen2.5-VL-7B-Instruct"
    weights = load_peft_weights(str(tmp_path), device="cpu")
    assert np.array_equal(weights["prompt_embeddings"].numpy(), ours.embeddings)


def test_peft_puts_them_before_a_language_model(tmp_path: Path) -> None:
    peft, transformers, torch = (pytest.importorskip(name) for name in ("peft", "transformers", "torch"))
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(vocab_size=16, **shape))
    ours = prompt()
    steered = peft.PeftModel.from_pretrained(model, str(save_soft_prompt(ours, tmp_path)))
    assert np.array_equal(steered.prompt_encoder["default"].embedding.weight.detach().numpy(), ours.embeddings)
    assert steered(input_ids=torch.arange(3)[None]).logits.shape == (1, 4 + 3, 16)


def test_we_read_the_tensor_that_peft_writes(tmp_path: Path) -> None:
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(vocab_size=16, **shape))
    tuned = peft.get_peft_model(model, peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    tuned.save_pretrained(str(tmp_path))
    with pytest.raises(WeightsError, match=r"has no gazecut\.json; wanted adapter_model\.safetensors"):
        load_soft_prompt(tmp_path)
    (tmp_path / RECORD).write_text(RECORD_OF_FRAMES.model_dump_json())
    found = load_soft_prompt(tmp_path)
    assert np.array_equal(found.embeddings, tuned.prompt_encoder["default"].embedding.weight.detach().numpy())


def test_saving_replaces_and_leaves_no_other_files(tmp_path: Path) -> None:
    save_soft_prompt(prompt(4), tmp_path / "new" / "video")
    save_soft_prompt(prompt(6), tmp_path / "new" / "video")
    assert load_soft_prompt(tmp_path / "new" / "video").embeddings.shape == (6, 8)
    assert {path.name for path in (tmp_path / "new" / "video").iterdir()} == {TENSORS, ADAPTER, RECORD}


def test_saving_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write soft prompts to .*file/video.*give another folder"):
        save_soft_prompt(prompt(), tmp_path / "file" / "video")


@pytest.mark.parametrize("missing", [TENSORS, ADAPTER, RECORD])
def test_every_file_is_needed(missing: str, tmp_path: Path) -> None:
    save_soft_prompt(prompt(), tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(WeightsError, match=missing.replace(".", r"\.")):
        load_soft_prompt(tmp_path)


def edit(folder: Path, name: str, **changes: Any) -> None:
    content = json.loads((folder / name).read_text()) | changes
    (folder / name).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        (ADAPTER, {"peft_type": "LORA"}, r'is of peft_type "LORA"; wanted "PROMPT_TUNING"'),
        (ADAPTER, {"token_dim": 16}, r"holds prompt_embeddings \(4, 8\).*= \(4, 16\); the files are not of one piece"),
        (ADAPTER, {"num_virtual_tokens": 5}, r"= \(5, 8\); the files are not of one piece"),
        (RECORD, {"version": 2}, r"is of version 2; this gazecut reads version 1"),
        (RECORD, {"view": "side"}, r"view: Input should be 'video' or 'frame'"),
        (RECORD, {"backbone": {"mllm": "qwen2-vl"}}, r"backbone\.weights: Field required"),
        (RECORD, {"color": "red"}, r"color: Extra inputs are not permitted"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    save_soft_prompt(prompt(), tmp_path)
    edit(tmp_path, name, **changes)
    with pytest.raises(WeightsError, match=said):
        load_soft_prompt(tmp_path)


@pytest.mark.parametrize(("content", "said"), [("{", "cannot read"), ("[]", "holds no mapping")])
@pytest.mark.parametrize("name", [ADAPTER, RECORD])
def test_json_that_is_damaged_is_refused(name: str, content: str, said: str, tmp_path: Path) -> None:
    save_soft_prompt(prompt(), tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(WeightsError, match=f"{said}.*Fetch or train them again"):
        load_soft_prompt(tmp_path)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"weight": np.ones((4, 8), np.float32)}, "holds weight; wanted prompt_embeddings alone"),
        ({"prompt_embeddings": np.ones((4, 8))}, "are stored as F64; wanted F16 or F32"),
        ({"prompt_embeddings": np.full((4, 8), np.nan, np.float32)}, "hold values that are not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tensors: dict[str, np.ndarray], said: str, tmp_path: Path) -> None:
    save_soft_prompt(prompt(), tmp_path)
    save_file(tensors, tmp_path / TENSORS)
    with pytest.raises(WeightsError, match=said):
        load_soft_prompt(tmp_path)


def test_a_damaged_tensor_file_is_refused(tmp_path: Path) -> None:
    save_soft_prompt(prompt(), tmp_path)
    (tmp_path / TENSORS).write_bytes((tmp_path / TENSORS).read_bytes()[:50])
    with pytest.raises(WeightsError, match=r"cannot read .*adapter_model.safetensors.*Fetch or train them again"):
        load_soft_prompt(tmp_path)


@pytest.mark.parametrize(
    ("embeddings", "error"),
    [
        (np.zeros((2, 3, 4), np.float32), ShapeError),
        (np.zeros((2, 3)), WeightsError),
        (np.zeros((0, 3), np.float32), WeightsError),
        (np.full((2, 3), np.inf, np.float16), WeightsError),
    ],
)
def test_a_soft_prompt_checks_itself(embeddings: np.ndarray, error: type[Exception]) -> None:
    with pytest.raises(error, match="prompt_embeddings"):
        SoftPrompt(embeddings, RECORD_OF_FRAMES)
