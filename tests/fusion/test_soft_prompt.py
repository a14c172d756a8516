"""Fusion strategy soft-prompt: which questions it steers, where it finds embeddings, and which models it refuses."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
from pydantic import ValidationError

from gazecut import Pipeline
from gazecut.cli.app import run
from gazecut.errors import WeightsError
from gazecut.protocols import Provenance
from gazecut.testing import moving_square
from gazecut.testing.fakes import FakeMLLM
from gazecut.testing.pipeline import fake_pipeline
from gazecut.values import Frames, MapSet, Query
from gazecut_fusion.config import SoftPromptOptions, SoftPromptWeights
from gazecut_fusion.soft_prompt import SoftPromptFusion
from gazecut_fusion.soft_prompt_files import Backbone, load_soft_prompt
from gazecut_fusion.soft_prompt_places import identify, locate

SIGNATURE = "qwen2_5_vl, width 8, 00ff"


def both(folder: Path) -> dict[str, str]:
    return {"video": str(folder), "frame": str(folder)}


def strategy(folder: Path, **options: Any) -> SoftPromptFusion:
    return SoftPromptFusion(SoftPromptOptions(weights=SoftPromptWeights(**both(folder)), **options))


def ask(role: str, view: str) -> Query:
    return Query(role, view, role)


def test_object_questions_are_steered_by_what_their_view_learned(make_soft_prompts: Callable[..., Path]) -> None:
    folder = make_soft_prompts()
    asked = [ask("object", "video"), ask("object", "frame"), ask("background", "frame"), ask("background", "video")]
    planned = strategy(folder).plan(asked)
    for query in planned[:2]:
        assert query.steering is not None
        np.testing.assert_array_equal(query.steering.embeddings, load_soft_prompt(folder / query.view).embeddings)
        assert query.steering.place == "before-text"
    assert planned[2:] == asked[2:]
    assert [(query.role, query.view, query.prompt) for query in planned] == [(query.role, query.view, query.prompt) for query in asked]


def test_questions_of_a_view_share_one_steering(make_soft_prompts: Callable[..., Path]) -> None:
    made = strategy(make_soft_prompts())
    first, second = made.plan([ask("object", "video")]), made.plan([ask("object", "video")])
    assert first == second  # so that what was asked before is found again


def test_a_view_without_soft_prompts_is_asked_as_it_is(make_soft_prompts: Callable[..., Path]) -> None:
    made = SoftPromptFusion(SoftPromptOptions(weights=SoftPromptWeights(frame=str(make_soft_prompts() / "frame"))))
    video, frame = made.plan([ask("object", "video"), ask("object", "frame")])
    assert video.steering is None
    assert frame.steering is not None


def test_maps_pass_through(make_soft_prompts: Callable[..., Path]) -> None:
    maps = MapSet(())
    assert strategy(make_soft_prompts()).fuse(maps) is maps


def test_a_recipe_steers_something() -> None:
    with pytest.raises(ValidationError, match="names no soft prompts; wanted video, frame or both"):
        SoftPromptOptions.model_validate_json('{"weights": {}}')


def test_soft_prompts_of_the_other_view_are_refused(make_soft_prompts: Callable[..., Path]) -> None:
    made = SoftPromptFusion(SoftPromptOptions(weights=SoftPromptWeights(video=str(make_soft_prompts() / "frame"))))
    with pytest.raises(WeightsError, match=r"holds those of the frame view\. Name them under fusion\.soft-prompt\.weights\.frame"):
        made.plan([ask("object", "video")])


def test_soft_prompts_of_another_place_are_refused(make_soft_prompts: Callable[..., Path]) -> None:
    made = strategy(make_soft_prompts(), place="after-text")
    with pytest.raises(WeightsError, match=r"trained to stand before-text, this recipe puts them after-text\. Set .*place to before-text"):
        made.plan([ask("object", "video")])


@pytest.mark.parametrize(("found", "refused"), [(SIGNATURE, False), (None, False), ("qwen2_vl, width 8, 1234", True)])
def test_another_backbone_is_refused(found: str | None, refused: bool, make_soft_prompts: Callable[..., Path]) -> None:
    made = strategy(make_soft_prompts(backbone=Backbone(mllm="qwen2.5-vl", weights="Qwen/One", signature=SIGNATURE)))
    other = Provenance("cpu", "float32", "Qwen/Two", None, found)
    made.check_backbone(other)  # nothing is steered yet
    made.plan([ask("object", "video")])
    if not refused:
        made.check_backbone(other)
        return
    with pytest.raises(WeightsError, match=r"(?s)were trained for Qwen/One \(qwen2.5-vl: .*mllm is Qwen/Two .*gazecut train soft-prompt"):
        made.check_backbone(other)


# where they are


def test_a_folder_holds_them_or_has_one_for_the_view(make_soft_prompts: Callable[..., Path]) -> None:
    folder = make_soft_prompts()
    assert locate(str(folder), "video") == locate(str(folder / "video"), "video") == folder / "video"


def test_inside_a_package(make_soft_prompts: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_prompts"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copytree(make_soft_prompts(), package / "ours")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert locate("package:some_prompts/ours", "frame") == locate("package:some_prompts/ours/frame", "frame") == package / "ours" / "frame"
    with pytest.raises(WeightsError, match=r'(?s)package "some_prompts" has no folder "other".*gazecut train soft-prompt'):
        locate("package:some_prompts/other", "frame")
    with pytest.raises(WeightsError, match='no package "none_such" is installed'):
        locate("package:none_such/ours", "frame")
    sys.modules.pop("some_prompts", None)


@pytest.mark.parametrize(
    ("address", "said", "output"),
    [
        ("./none", "no folder ./none; wanted one that holds adapter_config.json, or a hub id", "./none"),
        ("runs/none/video", "no folder runs/none/video", "runs/none"),
        ("{folder}/file", "is a file; wanted the folder that holds adapter_config.json", "{folder}/file"),
        ("{folder}", "neither {folder} nor its video/ holds adapter_config.json", "{folder}"),
        ("owner/name", 'no folder owner/name, and the hub does not give "owner/name" at v1', "FOLDER"),
    ],
)
def test_what_is_not_there_says_how_to_train_it(
    address: str, said: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "file").touch()
    address, said, output = (text.replace("{folder}", str(tmp_path)) for text in (address, said, output))
    with pytest.raises(WeightsError) as caught:
        locate(address, "video", "v1")
    first, last = str(caught.value).splitlines()
    assert first.startswith("soft prompts for the video view: ")
    assert said in first
    assert last == f"Train them with this recipe: gazecut train soft-prompt --recipe RECIPE --data DATA --output {output}"


def test_from_the_hub_cache(make_soft_prompts: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "models--owner--name" / "snapshots" / commit
    shutil.copytree(make_soft_prompts(), snapshot)
    (tmp_path / "models--owner--name" / "refs").mkdir()
    (tmp_path / "models--owner--name" / "refs" / "main").write_text(commit)
    assert locate("owner/name", "frame") == snapshot / "frame"
    assert identify(SoftPromptOptions(weights=SoftPromptWeights(frame="owner/name")), verify=False) is not None


def test_other_files_have_another_identity(make_soft_prompts: Callable[..., Path], tmp_path: Path) -> None:
    options = SoftPromptOptions(weights=SoftPromptWeights(**both(tmp_path / "here")))
    assert identify(options, verify=True) is None
    shutil.copytree(make_soft_prompts(tokens=4), tmp_path / "here")
    first = identify(options, verify=True)
    assert first == identify(options, verify=True) != identify(options, verify=False)
    shutil.rmtree(tmp_path / "here")
    shutil.copytree(make_soft_prompts(tokens=5), tmp_path / "here")
    assert identify(options, verify=True) not in (first, None)


# in a pipeline


class Listening(FakeMLLM):
    """Notes what sessions are opened with."""

    def __init__(self) -> None:
        super().__init__()
        self.preludes: list[tuple[str, int]] = []

    def open(self, frames: Frames, view: str, prelude: Any = None, trace: Any = None) -> Any:
        self.preludes.append((view, 0 if prelude is None else len(prelude)))
        return super().open(frames, view, prelude, trace)


def steered(folder: Path, place: str = "before-text", prompts: str = "steerseg", cache: bool = True) -> tuple[Pipeline, Listening]:
    fusion = [{"use": "soft-prompt", "weights": both(folder), "place": place}, {"use": "complementary", "fold": "frame"}]
    chosen = {"prompts": prompts, "fusion": fusion, "selector": "argmax", "scorer": "pearson"}
    pipeline = fake_pipeline(chosen, cache=cache)
    model = pipeline.mllm = Listening()
    return pipeline, model


@pytest.mark.parametrize(
    ("place", "opened"),
    [
        ("before-text", [("video", 0), ("frame", 0)]),
        ("after-text", [("video", 0), ("frame", 0)]),
        ("before-vision", [("video", 0), ("video", 3), ("frame", 3)]),  # the attribute turn has none
    ],
)
def test_the_prefix_is_shared_unless_it_is_steered(place: str, opened: list[tuple[str, int]], make_soft_prompts: Any) -> None:
    pipeline, model = steered(make_soft_prompts(tokens=3, place=place), place)
    with pipeline.open(moving_square().images) as session:
        first, second = session.segment_many(["the square", "the bright square"])
        session.segment("what is bright?")
    assert model.preludes == opened
    assert all(one.closed for one in model.sessions)
    said = first.manifest["steering"]
    assert [(one["role"], one["view"], one["place"], one["tokens"]) for one in said] == [
        ("object", "video", place, 3),
        ("object", "frame", place, 3),
    ]
    assert len({one["digest"] for one in said}) == 2
    assert second.heatmaps.fused.tobytes() == second.heatmaps.frame.tobytes()


def test_the_square_is_found(make_soft_prompts: Callable[..., Path]) -> None:
    pipeline, _ = steered(make_soft_prompts())
    result = pipeline.segment(moving_square().images, "the bright square")
    truth = moving_square().truth
    assert (result.masks & truth).sum() / (result.masks | truth).sum() > 0.8
    assert len(result.points) == len(result.frame_indices)  # one per key frame
    assert [judged.kept for judged in result.tracklets].count(True) == 1
    assert all(judged.consistency is None for judged in result.tracklets)


def test_only_what_is_asked_must_be_there(make_soft_prompts: Callable[..., Path]) -> None:
    folder = make_soft_prompts()
    fusion = [{"use": "soft-prompt", "weights": {"video": "./none", "frame": str(folder)}}, {"use": "complementary", "views": ["frame"]}]
    result = fake_pipeline({"fusion": fusion}).segment(moving_square().images, "the square")
    assert [one["view"] for one in result.manifest["steering"]] == ["frame"]


def test_a_recipe_without_its_soft_prompts_is_valid_and_running_it_says_how_to_train(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["recipe", "check", "steerseg-qwen2.5-vl-7b"]) == 0
    assert run(["world", "render", "-o", "world", "--frames", "2", "--size", "64"]) == 0
    assert run(["segment", "world/90000/clip.mp4", "the circle", "--recipe", "steerseg-qwen2.5-vl-7b", "--device", "cpu"]) == 2
    said = capfd.readouterr().err
    assert "soft prompts for the video view: no folder ./soft-prompts/qwen2.5-vl-7b" in said
    assert "gazecut train soft-prompt --recipe RECIPE --data DATA --output ./soft-prompts/qwen2.5-vl-7b" in said
    assert "Traceback" not in said


def test_a_real_model_of_another_signature_is_refused(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_soft_prompts: Callable[..., Path]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make_soft_prompts(128, backbone=Backbone(mllm="qwen2.5-vl", weights="Qwen/One", signature=SIGNATURE))
    assert run(["world", "render", "-o", "world", "--frames", "2", "--size", "64"]) == 0
    setting = [
        f"fusion.soft-prompt.weights={{video: {folder}, frame: {folder}}}",
        "segmenter=attention",
        "fusion.soft-prompt.place=before-text",
    ]
    command = ["segment", "world/90000/clip.mp4", "the circle", "--recipe", "pocket-steerseg", "--device", "cpu"]
    assert run([*command, *(word for each in setting for word in ("--set", each))]) == 2
    said = capfd.readouterr().err
    assert "were trained for Qwen/One (qwen2.5-vl: qwen2_5_vl, width 8, 00ff)" in said
    assert "this recipe's mllm is package:gazecut_mllm/pocket (qwen2_5_vl, width 128, " in said
