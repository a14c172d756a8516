"""What `sam2-hf` takes for weights, what it says of others, and what a checkpoint is known by."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gazecut.cli.app import run
from gazecut.errors import DeviceError, WeightsError
from gazecut.protocols import Runtime
from gazecut.values import Points
from gazecut_segmenter import sam2_weights
from gazecut_segmenter.config import Sam2HfOptions
from gazecut_segmenter.sam2_files import identify
from gazecut_segmenter.sam2_hf import Sam2HfSegmenter

torch.set_num_threads(1)


def segmenter_of(weights: Path | str, **options: Any) -> Sam2HfSegmenter:
    return Sam2HfSegmenter(Sam2HfOptions(weights=str(weights), **options), Runtime("cpu"))


@pytest.fixture
def own_folder(sam2_folder: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(sam2_folder, tmp_path / "weights"))


def trust_of(segmenter: Sam2HfSegmenter) -> float:
    """Predicted IoU of one point on one frame: enough to tell models apart."""
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)

    class Still:
        name, length, fps, size = "still", 1, 24.0, (30, 40)

        def frames(self, indices: Any = None) -> Any:
            yield image

    with segmenter.open(Still()) as session:
        return float(session.masks_at(0, Points.single_clicks(np.array([[0, 0.4, 0.6, 1.0]])), image[..., 0] / 255).predicted_iou[0])


def test_folder_file_and_metas_names_give_the_same_model(tiny_sam2: Any, tmp_path: Path) -> None:
    shutil.copyfile(tiny_sam2.folder / "config.json", tmp_path / "config.json")
    for file, name in ((tiny_sam2.folder / "model.safetensors", "any.safetensors"), (tiny_sam2.file, "meta.safetensors")):
        shutil.copyfile(file, tmp_path / name)
    trusts = {
        trust_of(segmenter_of(weights)) for weights in (tiny_sam2.folder, tmp_path / "any.safetensors", tmp_path / "meta.safetensors")
    }
    assert len(trusts) == 1


def test_it_says_where_its_weights_come_from(sam2_folder: Path) -> None:
    provenance = segmenter_of(sam2_folder).describe()
    assert (provenance.device, provenance.dtype, provenance.weights, provenance.revision) == ("cpu", "float32", str(sam2_folder), None)
    assert segmenter_of(sam2_folder).peak_memory() == 0


def test_a_config_that_leaves_the_decoder_to_its_defaults_is_read(own_folder: Path) -> None:
    before = trust_of(segmenter_of(own_folder))
    config = json.loads((own_folder / "config.json").read_text())
    config["mask_decoder_config"] = {"hidden_size": 128, "model_type": ""}
    (own_folder / "config.json").write_text(json.dumps(config))
    assert trust_of(segmenter_of(own_folder)) == before


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_weights_that_were_saved_in_half_precision_compute_in_the_wanted_one(kind: torch.dtype, own_folder: Path) -> None:
    halves = {name: tensor.to(kind) for name, tensor in load_file(own_folder / "model.safetensors").items()}
    trusts = []
    for tensors, named in ((halves, kind), ({name: tensor.float() for name, tensor in halves.items()}, torch.float32)):
        save_file(tensors, own_folder / "model.safetensors", metadata={"format": "pt"})
        trusts.append(trust_of(segmenter_of(changed(own_folder, {"dtype": str(named).removeprefix("torch.")}))))
    assert trusts[0] == trusts[1]


def test_one_of_two_equal_tensors_suffices(own_folder: Path) -> None:
    before = trust_of(segmenter_of(own_folder))
    tensors = load_file(own_folder / "model.safetensors")
    del tensors["prompt_encoder.shared_embedding.positional_embedding"]
    save_file(tensors, own_folder / "model.safetensors", metadata={"format": "pt"})
    assert trust_of(segmenter_of(own_folder)) == before


def test_a_published_size_is_known_by_its_shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gazecut_segmenter.sam2_checkpoint import in_form
    from gazecut_segmenter.sam2_convert import shapes_of, transformers_config
    from gazecut_segmenter.sam2_sizes import SIZES, Model

    config = transformers_config(Model(SIZES[0], "2.1"), "it")
    names = {name: torch.zeros(1).expand(shape) for name, shape in shapes_of(config).items()}
    monkeypatch.setattr(sam2_weights, "read_any", lambda path: in_form(names, "meta", path))
    made: list[Any] = []
    monkeypatch.setattr(sam2_weights.Sam2VideoModel, "from_pretrained", lambda *_, config, **__: made.append(config))
    file = tmp_path / "sam2.1_hiera_tiny.safetensors"
    file.touch()
    sam2_weights.load(sam2_weights.locate(str(file)))
    assert made[0].vision_config.backbone_config.blocks_per_stage == [1, 2, 7, 2]
    assert made[0].enable_occlusion_spatial_embedding


def missing_folder(folder: Path) -> tuple[Path, str]:
    return (
        folder / "no",
        r"no file or folder .*no; wanted a folder with config.json and model.safetensors, a checkpoint's file, or a hub id",
    )


def missing_file(folder: Path) -> tuple[str, str]:
    return "sam2_hiera_large.pt", r"no file or folder sam2_hiera_large.pt; wanted"


def folder_without_weights(folder: Path) -> tuple[Path, str]:
    (folder / "model.safetensors").unlink()
    return folder, "has no model.safetensors; wanted one with config.json and model.safetensors"


def folder_without_config(folder: Path) -> tuple[Path, str]:
    (folder / "config.json").unlink()
    return folder, "has no config.json"


def not_a_checkpoint(folder: Path) -> tuple[Path, str]:
    file = folder / "weights.bin"
    file.touch()
    return file, "is no checkpoint by its name; wanted .safetensors, .pt, .pth, or a folder"


def pickled(folder: Path) -> tuple[Path, str]:
    class Code:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(folder / "ran"),)

    file = folder / "sam2.pt"
    file.write_bytes(pickle.dumps({"model": Code()}))
    return file, r"is a pickle; sam2-hf reads safetensors only. Convert it: gazecut weights convert .*sam2.pt .*sam2, and name"


def broken_file(folder: Path) -> tuple[Path, str]:
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)
    return folder, "cannot be read"


def another_model(folder: Path) -> tuple[Path, str]:
    save_file({"visual.weight": torch.zeros(2)}, folder / "model.safetensors")
    return folder, "no image encoder of SAM 2"


def another_type(folder: Path) -> tuple[Path, str]:
    (folder / "config.json").write_text('{"model_type": "qwen2_vl"}')
    return folder, 'is of a model of type .qwen2_vl.; wanted "sam2_video"'


def another_size(folder: Path) -> tuple[Path, str]:
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["backbone_config"]["blocks_per_stage"] = [1, 1, 3, 1]
    (folder / "config.json").write_text(json.dumps(config))
    return folder, r"the tensors of .* are not those of its configuration \(128 px\): .* missing, first vision_encoder.backbone.blocks"


def changed(folder: Path, value: dict[str, Any]) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | value))
    return folder


def value_of_another_kind(folder: Path) -> tuple[Path, str]:
    return changed(folder, {"initializer_range": "wide"}), "config.json describes no SAM 2: .*initializer_range.* Fetch it again"


def impossible_value(folder: Path) -> tuple[Path, str]:
    return changed(folder, {"memory_attention_downsample_rate": 0}), "config.json describes no SAM 2: ZeroDivisionError"


def oblong(folder: Path) -> tuple[Path, str]:
    return changed(
        folder, {"image_size": [128, 64]}
    ), r"config.json has image_size \[128, 64\]; wanted one number, the side of a square in pixels"


def another_generation(folder: Path) -> tuple[Path, str]:
    config = json.loads((folder / "config.json").read_text())
    config["enable_occlusion_spatial_embedding"] = False
    (folder / "config.json").write_text(json.dumps(config))
    return folder, "1 are left over, first occlusion_spatial_embedding_parameter"


def own_size_without_config(folder: Path) -> tuple[Path, str]:
    (folder / "config.json").unlink()
    return folder / "model.safetensors", "none of the published sizes of SAM 2 and 2.1, and there is no config.json beside it"


WRONG = [
    missing_folder,
    missing_file,
    folder_without_weights,
    folder_without_config,
    not_a_checkpoint,
    pickled,
    broken_file,
    another_model,
    another_type,
    another_size,
    another_generation,
    own_size_without_config,
    value_of_another_kind,
    impossible_value,
    oblong,
]


@pytest.mark.parametrize("spoil", WRONG, ids=lambda spoil: spoil.__name__)
def test_what_cannot_be_used_is_refused(own_folder: Path, spoil: Callable[[Path], tuple[Path | str, str]]) -> None:
    weights, message = spoil(own_folder)
    with pytest.raises(WeightsError, match=message):
        segmenter_of(weights)
    assert not (own_folder / "ran").exists(), "nothing of a pickle is run"


def test_a_hub_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> str:
        raise OSError("no network")

    monkeypatch.setattr(sam2_weights, "snapshot_download", offline)
    with pytest.raises(WeightsError, match=r'the hub does not give "facebook/sam2-hiera-large" at 1a2b: OSError: no network. Check the id'):
        segmenter_of("facebook/sam2-hiera-large", revision="1a2b")


def test_a_hub_id_is_a_folder_at_its_commit(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def download(hub_id: str, **options: Any) -> str:
        asked.append((hub_id, options))
        return str(own_folder)

    monkeypatch.setattr(sam2_weights, "snapshot_download", download)
    provenance = segmenter_of("facebook/sam2-hiera-large", revision="main").describe()
    assert (provenance.weights, provenance.revision) == ("facebook/sam2-hiera-large", own_folder.name)
    assert asked == [("facebook/sam2-hiera-large", {"revision": "main", "allow_patterns": ["config.json", "model.safetensors"]})]


def test_a_device_that_is_not_here(sam2_folder: Path) -> None:
    with pytest.raises(DeviceError, match=r'device "cuda:99" is not here; this machine has: .*cpu. Choose one of them, or "auto"'):
        Sam2HfSegmenter(Sam2HfOptions(weights=str(sam2_folder)), Runtime("cuda:99"))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A folder of three frames."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((48, 64, 3), 60 * index, np.uint8))
    return folder


def segment(clip: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit status and standard error of a command line with these weights."""
    output = ["-o", str(clip.parent / "out"), "--device", "cpu"]
    status = run(
        ["segment", str(clip), "the red circle", *output, "--set", "segmenter.use=sam2-hf", "--set", f"segmenter.weights={weights}"]
    )
    return status, " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("spoil", [missing_folder, pickled, another_model, another_size], ids=lambda spoil: spoil.__name__)
def test_wrong_weights_end_the_command_with_2(
    own_folder: Path, clip: Path, spoil: Callable[[Path], tuple[Path, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = segment(clip, spoil(own_folder)[0], capsys)
    assert status == 2
    assert "weights:" in said
    assert "Traceback" not in said


def test_frames_of_different_sizes_end_the_command_with_2(own_folder: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(clip / "1.png"), np.zeros((40, 64, 3), np.uint8))
    status, said = segment(clip, own_folder, capsys)
    assert status == 2
    assert "64x40" in said
    assert "64x48" in said


def test_a_checkpoint_is_known_by_its_files(own_folder: Path, tmp_path: Path) -> None:
    def names(weights: Path) -> list[str | None]:
        return [identify(Sam2HfOptions(weights=str(weights)), verify) for verify in (False, True)]

    before = names(own_folder)
    assert before == names(own_folder)
    assert None not in before
    assert names(own_folder / "model.safetensors")[1] != names(tmp_path / "weights" / "config.json")[1]
    os.utime(own_folder / "model.safetensors", ns=(1, 1))
    assert names(own_folder)[0] != before[0], "another time is taken for another file"
    assert names(own_folder)[1] == before[1], "every byte is the same"
    with (own_folder / "config.json").open("a") as config:
        config.write(" ")
    assert names(own_folder)[1] != before[1]
    assert names(tmp_path / "nowhere") == [None, None]
    assert identify(Sam2HfOptions(weights="nobody/nothing-of-this-name"), False) is None
