"""Both packagings of SAM 2, and Meta's own predictor, on the same weights: the same logits on every frame."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gazecut.protocols import Runtime
from gazecut.values import HeatMaps, Points
from gazecut_segmenter.config import Sam2HfOptions, Sam2Options
from gazecut_segmenter.devices import computing
from gazecut_segmenter.sam2_features import network_input
from gazecut_segmenter.sam2_hf import Sam2HfSegmenter
from gazecut_segmenter.sam2_masks import at_clip_size, mask_prompts
from gazecut_segmenter.sam2_shared import NO_OBJECT, Decoded, Network
from gazecut_segmenter.sam2_tracker import Group, Tracker

pytestmark = pytest.mark.skipif(find_spec("sam2") is None, reason="needs package sam2, see requirements-sam2.txt")

LENGTH, SIZE = 10, (90, 120)
TOLERANCE = 1e-4  # of logits that reach tens


class Clip:
    """Frames in memory."""

    def __init__(self, frames: np.ndarray) -> None:
        self.name, self.fps, self.length, self.size, self._frames = "blocks", 24.0, len(frames), frames.shape[1:3], frames

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        for index in range(self.length) if indices is None else indices:
            yield self._frames[index]


Prompts = Sequence[tuple[int, np.ndarray]]  # where, and masks (K, H, W)
Found = Mapping[tuple[int, int], Tensor]  # by prompt and frame: logits (K, h, w)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Blocks of colour that move, so that frames differ."""
    rng = np.random.default_rng(1)
    ground = np.kron(rng.integers(0, 256, (9, 24, 3)), np.ones((10, 10, 1))).astype(np.uint8)
    return np.stack([np.roll(ground, 6 * index, axis=1)[:, : SIZE[1]] for index in range(LENGTH)])


@pytest.fixture(scope="module", params=["2", "2.1"])
def segmenters(request: pytest.FixtureRequest, make_tiny_sam2: Callable[..., Any]) -> tuple[Any, Any]:
    """Of package sam2, and of transformers."""
    from gazecut_segmenter.sam2_package import Sam2Segmenter

    tiny, runtime = make_tiny_sam2(request.param), Runtime(device="cpu")
    ours = Sam2Options(weights=str(tiny.file), config=tiny.config, hydra_overrides=tiny.overrides, fill_holes=0)
    return Sam2Segmenter(ours, runtime), Sam2HfSegmenter(Sam2HfOptions(weights=str(tiny.folder), fill_holes=0), runtime)


def blobs(count: int, seed: int = 0) -> np.ndarray:
    """Rectangles (count, H, W) bool, of any size and place."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, *SIZE), bool)
    for mask in masks:
        top, left = rng.integers(0, 50), rng.integers(0, 70)
        mask[top : top + rng.integers(12, 40), left : left + rng.integers(12, 50)] = True
    return masks


def followed(network: Network, frames: np.ndarray, prompts: Prompts) -> Found:
    """Logits of a sweep forwards and one backwards, without holes filled."""
    found: dict[tuple[int, int], Tensor] = {}
    side = network.traits.image_size
    with computing(network.device, "float32"):
        features = [network.encode(network_input(frame, side)) for frame in frames]
        tracker, groups = Tracker(network, len(frames), holes=0), dict[int, Group]()
        for number, (start, masks) in enumerate(prompts):
            groups[number], found[number, start] = tracker.prompt(features[start], start, mask_prompts(torch.from_numpy(masks), side))
        for step, way in ((1, range(len(frames))), (-1, range(len(frames) - 1, -1, -1))):
            for position in way:
                moving = [number for number, group in groups.items() if (position - group.start) * step > 0]
                if moving:
                    logits = tracker.follow(features[position], position, [groups[number] for number in moving])
                    found.update(((number, position), each) for number, each in zip(moving, logits, strict=True))
    return found


def predictor_on(network: Any, tiny: Any, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """Meta's predictor with the network's weights, as it comes, and its state on frames: it reads folders of JPEG only."""
    from sam2 import sam2_video_predictor
    from sam2.build_sam import build_sam2_video_predictor

    from gazecut_segmenter.sam2_hydra import _OFFICIAL

    overrides = [*_OFFICIAL, "++model.binarize_mask_from_pts_for_mem_enc=true", *tiny.overrides]
    predictor = build_sam2_video_predictor(tiny.config, None, "cpu", hydra_overrides_extra=overrides, apply_postprocessing=False)
    predictor.load_state_dict(network._model.state_dict())
    images = torch.cat([network_input(frame, network.traits.image_size) for frame in frames])
    monkeypatch.setattr(sam2_video_predictor, "load_video_frames", lambda **_: (images, *SIZE))
    monkeypatch.setattr(sam2_video_predictor, "tqdm", lambda steps, **_: steps)
    return predictor, predictor.init_state("frames")


def official(network: Any, tiny: Any, frames: np.ndarray, prompts: Prompts, monkeypatch: pytest.MonkeyPatch) -> Found:
    """What Meta's predictor follows, prompt by prompt."""
    predictor, state = predictor_on(network, tiny, frames, monkeypatch)
    found: dict[tuple[int, int], Tensor] = {}
    for number, (start, masks) in enumerate(prompts):
        predictor.reset_state(state)
        for index, mask in enumerate(masks):
            predictor.add_new_mask(state, start, index, mask)
        for reverse in (False, True):
            for _ in predictor.propagate_in_video(state, start_frame_idx=start, reverse=reverse):
                pass
        outputs = [state["output_dict_per_obj"][index] for index in range(len(masks))]
        for position in range(len(frames)):
            kind = "cond_frame_outputs" if position == start else "non_cond_frame_outputs"
            found[number, position] = torch.cat([each[kind][position]["pred_masks"] for each in outputs])[:, 0]
    return found


def with_absences(networks: tuple[Any, Any], frames: np.ndarray, prompts: Prompts) -> tuple[Any, Any]:
    """The same networks, more doubtful whether an object is there: on half of the frames it is not."""
    package, transformers = (type(each)(copy.deepcopy(each._model)) for each in networks)
    judged: list[float] = []
    original = package.decode

    def listening(*arguments: Any, **options: Any) -> Decoded:
        decoded = original(*arguments, **options)
        judged.extend(decoded.presence.flatten().tolist())
        return decoded

    package.decode = listening
    followed(package, frames, prompts)
    package.decode = original
    doubt = float(np.median(judged))
    with torch.no_grad():
        package._model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias -= doubt
        transformers._model.mask_decoder.pred_obj_score_head.proj_out.bias -= doubt
    return package, transformers


def assert_telling(found: Found) -> None:
    """Masks that could differ: neither empty nor full, and not the same on all frames."""
    logits = torch.stack([each for key, each in sorted(found.items()) if key[0] == 0])
    there = logits > NO_OBJECT
    assert 0.02 < (logits[there] > 0).float().mean() < 0.98
    assert (logits[1:] - logits[:-1]).abs().amax(dim=(1, 2, 3)).max() > 0.1


@pytest.mark.parametrize("objects", [2, 5])
@pytest.mark.parametrize("absences", [False, True], ids=["there", "often absent"])
def test_both_packagings_and_the_official_predictor_agree_on_every_frame(
    objects: int,
    absences: bool,
    segmenters: tuple[Any, Any],
    frames: np.ndarray,
    make_tiny_sam2: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    networks = tuple(each._network for each in segmenters)
    prompts = [(4, blobs(objects)), (0, blobs(1, seed=1)), (LENGTH - 1, blobs(2, seed=2))]
    package, transformers = with_absences(networks, frames, prompts) if absences else networks
    ours, theirs = followed(package, frames, prompts), followed(transformers, frames, prompts)
    assert_telling(ours)
    absent = torch.cat([(logits == NO_OBJECT).all(dim=(1, 2)) for logits in ours.values()]).float().mean()
    assert 0.2 < absent < 0.8 if absences else absent == 0
    assert ours.keys() == theirs.keys() == {(number, frame) for number in range(3) for frame in range(LENGTH)}
    tiny = make_tiny_sam2("2" if package.absent is None else "2.1")
    truth = official(package, tiny, frames, prompts, monkeypatch)
    for (number, frame), logits in ours.items():
        assert (logits - theirs[number, frame]).abs().max() <= TOLERANCE, (number, frame)
        assert (logits - truth[number, frame]).abs().max() <= TOLERANCE, (number, frame)


def clicks(*candidates: Sequence[tuple[float, float, int]]) -> Points:
    """Points of one frame: (x, y, label) of each candidate."""
    rows = [(number, *point) for number, points in enumerate(candidates) for point in points]
    number, x, y, label = (np.array(column) for column in zip(*rows, strict=True))
    return Points(np.zeros(len(rows), np.int64), number.astype(np.int64), x, y, label.astype(np.int64), np.full(len(rows), 0.9))


def test_masks_of_points_are_the_official_ones(
    segmenters: tuple[Any, Any], frames: np.ndarray, make_tiny_sam2: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Single clicks, several, clicks beside the object, boxes: what the official predictor gives for each candidate alone."""
    points = clicks([(0.3, 0.4, 1)], [(0.7, 0.6, 1), (0.2, 0.2, 0)], [(0.1, 0.2, 2), (0.8, 0.9, 3)], [(0.9, 0.1, 1)], [(0.5, 0.5, 0)])
    found = [each.open(Clip(frames)).masks_at(3, points, np.zeros((2, 2), np.float32)) for each in segmenters]
    package = segmenters[0]._network
    tiny = make_tiny_sam2("2" if package.absent is None else "2.1")
    predictor, state = predictor_on(package, tiny, frames, monkeypatch)
    for candidate in range(5):
        own = points.candidate == candidate
        places = np.stack([points.x[own], points.y[own]], axis=1)
        predictor.add_new_points_or_box(state, 3, 7, places, points.label[own], normalize_coords=False)
        wanted = state["temp_output_dict_per_obj"][0]["cond_frame_outputs"][3]["pred_masks"][:, 0]
        predictor.reset_state(state)
        for each in found:
            differing = each.masks[candidate] != at_clip_size(wanted, SIZE)[0].numpy()
            assert differing.mean() <= 1e-4
    assert np.abs(found[0].predicted_iou - found[1].predicted_iou).max() <= 1e-5
    assert 0 < found[0].masks.mean() < 1


def test_sessions_agree_on_masks_and_logits(segmenters: tuple[Any, Any], frames: np.ndarray) -> None:
    heat, where = HeatMaps(np.ones((1, 2, 2), np.float32)), np.array([0])
    masks, way = blobs(2), [0, 2, 3, 5, 9]
    ours, theirs = ({item.frame: item for item in each.open(Clip(frames)).propagate(3, masks, way, heat, where)} for each in segmenters)
    assert sorted(ours) == sorted(theirs) == way
    for frame in way:
        assert (ours[frame].masks != theirs[frame].masks).mean() <= 1e-4
        assert np.abs(ours[frame].logits.astype(float) - theirs[frame].logits).max() <= 0.01  # float16
