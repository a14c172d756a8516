"""Checkpoints of SAM 2 become each other's form, bit by bit; what is no such checkpoint is refused, and nothing is left half-written."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from gazecut.cli.app import run
from gazecut.errors import WeightsError
from gazecut_segmenter import sam2_keys
from gazecut_segmenter.sam2_checkpoint import check_fit, in_form, read_any
from gazecut_segmenter.sam2_convert import convert, shapes_of, transformers_config
from gazecut_segmenter.sam2_sizes import SIZES, Model, Size, recognise

MODELS = [Model(size, generation) for generation in ("2", "2.1") for size in SIZES]


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether tensors are equal by name, type and every bit."""
    return first.keys() == second.keys() and all(
        tensor.dtype == second[name].dtype and tensor.numpy().tobytes() == second[name].numpy().tobytes() for name, tensor in first.items()
    )


@pytest.mark.parametrize("generation", ["2", "2.1"])
def test_there_and_back_is_the_same_to_the_byte(generation: str, make_tiny_sam2: Callable[..., Any], tmp_path: Path) -> None:
    tiny = make_tiny_sam2(generation)
    convert(tiny.folder, tmp_path / "a.pt")
    convert(tmp_path / "a.pt", tmp_path / "folder", like=tiny.folder)
    convert(tmp_path / "folder", tmp_path / "another name.pt")
    convert(tmp_path / "another name.pt", tmp_path / "b.safetensors", like=tiny.folder)
    convert(tmp_path / "b.safetensors", tmp_path / "again", like=tmp_path / "folder")
    assert files(tmp_path / "folder") == files(tmp_path / "again") == files(tiny.folder)  # as transformers wrote it
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "another name.pt").read_bytes()
    assert (tmp_path / "b.safetensors").read_bytes() == tiny.file.read_bytes()


def test_tensors_keep_every_bit_whoever_wrote_them(tiny_sam2: Any, tmp_path: Path) -> None:
    meta = load_file(tiny_sam2.file)
    meta["no_obj_ptr"][0, :3] = torch.tensor([float("nan"), -0.0, 1e-42])
    halves = {name: tensor.to(torch.bfloat16).view(torch.int16).view(torch.bfloat16) for name, tensor in meta.items()}
    for name, tensors in (("single", meta), ("half", halves)):
        views = {key: tensor.t().contiguous().t() if tensor.dim() == 2 else tensor for key, tensor in tensors.items()}
        torch.save({"model": dict(reversed(views.items())), "epoch": 3}, tmp_path / f"{name}.pt")
        convert(tmp_path / f"{name}.pt", tmp_path / name, like=tiny_sam2.folder)
        convert(tmp_path / name, tmp_path / f"{name} back.pt")
        back = torch.load(tmp_path / f"{name} back.pt", weights_only=True)["model"]
        as_bytes = [{key: tensor.contiguous().view(torch.uint8) for key, tensor in each.items()} for each in (tensors, back)]
        assert same(*as_bytes)
        assert {tensor.dtype for tensor in back.values()} == {tensor.dtype for tensor in tensors.values()}


def test_names_are_a_map_both_ways(tiny_sam2: Any) -> None:
    meta, ours = load_file(tiny_sam2.file), load_file(tiny_sam2.folder / "model.safetensors")
    there = {name: sam2_keys.to_transformers(name) for name in meta}
    back = {name: sam2_keys.to_meta(name) for name in ours}
    assert {name for name, found in there.items() if found is None} == {name for name in meta if "point_embeddings" in name}
    assert sum(found is None for found in back.values()) == 2
    assert all(back[found] == name for name, found in there.items() if found)
    assert sam2_keys.to_meta("vision_encoder.backbone.blocks.x") is None


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.generation} {model.size.name}")
def test_published_sizes_are_known_by_their_shapes(model: Model) -> None:
    """Shapes of Meta's form, made from the config of transformers, tell the model; and another one is not taken for it."""
    config = transformers_config(model, "it")
    with torch.device("meta"):
        ours = {name: torch.empty(shape) for name, shape in shapes_of(config).items()}
    shapes = {sam2_keys.to_meta(name) or name: tuple(tensor.shape) for name, tensor in ours.items()}
    assert recognise(shapes) == model
    shapes["image_encoder.trunk.blocks.0.norm2.weight"] = (17,)
    assert recognise(shapes) is None


def built(model: Model, side: int) -> Any:
    """Meta's module, its weights at random."""
    from gazecut_segmenter.sam2_hydra import build

    module = build(model.meta_config, [f"++model.image_size={side}"]).eval()
    for name in ("pos_embed", "pos_embed_window"):  # zero in a new module
        torch.nn.init.normal_(getattr(module.image_encoder.trunk, name))
    return module


@pytest.mark.slow
@pytest.mark.skipif(find_spec("sam2") is None, reason="needs package sam2, see requirements-sam2.txt")
@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.generation} {model.size.name}")
def test_published_sizes_compute_alike_in_both_forms(model: Model) -> None:
    """What shapes do not tell, heads, windows and blocks that see everything, is written down right."""
    from transformers import Sam2VideoModel

    side = 256
    module = built(model, side)
    meta = module.state_dict()
    assert recognise({name: tuple(tensor.shape) for name, tensor in meta.items()}) == model
    config = transformers_config(model, "it")
    config.image_size = config.prompt_encoder_config.image_size = side
    config.vision_config.backbone_feature_sizes = [[side // stride] * 2 for stride in (4, 8, 16)]
    ours = in_form(meta, "transformers", "it")
    check_fit(ours, shapes_of(config), "it", "its config")
    twin = Sam2VideoModel(config).eval()
    twin.load_state_dict(ours)
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        first = module.image_encoder(image)["backbone_fpn"]
        second = twin.vision_encoder(image).fpn_hidden_states
    for one, other in zip(first, second[-3:], strict=True):
        assert one.std() > 0.1
        assert (one - other).abs().max() <= 1e-4


def test_a_published_size_needs_no_config(tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoProcessor

    config = transformers_config(MODELS[4], "it")
    with torch.random.fork_rng():
        tensors = {name: torch.rand(shape) for name, shape in shapes_of(config).items()}
    tensors["shared_image_embedding.positional_embedding"] = tensors["prompt_encoder.shared_embedding.positional_embedding"].clone()
    save_file(in_form(tensors, "meta", "it"), tmp_path / "tiny.safetensors")
    assert convert(tmp_path / "tiny.safetensors", tmp_path / "folder") == "471 tensors of SAM 2.1 tiny in the form of transformers"
    assert AutoConfig.from_pretrained(tmp_path / "folder").vision_config.backbone_config.blocks_per_stage == [1, 2, 7, 2]
    assert AutoProcessor.from_pretrained(tmp_path / "folder").target_size == 1024
    assert same(read_any(tmp_path / "folder"), tensors)
    convert(tmp_path / "folder", tmp_path / "back.safetensors")
    assert (tmp_path / "back.safetensors").read_bytes() == (tmp_path / "tiny.safetensors").read_bytes()


class Code:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(os.environ["GAZECUT_TEST_MARK"]),)


def test_a_pickle_with_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "ran"
    monkeypatch.setenv("GAZECUT_TEST_MARK", str(mark))
    torch.save({"model": {"image_encoder.x": torch.zeros(1)}, "more": Code()}, tmp_path / "bad.pt")
    with pytest.raises(WeightsError, match=re.escape(f"{tmp_path / 'bad.pt'} is a pickle with more than tensors in it")):
        read_any(tmp_path / "bad.pt")
    assert not mark.exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old form"])
def test_a_damaged_pickle_is_told_wherever_it_ends(zipped: bool, tmp_path: Path) -> None:
    file = tmp_path / "whole.pt"
    torch.save({"model": {"image_encoder.x": torch.zeros(3)}}, file, _use_new_zipfile_serialization=zipped)
    whole = file.read_bytes()
    for end in [*range(60), *range(60, len(whole), 37)]:
        (tmp_path / "cut.pt").write_bytes(whole[:end])
        with pytest.raises(WeightsError, match=re.escape(f"weights: {tmp_path / 'cut.pt'} ")):
            read_any(tmp_path / "cut.pt")


def broken(meta: dict[str, torch.Tensor], how: str) -> dict[str, torch.Tensor]:
    changes: dict[str, Callable[[], object]] = {
        "missing": lambda: meta.pop("no_mem_embed"),
        "no points": lambda: [meta.pop(name) for name in list(meta) if "point_embeddings" in name],
        "extra": lambda: meta.update({"decoder.weight": torch.zeros(1)}),
        "layer too many": lambda: meta.update({"memory_attention.layers.9.norm1.bias": torch.zeros(128)}),
        "size": lambda: meta.update({"no_mem_embed": torch.zeros(1, 1, 64)}),
        "other": lambda: (meta.clear(), meta.update({"layer.weight": torch.zeros(1)})),
    }
    changes[how]()
    return meta


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "1 are missing, first no_memory_embedding"),
        ("no points", "has no sam_prompt_encoder.point_embeddings.0.weight; wanted a whole checkpoint"),
        ("extra", "has 1 tensors that SAM 2 does not know, first decoder.weight"),
        ("layer too many", "1 are left over, first memory_attention.layers.9.layer_norm1.bias"),
        ("size", "1 are of another size, first no_memory_embedding (1, 1, 64), wanted (1, 1, 128)"),
        ("other", "no component knows the weights in"),
    ],
)
def test_wrong_tensors_stop_the_conversion(
    how: str, message: str, tiny_sam2: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save_file(broken(load_file(tiny_sam2.file), how), tmp_path / "in.safetensors")
    out = tmp_path / "out"
    assert run(["weights", "convert", str(tmp_path / "in.safetensors"), str(out), "--like", str(tiny_sam2.folder)]) == 2
    assert message in capfd.readouterr().err
    assert names(tmp_path) == ["in.safetensors"]


def test_two_position_codes_that_differ_are_refused(tiny_sam2: Any, tmp_path: Path) -> None:
    ours = load_file(tiny_sam2.folder / "model.safetensors")
    ours["shared_image_embedding.positional_embedding"] += 1
    with pytest.raises(WeightsError, match="differ; Meta's form keeps one of them"):
        in_form(ours, "meta", "it")


@pytest.mark.parametrize("kept", ["shared_image_embedding.positional_embedding", "prompt_encoder.shared_embedding.positional_embedding"])
def test_one_position_code_of_two_suffices(kept: str, tiny_sam2: Any, tmp_path: Path) -> None:
    ours = load_file(tiny_sam2.folder / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in ours.items() if "positional_embedding" not in name or name == kept}, tmp_path / "x.safetensors"
    )
    convert(tmp_path / "x.safetensors", tmp_path / "meta.safetensors", like=tiny_sam2.folder)
    assert (tmp_path / "meta.safetensors").read_bytes() == tiny_sam2.file.read_bytes()
    convert(tmp_path / "x.safetensors", tmp_path / "folder", like=tiny_sam2.folder)
    assert files(tmp_path / "folder") == files(tiny_sam2.folder)


@pytest.mark.parametrize("name", ["positional_embedding", "prompt_encoder.point_embed.weight"])
def test_what_meta_keeps_otherwise_must_be_there(name: str, tiny_sam2: Any) -> None:
    ours = load_file(tiny_sam2.folder / "model.safetensors")
    with pytest.raises(WeightsError, match=f"has no .*{name}; wanted a whole checkpoint"):
        in_form({each: tensor for each, tensor in ours.items() if not each.endswith(name)}, "meta", "it")


def test_a_decoder_that_meta_cannot_load_stays_with_transformers(shared: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is 512 wide within; Meta's code has 2048"):
        convert(shared("parity/tiny_sam2_hf"), tmp_path / "x.pt")


def test_the_command_says_what_it_wrote(tiny_sam2: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder, target = tmp_path / "new" / "models", "sam.pt"
    assert run(["weights", "convert", str(tiny_sam2.folder), str(folder / target)]) == 0
    assert capfd.readouterr().out == f"{folder / target}: 335 tensors of a SAM 2 of an own size in Meta's form\n"
    assert run(["weights", "convert", str(folder / target), str(folder / "back"), "--like", str(tiny_sam2.folder)]) == 0
    assert names(folder) == ["back", "sam.pt"]
    modes = {stat.S_IMODE(file.stat().st_mode) for file in (folder / "back").iterdir()}
    (tmp_path / "plain").touch()
    assert modes == {stat.S_IMODE((tmp_path / "plain").stat().st_mode)}


@pytest.mark.parametrize(
    ("source", "target", "like", "message"),
    [
        ("nothing", "out", None, 'weights: nothing is at "nothing"; give the path'),
        ("text.txt", "out", None, "text.txt is no checkpoint by its name; wanted .pt, .pth or .safetensors"),
        ("empty", "out", None, "folder empty has no model.safetensors; wanted"),
        ("torn.pt", "out", None, "torn.pt cannot be read:"),
        ("torn.safetensors", "out", None, "torn.safetensors cannot be read:"),
        ("list.pt", "out", None, 'list.pt holds no tensors by name; wanted {"model": {name: tensor}}'),
        ("tiny.safetensors", "out", None, "none of the published sizes (tiny, small, base-plus, large)"),
        ("tiny.safetensors", "out", "nothing", '--like: nothing is at "nothing"'),
        ("tiny.safetensors", "out", "empty", f"{Path('empty') / 'config.json'} cannot be read"),
        ("tiny.safetensors", "out", "bert", "is of a model of type 'bert'; wanted \"sam2_video\""),
        ("tiny.safetensors", "text.txt", None, '"text.txt" is there already, and weights are never overwritten'),
        ("tiny.safetensors", "text.txt/out", None, "text.txt"),
    ],
)
def test_wrong_requests_end_with_status_2(
    source: str,
    target: str,
    like: str | None,
    message: str,
    tiny_sam2: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("text")
    Path("empty").mkdir()
    Path("bert").mkdir()
    Path("bert/config.json").write_text(json.dumps({"model_type": "bert"}))
    Path("torn.pt").write_bytes(b"PK\x03\x04 and no more")
    Path("torn.safetensors").write_bytes(tiny_sam2.file.read_bytes()[:1000])
    torch.save([torch.zeros(1)], "list.pt")
    Path("tiny.safetensors").symlink_to(tiny_sam2.file)
    before = names(Path())
    assert run(["weights", "convert", source, target, *(["--like", like] if like else [])]) == 2
    said = capfd.readouterr()
    assert message in said.err
    assert said.out == ""
    assert names(Path()) == before


def test_nothing_is_left_of_a_conversion_that_fails_midway(
    tiny_sam2: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The disk is full after the weights, before the config."""
    from transformers import Sam2VideoConfig

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gazecut_segmenter.sam2_convert.shutil.copyfile", full)
    monkeypatch.setattr(Sam2VideoConfig, "save_pretrained", full)
    assert run(["weights", "convert", str(tiny_sam2.file), str(tmp_path / "out"), "--like", str(tiny_sam2.folder)]) == 2
    assert "No space left on device; make room" in capfd.readouterr().err
    assert names(tmp_path) == []


def test_without_the_extra_the_command_says_what_to_install(
    tiny_sam2: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gazecut.registry.missing_modules", lambda spec: list(spec.requires))
    assert run(["weights", "convert", str(tiny_sam2.file), str(tmp_path / "out")]) == 2
    said = capfd.readouterr().err
    assert 'asked those that can convert some: none is ready\nInstall it: pip install "gazecut[mllm]"' in said


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from gazecut.cli.app import run; run(['weights', 'convert', '--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_sizes_differ_in_what_is_compared() -> None:
    def known_by(size: Size) -> tuple[object, ...]:
        return size.width, size.blocks

    assert len({known_by(size) for size in SIZES}) == len(SIZES)
