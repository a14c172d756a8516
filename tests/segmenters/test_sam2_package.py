"""Segmenter `sam2`: configurations and weights that it takes, and those that it refuses; Hydra's state belongs to others."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from gazecut.cli.app import run
from gazecut.clip import open_clip
from gazecut.errors import PluginError, WeightsError
from gazecut.plugins import discover
from gazecut.protocols import Runtime
from gazecut.values import HeatMaps, Points
from gazecut.work import Work
from gazecut_segmenter.config import Sam2Options
from gazecut_segmenter.sam2_files import identify_configured

pytestmark = pytest.mark.skipif(find_spec("sam2") is None, reason="needs package sam2, see requirements-sam2.txt")

HEAT, HEAT_FRAMES = HeatMaps(np.ones((1, 2, 2), np.float32)), np.array([0])


@pytest.fixture
def options(tiny_sam2: Any) -> dict[str, Any]:
    """What the tiny model needs."""
    return {"weights": str(tiny_sam2.file), "config": tiny_sam2.config, "hydra_overrides": tiny_sam2.overrides}


def segmenter(options: dict[str, Any], work: Work | None = None, **more: Any) -> Any:
    from gazecut_segmenter.sam2_package import Sam2Segmenter

    return Sam2Segmenter(Sam2Options(**{**options, **more}), Runtime(device="cpu", work=work or Work()))


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    rng = np.random.default_rng(2)
    return np.kron(rng.integers(0, 256, (12, 6, 8, 3)), np.ones((1, 10, 10, 1))).astype(np.uint8)


def masks_of(each: Any, frames: np.ndarray) -> np.ndarray:
    """Masks of one object over all frames."""
    prompt = np.zeros((1, *frames.shape[1:3]), bool)
    prompt[:, 20:40, 20:50] = True
    with each.open(open_clip(frames)) as session:
        found = {item.frame: item.masks[0] for item in session.propagate(5, prompt, range(len(frames)), HEAT, HEAT_FRAMES)}
    return np.stack([found[frame] for frame in sorted(found)])


def test_weights_may_come_in_any_form(options: dict[str, Any], tiny_sam2: Any, frames: np.ndarray, tmp_path: Path) -> None:
    torch.save({"model": load_file(tiny_sam2.file)}, tmp_path / "tiny.pt")
    expected = masks_of(segmenter(options), frames)
    assert 0 < expected.mean() < 1
    for weights in (tmp_path / "tiny.pt", tiny_sam2.folder):
        each = segmenter(options, weights=str(weights))
        np.testing.assert_array_equal(masks_of(each, frames), expected)
        said = each.describe()
        assert (said.device, said.dtype, said.weights, said.revision) == ("cpu", "float32", str(weights), None)
        assert each.peak_memory() == 0


def test_the_configuration_may_be_a_file(options: dict[str, Any], frames: np.ndarray, tmp_path: Path) -> None:
    """One that a user keeps, with the changes written into it; what it says matters to what is kept of results."""
    import sam2
    from omegaconf import OmegaConf

    config = OmegaConf.load(Path(sam2.__file__).parent / options["config"])
    dotted = [each.removeprefix("++").split("=") for each in options["hydra_overrides"]]
    for key, value in dotted:
        OmegaConf.update(config, key, yaml.safe_load(value), force_add=True)
    file = tmp_path / "my model.yaml"
    OmegaConf.save(config, file)
    own = {"weights": options["weights"], "config": str(file)}
    np.testing.assert_array_equal(masks_of(segmenter(own), frames), masks_of(segmenter(options), frames))
    before = identify_configured(Sam2Options(**own), verify=False)
    file.write_text(file.read_text() + "\n# changed\n")
    assert before != identify_configured(Sam2Options(**own), verify=False)
    assert identify_configured(Sam2Options(**options), verify=False) != before
    assert identify_configured(Sam2Options(weights=str(tmp_path / "none.pt"), config=str(file)), verify=False) is None


def test_frames_are_encoded_once_and_counted(options: dict[str, Any], frames: np.ndarray) -> None:
    work = Work()
    with segmenter(options, work).open(open_clip(frames)) as session:
        for frame in (0, 4, 8):
            found = session.masks_at(frame, Points.single_clicks(np.array([[0, 0.3, 0.4, 0.9], [0, 0.6, 0.7, 0.9]])), HEAT.numpy()[0])
            list(session.propagate(frame, found.masks, range(len(frames)), HEAT, HEAT_FRAMES))
    assert work.segmenter_encodings == len(frames)


def test_points_as_one_batch_give_what_each_gives_alone(options: dict[str, Any], frames: np.ndarray) -> None:
    rng = np.random.default_rng(4)
    rows = np.column_stack([np.zeros(9), rng.random((9, 2)), np.full(9, 0.9)])
    with segmenter(options).open(open_clip(frames)) as session:
        together = session.masks_at(3, Points.single_clicks(rows), HEAT.numpy()[0])
        alone = [session.masks_at(3, Points.single_clicks(row[None]), HEAT.numpy()[0]) for row in rows]
    trust = np.concatenate([each.predicted_iou for each in alone])
    np.testing.assert_allclose(together.predicted_iou, trust, atol=1e-5)
    assert (together.masks != np.concatenate([each.masks for each in alone])).mean() <= 1e-5
    assert np.ptp(trust) > 1e-3


def test_bfloat16_is_near(options: dict[str, Any], frames: np.ndarray) -> None:
    exact, fast = masks_of(segmenter(options), frames), masks_of(segmenter(options, precision="bfloat16"), frames)
    assert (exact == fast).mean() > 0.95


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": None}, "none of the published sizes of SAM 2 and 2.1, and its shapes do not tell how it computes; say so with"),
        ({"config": "configs/sam9.yaml"}, 'config "configs/sam9.yaml" with ++model.image_size=128'),
        ({"hydra_overrides": ("++model.",)}, "describes no model: OverrideParseException"),
        ({"hydra_overrides": ("model.no_such=1",)}, "describes no model: ConfigCompositionException"),
        ({"hydra_overrides": ("++model.image_size=${nowhere}",)}, "describes no model: InterpolationKeyError"),
        ({"hydra_overrides": ("++model.num_maskmem=lots",)}, "describes no model: InstantiationException"),
        ({"hydra_overrides": ("~model",)}, "describes no model"),
        ({"hydra_overrides": ()}, "are not those of config configs/sam2.1/sam2.1_hiera_t.yaml"),
        (
            {"hydra_overrides+": ("++model.use_mask_input_as_output_without_sam=false",)},
            "switches use_mask_input_as_output_without_sam off",
        ),
        (
            {"hydra_overrides+": ("++model.memory_temporal_stride_for_eval=2",)},
            "sets memory_temporal_stride_for_eval to 2, which is not followed here; wanted 1",
        ),
        (
            {"hydra_overrides+": ("++model.non_overlap_masks_for_mem_enc=true",)},
            "sets non_overlap_masks_for_mem_enc to True, which is not followed here; wanted False",
        ),
        ({"hydra_overrides+": ("++model.soft_no_obj_ptr=true",)}, "sets soft_no_obj_ptr to True"),
        ({"hydra_overrides+": ("++model._target_=os.system",)}, "it names 'os.system', which is no module of package sam2"),
        ({"hydra_overrides+": ("++model.more={_target_: sam2.build_sam.os.system}",)}, "sam2.build_sam.os.system"),
        ({"hydra_overrides+": ("++model.more={_target_: sam2.build_sam.build_sam2}",)}, "sam2.build_sam.build_sam2"),
        ({"hydra_overrides+": ("++model.more=[{_target_: torch.nn.Linear}]",)}, "it names 'torch.nn.Linear'"),
        ({"hydra_overrides+": ("++model.more={_target_: 3}",)}, "it names 3, which is no module"),
    ],
)
def test_configurations_that_do_not_do(change: dict[str, Any], message: str, options: dict[str, Any]) -> None:
    for key, value in change.items():
        options[key.rstrip("+")] = (*options["hydra_overrides"], *value) if key.endswith("+") else value
    with pytest.raises(WeightsError) as raised:
        segmenter(options)
    assert message in str(raised.value)


def test_weights_of_another_size_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    tensors = load_file(options["weights"])
    del tensors["no_mem_embed"]
    save_file(tensors, tmp_path / "less.safetensors")
    with pytest.raises(WeightsError, match="1 are missing, first no_mem_embed"):
        segmenter(options, weights=str(tmp_path / "less.safetensors"))
    options["hydra_overrides"] = (*options["hydra_overrides"], "++model.memory_attention.num_layers=3")
    with pytest.raises(WeightsError, match=r"26 are missing, first memory_attention\.layers\.2"):
        segmenter(options)


@pytest.mark.parametrize("weights", ["nowhere/at/all", "./sam2.pt", "code.pt"])
def test_the_command_line_says_so_with_status_2(
    weights: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {"image_encoder": Path}}, "code.pt")
    assert run(["world", "render", "-o", "w", "--frames", "2", "--size", "64"]) == 0
    clip = next(Path("w").iterdir()) / "clip.mp4"
    arguments = ["--set", "segmenter.use=sam2", "--set", f"segmenter.weights={weights}", "--set", f"segmenter.config={options['config']}"]
    assert run(["segment", str(clip), "the circle", *arguments, "--device", "cpu"]) == 2
    said = capfd.readouterr().err
    assert "weights: " in said
    assert weights in said


HYDRA = """
import hydra, sys
from hydra.core.global_hydra import GlobalHydra
from hydra.version import getbase
from pathlib import Path
if sys.argv[1] == "own":
    hydra.initialize_config_dir(str(Path(sys.argv[2]).parent), version_base="1.3")
    before = GlobalHydra.instance().hydra
from gazecut_segmenter.sam2_hydra import build
for config, overrides in ((sys.argv[3], sys.argv[4:]), ("configs/sam9.yaml", [])):
    try:
        build(config, overrides)
    except Exception as error:
        print(type(error).__name__)
if sys.argv[1] == "own":
    assert GlobalHydra.instance().hydra is before, "another Hydra"
    assert str(getbase()) == "1.3", getbase()
    assert hydra.compose("mine").answer == 42
else:
    from sam2.build_sam import build_sam2
    build_sam2(sys.argv[3], None, "cpu", hydra_overrides_extra=sys.argv[4:])
"""


@pytest.mark.parametrize("whose", ["own", "free"])
def test_hydra_stays_as_it_was(whose: str, options: dict[str, Any], tmp_path: Path) -> None:
    """An application of Hydra's goes on with its own configurations; where Hydra was free, package sam2 has it as after an import."""
    (tmp_path / "mine.yaml").write_text("answer: 42\n")
    arguments = [whose, str(tmp_path / "mine.yaml"), options["config"], *options["hydra_overrides"]]
    done = subprocess.run([sys.executable, "-c", HYDRA, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "WeightsError\n"


def test_a_published_size_finds_its_own_configuration(tmp_path: Path) -> None:
    """SAM 2 tiny, at its own size: no option but the weights."""
    from gazecut_segmenter.sam2_hydra import build

    module = build("configs/sam2/sam2_hiera_t.yaml", [])
    torch.save({"model": module.state_dict()}, tmp_path / "sam2_hiera_tiny.pt")
    found = segmenter({"weights": str(tmp_path / "sam2_hiera_tiny.pt")})
    traits = found._network.traits
    assert (traits.image_size, traits.memories, traits.pointers, traits.several_for_points) == (1024, 7, 16, (0, 1))
    assert found._network.absent is None
    assert not found._network.ages_of_pointers(torch.ones(3)).any()


def test_without_the_package_the_message_says_what_to_install(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sam2", None)
    with pytest.raises(PluginError, match=r'segmenter "sam2" needs gazecut\[sam2\]: no module named sam2\. Install it: pip install'):
        discover().build("segmenter", "sam2", Sam2Options(**options), Runtime())
