"""Training of the pocket SAM 2: its scenes, prompts and losses, and that a run can be interrupted anywhere."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.torch import load_file
from transformers import Sam2VideoModel

from gazecut.world import COLOURS, HELD_OUT, SHAPES, paint
from gazecut_segmenter.sam2_files import Checkpoint
from gazecut_segmenter.sam2_shared import Decoded
from gazecut_segmenter.sam2_weights import load
from gazecut_training import sam_calibrate, sam_data
from gazecut_training.config import TRAINING_SEEDS
from gazecut_training.optim import build_optimizers
from gazecut_training.sam_calibrate import calibrate
from gazecut_training.sam_config import POCKET_SAM, POLISH, SamConfig, SamStage
from gazecut_training.sam_data import SamData, click, clip_batch, draw_scene, image_batch
from gazecut_training.sam_evaluate import Clicked, Examiner, Followed, centre, click_rows, following_rows, separation
from gazecut_training.sam_losses import lesson
from gazecut_training.sam_model import build_sam, export_sam
from gazecut_training.sam_scenes import Mover, hard_plan
from gazecut_training.sam_train import SamTrainer, is_matrix

STAGE = SamStage(2, {1: 1.0}, images=2)
TINY = SamConfig(
    stages=(STAGE, SamStage(3, {1: 0.3, 3: 0.7}, images=2, clips={3: 1}, forced=(1.0, 0.0))), side=96, labels=64, warmup=2, decay=0.5
)


@settings(max_examples=40)
@given(st.integers(0, 2 * HELD_OUT))
def test_a_seed_gives_one_hard_scene_at_every_size(seed: int) -> None:
    scene = hard_plan(seed)
    assert scene == hard_plan(seed)
    assert 1 <= len(scene.bodies) <= 4
    moments = np.linspace(0.0, 1.0, 5)
    small, large = (paint(scene, moments, size)[1] for size in (64, 128))
    assert (small == large[:, ::2, ::2]).mean() > 0.9
    for body in scene.bodies:
        assert isinstance(body, Mover)
        assert body.shape in SHAPES
        assert body.colour in COLOURS
        assert [corner[0] for corner in body.corners] == sorted(corner[0] for corner in body.corners)
        assert (body.corners[0][0], body.corners[-1][0]) == (0.0, 1.0)


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_who_is_gone_has_no_pixel_and_who_is_not_moves_steadily(seed: int) -> None:
    scene, moments = hard_plan(seed), np.linspace(0.0, 1.0, 41)
    labels = paint(scene, moments, 64)[1]
    for number, body in enumerate(scene.bodies, start=1):
        assert isinstance(body, Mover)
        gone = np.zeros(len(moments), bool) if body.gone is None else (moments >= body.gone[0]) & (moments < body.gone[1])
        assert not (labels[gone] == number).any()
        steps = np.hypot(*np.diff(body.path(moments), axis=0).T)[~gone[1:] & ~gone[:-1]]
        assert steps.max(initial=0.0) < 0.3


def test_hard_scenes_hold_what_the_world_lacks() -> None:
    gone, dips = [], []
    for seed in range(150):
        labels = paint(hard_plan(seed), np.linspace(0.0, 1.0, 8), 64)[1]
        for number in range(1, len(hard_plan(seed).bodies) + 1):
            areas = (labels == number).sum((1, 2))
            gone.append((areas == 0).mean())
            dips.append(areas.min() < 0.6 * areas.max())
    assert 0.08 < np.mean(gone) < 0.25
    assert np.mean(dips) > 0.3


@settings(max_examples=60)
@given(arrays(bool, (9, 9)), st.integers(0, 1000))
def test_clicks_land_on_their_mask(mask: np.ndarray, seed: int) -> None:
    mask[4, 4] = True
    x, y = click(np.random.default_rng(seed), mask)
    assert mask[int(y * 9), int(x * 9)]
    column, row = centre(mask)
    assert mask[int(row * 9), int(column * 9)]


@pytest.mark.parametrize("seed", range(3))
def test_prompts_mean_what_they_point_at(seed: int) -> None:
    batch = image_batch(np.random.default_rng(seed), TINY, STAGE)
    for points, signs, targets in zip(batch.points, batch.signs, batch.targets, strict=True):
        for image, prompt in np.ndindex(targets.shape[0], targets.shape[1]):
            at = (points[image, prompt] * TINY.labels).long()
            under = batch.labels[image][at[:, 1], at[:, 0]]
            assert ((under == targets[image, prompt]) == (signs[image, prompt] == 1)).all()
            assert signs[image, prompt, 0] == 1
    assert (batch.targets[1] > 0).all()


@pytest.mark.parametrize("length", [2, 5])
def test_objects_to_follow_are_seen_where_they_are_prompted(length: int) -> None:
    stage = SamStage(1, {length: 1.0}, clips={length: 2})
    for seed in range(4):
        batch = clip_batch(np.random.default_rng(seed), TINY, stage, length, forced=0.5)
        assert batch.images.shape == (2, length, 3, 96, 96)
        for clip, each in np.ndindex(2, 2):
            assert (batch.labels[clip, batch.start] == batch.targets[clip, each]).sum() >= sam_data.SMALLEST_FOLLOWED
            x, y = (batch.points[clip, each, 0] * TINY.labels).long()
            assert batch.labels[clip, batch.start, y, x] == batch.targets[clip, each]


def test_no_scene_beyond_the_training_seeds_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    for name in ("plan", "hard_plan"):
        monkeypatch.setattr(sam_data, name, drawn.append)
    for seed in range(500):
        draw_scene(np.random.default_rng(seed), hard=0.5)
    assert 0.9 * TRAINING_SEEDS < max(drawn) < TRAINING_SEEDS
    assert len(drawn) == 500


def test_batches_are_functions_of_the_step() -> None:
    for step in range(TINY.steps):
        one, other = SamData(TINY)[step], SamData(TINY)[step]
        assert type(one) is type(other)
        torch.testing.assert_close(one.images, other.images, atol=0, rtol=0)
        torch.testing.assert_close(one.labels, other.labels, atol=0, rtol=0)


def decoded(truth: torch.Tensor, sharpness: float, presence: float) -> Decoded:
    """Three masks of each truth: the right one, everything, nothing."""
    right = sharpness * (2 * truth.float() - 1)
    logits = torch.stack([right, torch.full_like(right, sharpness), torch.full_like(right, -sharpness)], dim=1).requires_grad_()
    trust = torch.tensor([0.9, 0.2, 0.1]).expand(len(truth), 3)
    return Decoded(logits, trust, torch.zeros(len(truth), 3, 4), torch.full((len(truth), 1), presence))


def test_a_right_mask_costs_less_the_surer_it_is() -> None:
    truth = torch.zeros(2, 16, 16, dtype=torch.bool)
    truth[:, 3:9, 4:12] = True
    unsure, sure = (lesson(decoded(truth, sharpness, presence=3.0), truth) for sharpness in (1.0, 8.0))
    assert sure.presence < 0.1
    assert sure.iou.tolist() == [1.0, 1.0]
    alone = [
        lesson(Decoded(d.logits[:, :1], d.predicted_iou[:, :1], d.tokens[:, :1], d.presence), truth).mask
        for d in (decoded(truth, sharpness, 3.0) for sharpness in (1.0, 8.0))
    ]
    assert alone[1] < 0.01 < alone[0]
    assert sure.mask > alone[1]  # the other two masks are wrong, and share half of the loss
    assert unsure.there.all()
    assert unsure.right.all()


def test_absent_objects_teach_presence_and_trust_but_no_mask() -> None:
    truth = torch.zeros(2, 16, 16, dtype=torch.bool)
    found = decoded(truth, 2.0, presence=3.0)
    one = lesson(found, truth)
    one.total(absence=1.0).backward()
    assert found.logits.grad is not None
    assert not found.logits.grad.any()
    assert one.presence > 3.0
    assert one.trust > 0.2  # wanted 0, said 0.9, 0.2 and 0.1
    assert one.iou.tolist() == [0.0, 0.0]
    assert lesson(decoded(truth, 2.0, presence=-3.0), truth).iou.tolist() == [1.0, 1.0]


def test_rates_rise_stay_and_fall_to_nothing() -> None:
    rates = [TINY.rate(step) for step in range(TINY.steps)]
    assert rates[0] == 0.5
    assert max(rates) == 1.0
    assert 0 < rates[-1] < 0.5
    again = replace(TINY, polish=3)
    assert again.rate(3) == pytest.approx(POLISH * 2 / 3)
    assert 0 < again.rate(4) < again.rate(3)
    assert TINY.stage(1) == (STAGE, 0.5)
    assert TINY.stage(4)[0] is TINY.stages[1]


def test_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = SamTrainer(TINY, tmp_path / "whole")
    whole.run(minutes=math.inf, save_every=math.inf, workers=1)  # rendered by another process, the parts by this one
    first = SamTrainer(TINY, tmp_path / "parts")
    first.run(minutes=0, save_every=math.inf, workers=0)  # stops after one step
    assert first.step == 1
    second = SamTrainer(TINY, tmp_path / "parts")
    second.load()
    second.run(minutes=math.inf, save_every=math.inf, workers=0)
    assert second.step == whole.step == TINY.steps
    for one, other in zip(whole.model.state_dict().values(), second.model.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_muon_takes_layers_and_nothing_that_is_looked_up() -> None:
    model = build_sam(seed=0, side=96)
    muon, adam = build_optimizers(model, 1e-3, 1e-3, is_matrix)
    names = {id(values): name for name, values in model.named_parameters()}
    taken = {names[id(values)] for values in muon.param_groups[0]["params"]}
    assert {"vision_encoder.backbone.blocks.0.attn.qkv.weight", "memory_attention.layers.0.linear1.weight"} <= taken
    assert not [name for name in taken if "token" in name or "point_embed" in name or "no_object" in name]
    assert len(taken) + len(adam.param_groups[0]["params"]) == len(names)


def test_the_pocket_model_is_small_and_loads(tmp_path: Path) -> None:
    model = build_sam(seed=0, side=POCKET_SAM.side)
    export_sam(model, tmp_path)
    assert sum(values.numel() for values in model.parameters()) <= 4_000_000
    assert (tmp_path / "model.safetensors").stat().st_size <= 12_000_000
    loaded = load(Checkpoint(tmp_path))
    for name, values in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], values, atol=0, rtol=0)
    torch.testing.assert_close(
        loaded.shared_image_embedding.positional_embedding, loaded.prompt_encoder.shared_embedding.positional_embedding, atol=0, rtol=0
    )


def test_an_examination_covers_clicks_and_every_way(tmp_path: Path) -> None:
    export_sam(build_sam(seed=0, side=96), tmp_path)
    examiner = Examiner(tmp_path)
    clicks = list(examiner.clicks("world", range(TRAINING_SEEDS, TRAINING_SEEDS + 2)))
    tracks = list(examiner.following("hard", range(TRAINING_SEEDS, TRAINING_SEEDS + 2), 3))
    assert {each.where for each in clicks} == {"random", "centre", "beside"}
    assert {(each.prompt, each.way) for each in tracks} == {(p, w) for p in ("mask", "click") for w in ("forward", "backward", "both ways")}
    rows = [*click_rows(clicks), *following_rows(tracks)]
    assert len(rows) == 5 + 6 + 2
    assert all(0.0 <= figure <= 1.0 for name, figure, _ in rows if "J" in name or "IoU" in name)


class Credulous(Examiner):
    """Judges by the bias alone: of four frames without the object, one more is empty with each that it is lowered by."""

    def __init__(self, checkpoint: Path, model: Sam2VideoModel) -> None:
        self._bias = model.mask_decoder.pred_obj_score_head.proj_out.bias
        self._first = float(self._bias.detach())

    def following(self, kind: str, seeds: Iterable[int], length: int) -> Iterator[Followed]:
        assert (kind, list(seeds), length) == ("hard", [TRAINING_SEEDS], 8)
        empty = np.arange(4) < self._first - float(self._bias.detach()) - 0.5
        yield Followed("hard", length, "mask", "forward", dips=True, similarity=np.array([0.5, 0.7]), empty=empty)


def test_doubt_grows_until_enough_is_empty_and_changes_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam_calibrate, "Examiner", Credulous)
    monkeypatch.setattr(sam_calibrate, "STEP", 1.0)
    export_sam(build_sam(seed=0, side=96), tmp_path)
    before, config = ((tmp_path / name).read_bytes() for name in ("model.safetensors", "config.json"))

    with pytest.raises(ValueError, match=r"with its bias lowered by 2.0, 0.500 of the frames without the object are empty; wanted 0.75"):
        list(calibrate(tmp_path, [TRAINING_SEEDS], wanted=0.75))
    assert [doubt for doubt, _, _ in calibrate(tmp_path, [TRAINING_SEEDS], wanted=0.0)] == [0.0]
    assert (tmp_path / "model.safetensors").read_bytes() == before, "neither changes the checkpoint"

    old = load_file(tmp_path / "model.safetensors")
    steps = list(calibrate(tmp_path, [TRAINING_SEEDS], wanted=0.5))
    new = load_file(tmp_path / "model.safetensors")
    assert steps == [(0.0, 0.0, pytest.approx(0.6)), (1.0, 0.25, pytest.approx(0.6)), (2.0, 0.5, pytest.approx(0.6))]
    changed = [name for name in old if not torch.equal(old[name], new[name])]
    assert changed == ["mask_decoder.pred_obj_score_head.proj_out.bias"]
    torch.testing.assert_close(new[changed[0]], old[changed[0]] - 2)
    assert (tmp_path / "config.json").read_bytes() == config


def test_a_model_is_examined_as_it_is_now(tmp_path: Path) -> None:
    export_sam(build_sam(seed=0, side=96), tmp_path)
    model = load(Checkpoint(tmp_path))
    examiner = Examiner(tmp_path, model)
    similarity = []
    for bias in (100.0, -100.0):
        with torch.no_grad():
            model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(bias)
        similarity.append(sum(float(each.similarity.sum()) for each in examiner.following("hard", [TRAINING_SEEDS], 2)))
    assert similarity[0] > similarity[1] == 0.0


def test_separation_counts_pairs() -> None:
    assert separation([0.9, 0.8], [0.1, 0.2]) == 1.0
    assert separation([0.5], [0.5]) == 0.5
    assert separation([0.1, 0.9], [0.5]) == 0.5
    clicks = [Clicked("world", "random", 0.9, 0.8), Clicked("world", "centre", 1.0, 0.9), Clicked("world", "beside", 0.0, 0.1)]
    assert [round(figure, 3) for _, figure, _ in click_rows(clicks)] == [0.9, 0.9, 1.0, 1.0, 1.0]
