"""Sessions of `sam2-hf`: prompts as one batch, every frame encoded once, and ways over thousands of frames in bounded memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gazecut.clip import ArrayClip
from gazecut.errors import SegmenterError, ShapeError
from gazecut.protocols import Runtime
from gazecut.tracklets import KeyFrames, find_tracklets, follow_kept, mask_overlaps
from gazecut.values import Candidates, HeatMaps, Points
from gazecut.work import Work
from gazecut_segmenter import sam2_session
from gazecut_segmenter.config import Sam2HfOptions
from gazecut_segmenter.devices import computing
from gazecut_segmenter.sam2_hf import HfNetwork, Sam2HfSegmenter
from gazecut_segmenter.sam2_session import Sam2Session
from gazecut_segmenter.sam2_shared import Decoded, Prompt

torch.set_num_threads(1)
HEAT = np.zeros((4, 4), np.float32)


@pytest.fixture(scope="module")
def make_segmenter(sam2_folder: Path) -> Callable[..., tuple[Sam2HfSegmenter, Work]]:
    """A segmenter and its counts."""

    def make(**options: Any) -> tuple[Sam2HfSegmenter, Work]:
        work = Work()
        return Sam2HfSegmenter(Sam2HfOptions(weights=str(sam2_folder), **options), Runtime("cpu", work=work)), work

    return make


@pytest.fixture(scope="module")
def segmenter(make_segmenter: Callable[..., tuple[Sam2HfSegmenter, Work]]) -> Sam2HfSegmenter:
    return make_segmenter()[0]


def points_of(*candidates: Sequence[tuple[float, float, int]]) -> Points:
    """Each candidate a list of x, y, label."""
    rows = [(number, *place) for number, places in enumerate(candidates) for place in places]
    number, x, y, label = (np.array(column) for column in zip(*rows, strict=True))
    ones = np.ones(len(rows))
    return Points(
        np.zeros(len(rows), np.int64), number.astype(np.int64), x.astype(float), y.astype(float), label.astype(np.int64), 0.9 * ones
    )


class Decodings(HfNetwork):
    """Keeps what the mask decoder gives."""

    def __init__(self, network: HfNetwork) -> None:
        self.__dict__.update(network.__dict__)
        self.given: list[Decoded] = []

    def decode(self, embedding: torch.Tensor, features: Any, prompt: Prompt, several: bool) -> Decoded:
        self.given.append(super().decode(embedding, features, prompt, several))
        return self.given[-1]


def clip_of(frames: int, size: tuple[int, int] = (48, 64), seed: int = 0) -> Any:
    """A clip in memory, of blocks of colour that move; counts what it decodes."""
    cells = np.random.default_rng(seed).integers(0, 256, (-(-size[0] // 8), -(-size[1] // 8), 3))
    ground = np.kron(cells, np.ones((8, 8, 1))).astype(np.uint8)[: size[0], : size[1]]
    images = [np.roll(ground, 2 * index, axis=1) for index in range(frames)]
    clip = SimpleNamespace(name="blocks", length=frames, fps=24.0, size=size, decoded=[])

    def read(indices: Sequence[int] | None = None) -> Any:
        for index in range(frames) if indices is None else indices:
            clip.decoded.append(index)
            yield images[index]

    clip.frames = read
    return clip


def key_frames_of(indices: Sequence[int], points_each: int, grid: int = 8) -> KeyFrames:
    """Points on every key frame, on cells of a random map."""
    draw = np.random.default_rng(1)
    heat = draw.random((len(indices), grid, grid), dtype=np.float32)
    rows = []
    for frame, each in enumerate(heat):
        for cell in np.sort(np.argsort(-each, axis=None)[:points_each]):
            row, column = divmod(int(cell), grid)
            rows.append((frame, (column + 0.5) / grid, (row + 0.5) / grid, each[row, column]))
    return KeyFrames(np.array(indices, np.int64), HeatMaps(heat), Points.single_clicks(np.array(rows)))


def assert_same_masks(found: np.ndarray, wanted: np.ndarray) -> None:
    """Masks (K, H, W) of batches of other sizes: these sum in another order, so that a logit next to zero may fall to either side."""
    assert found.shape == wanted.shape
    differing = (found != wanted).mean(axis=(1, 2))
    assert differing.max() <= 1e-3, f"shares of pixels that differ: {differing.round(4)}"


def test_points_as_one_batch_give_what_each_gives_alone(segmenter: Sam2HfSegmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    ragged = (
        [(0.2, 0.3, 1)],
        [(0.6, 0.5, 1), (0.1, 0.1, 0)],
        [(0.7, 0.8, 1)],
        [(0.2, 0.2, 2), (0.9, 0.9, 3)],
        [(0.5, 0.5, 1), (0.4, 0.6, 1), (0.9, 0.1, 0)],
    )
    network = Decodings(segmenter._network)
    monkeypatch.setattr(segmenter, "_network", network)
    with segmenter.open(clip_of(1)) as session:
        together = session.masks_at(0, points_of(*ragged), HEAT)
        assert [len(each.logits) for each in network.given] == [2, 2, 1], "single clicks in one pass, pairs in one, the rest in another"
        network.given.clear()
        alone = [session.masks_at(0, points_of(candidate), HEAT) for candidate in ragged]
    assert [each.logits.shape[1] for each in network.given] == [3, 1, 3, 1, 1], "three masks for one point, one for several"
    np.testing.assert_allclose(together.predicted_iou, [float(each.predicted_iou[0]) for each in alone], atol=1e-5)
    assert_same_masks(together.masks, np.concatenate([each.masks for each in alone]))


def test_logits_of_a_batch_are_those_of_single_points(segmenter: Sam2HfSegmenter) -> None:
    network, side = segmenter._network, segmenter._network.traits.image_size
    places = torch.rand(9, 1, 2, generator=torch.Generator().manual_seed(0)) * side
    labels = torch.ones(9, 1, dtype=torch.int32)
    with computing(network.device, "float32"):
        features = network.encode(torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1)))
        embedding = features.top + network.no_memory[:, None, None]
        whole = network.decode(embedding.expand(9, -1, -1, -1), features, Prompt(places, labels), several=True)
        for row in range(9):
            single = network.decode(embedding, features, Prompt(places[row : row + 1], labels[:1]), several=True)
            torch.testing.assert_close(whole.logits[row], single.logits[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(whole.predicted_iou[row], single.predicted_iou[0], atol=1e-5, rtol=0)


def test_many_candidates_go_in_parts(segmenter: Sam2HfSegmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    points = points_of(*[[(x / 10, 0.5, 1)] for x in range(10)])
    with segmenter.open(clip_of(1)) as session:
        whole = session.masks_at(0, points, HEAT)
        monkeypatch.setattr(sam2_session, "CANDIDATES_AT_ONCE", 3)
        parts = session.masks_at(0, points, HEAT)
    np.testing.assert_allclose(parts.predicted_iou, whole.predicted_iou, atol=1e-5)
    assert_same_masks(parts.masks, whole.masks)
    assert (whole.masks[0] != whole.masks[9]).mean() > 0.01, "the candidates differ"


def test_every_frame_is_encoded_once_while_features_fit(make_segmenter: Callable[..., tuple[Sam2HfSegmenter, Work]]) -> None:
    segmenter, work = make_segmenter()
    key = key_frames_of(np.linspace(0, 39, 16).astype(int).tolist(), points_each=2)
    clip = clip_of(40)
    with segmenter.open(clip) as session:
        found = find_tracklets(session, key, 0.7)
        assert work.segmenter_encodings == 16, "key frames"
        tracks = follow_kept(session, list(found)[:3], key, 40)
    assert work.segmenter_encodings == 40, "frames"
    assert sorted(clip.decoded) == list(range(40))
    assert len(tracks) == 3


@pytest.mark.slow
def test_beyond_the_budget_every_frame_is_encoded_twice_at_most(make_segmenter: Callable[..., tuple[Sam2HfSegmenter, Work]]) -> None:
    key = key_frames_of(np.linspace(0, 299, 16).astype(int).tolist(), points_each=1)
    outcomes = []
    for kept_frames in (32, 300):
        segmenter, work = make_segmenter(kept_frames=kept_frames)
        clip = clip_of(300)
        with segmenter.open(clip) as session:
            found = find_tracklets(session, key, 0.7)
            starts = sorted({each.prompt_frame for each in found})
            some = [
                next(each for each in found if each.prompt_frame == start) for start in (starts[0], starts[len(starts) // 2], starts[-1])
            ]
            outcomes.append([track.masks() for track in follow_kept(session, some, key, 300)])
        counts = np.bincount(clip.decoded)
        assert work.segmenter_encodings == counts.sum()
        assert counts.max() == (2 if kept_frames == 32 else 1)
    np.testing.assert_array_equal(outcomes[0], outcomes[1])


def test_prompts_together_give_what_each_gives_alone(segmenter: Sam2HfSegmenter) -> None:
    key = key_frames_of([1, 4, 8], points_each=3)
    with segmenter.open(clip_of(10)) as session:
        prompts = [(int(frame), session.masks_at(int(frame), key.points.at(t), HEAT).masks) for t, frame in enumerate(key.indices)]
        prompts.insert(1, (2, np.zeros((0, *session._clip.size), bool)))
        together: list[dict[int, np.ndarray]] = [{} for _ in prompts]
        order: list[list[int]] = [[] for _ in prompts]
        for number, item in session.propagate_together(prompts, range(10), key.heat, key.indices):
            together[number][item.frame] = item.logits
            order[number].append(item.frame)
        for number, (frame, masks) in enumerate(prompts):
            assert order[number] == [*range(frame, 10), *range(frame - 1, -1, -1)]
            for item in session.propagate(frame, masks, range(10), key.heat, key.indices):
                np.testing.assert_allclose(together[number][item.frame].astype(float), item.logits.astype(float), atol=0.01, rtol=2e-3)


def test_nothing_is_encoded_for_no_objects(make_segmenter: Callable[..., tuple[Sam2HfSegmenter, Work]]) -> None:
    segmenter, work = make_segmenter()
    with segmenter.open(clip_of(4)) as session:
        items = list(session.propagate(1, np.zeros((0, 48, 64), bool), range(4), HeatMaps(HEAT[None]), np.array([0])))
        assert list(session.propagate_together([], range(4), HeatMaps(HEAT[None]), np.array([0]))) == []
    assert [(item.frame, item.masks.shape, item.logits.shape) for item in items] == [(f, (0, 48, 64), (0, 32, 32)) for f in (1, 2, 3, 0)]
    assert work.segmenter_encodings == 0


def test_equal_prompts_are_followed_once(segmenter: Sam2HfSegmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Decodings(segmenter._network)
    monkeypatch.setattr(segmenter, "_network", network)
    masks = np.zeros((5, 48, 64), bool)
    masks[1, 10:30, 20:50] = masks[4, 10:30, 20:50] = True
    masks[2, 5:20, 5:20] = True
    with segmenter.open(clip_of(3)) as session:
        items = list(session.propagate(1, masks, range(3), HeatMaps(HEAT[None]), np.array([0])))
    assert {len(each.logits) for each in network.given} == {3}
    for item in items:
        assert item.masks.shape == (5, 48, 64)
        np.testing.assert_array_equal(item.logits[1], item.logits[4])
        np.testing.assert_array_equal(item.logits[0], item.logits[3])
        assert (item.logits[1] != item.logits[2]).any()
    np.testing.assert_array_equal(mask_overlaps(items[0].masks, masks).argmax(axis=1)[[1, 2, 4]], [1, 2, 1])


def test_frames_count_along_the_way_not_along_the_clip(segmenter: Sam2HfSegmenter) -> None:
    """The clip 0, 5, 11 followed is the clip of those three frames followed."""
    whole = clip_of(12)
    images = [image for index, image in enumerate(whole.frames()) if index in (0, 5, 11)]
    short = clip_of(3)
    short.frames = lambda indices=None: (images[index] for index in (range(3) if indices is None else indices))
    mask, heat = np.zeros((1, 48, 64), bool), HeatMaps(HEAT[None])
    mask[0, 10:30, 20:50] = True
    with segmenter.open(whole) as long_session, segmenter.open(short) as short_session:
        long = list(long_session.propagate(5, mask, [0, 5, 11], heat, np.array([0])))
        few = list(short_session.propagate(1, mask, [0, 1, 2], heat, np.array([0])))
    for sparse, dense in zip(long, few, strict=True):
        np.testing.assert_array_equal(sparse.logits, dense.logits)


def test_the_prompted_frame_comes_back_as_its_round_trip(segmenter: Sam2HfSegmenter) -> None:
    mask = np.zeros((1, 48, 64), bool)
    mask[0, 8:40, 16:48] = True
    with segmenter.open(clip_of(2)) as session:
        first = next(session.propagate(0, mask, [0, 1], HeatMaps(HEAT[None]), np.array([0])))
    assert mask_overlaps(first.masks, mask)[0, 0] > 0.95


def test_holes_are_filled_in_what_is_shown(make_segmenter: Callable[..., tuple[Sam2HfSegmenter, Work]]) -> None:
    mask = np.zeros((1, 128, 128), bool)
    mask[0, 20:100, 20:100] = True
    mask[0, 60:68, 60:68] = False  # 2 x 2 cells at low resolution
    shown = {}
    for holes in (0, 8):
        with make_segmenter(fill_holes=holes)[0].open(clip_of(1, (128, 128))) as session:
            shown[holes] = next(session.propagate(0, mask, [0], HeatMaps(HEAT[None]), np.array([0]))).masks[0]
    assert not shown[0][63, 63]
    assert shown[8][63, 63]


def test_bfloat16_is_near(make_segmenter: Callable[..., tuple[Sam2HfSegmenter, Work]]) -> None:
    mask = np.zeros((1, 48, 64), bool)
    mask[0, 8:40, 16:48] = True
    scores, masks = [], []
    for precision in ("float32", "bfloat16"):
        segmenter = make_segmenter(precision=precision)[0]
        assert segmenter.describe().dtype == precision
        with segmenter.open(clip_of(4)) as session:
            scores.append(session.masks_at(0, points_of([(0.4, 0.5, 1)], [(0.7, 0.2, 1)]), HEAT).predicted_iou)
            masks.append(np.stack([item.masks for item in session.propagate(1, mask, range(4), HeatMaps(HEAT[None]), np.array([0]))]))
    np.testing.assert_allclose(scores[0], scores[1], atol=0.05)
    assert (masks[0] == masks[1]).mean() > 0.9
    assert scores[0].dtype == scores[1].dtype == np.float32


def test_overlaps_are_those_of_the_core(segmenter: Sam2HfSegmenter) -> None:
    masks = np.random.default_rng(0).random((4, 48, 64)) < 0.5
    with segmenter.open(clip_of(1)) as session:
        np.testing.assert_array_equal(session.overlaps(masks, masks[:2]), mask_overlaps(masks, masks[:2]))


def test_closed_in_the_middle_of_a_way(segmenter: Sam2HfSegmenter) -> None:
    session = segmenter.open(clip_of(4))
    way = session.propagate(0, np.ones((1, 48, 64), bool), range(4), HeatMaps(HEAT[None]), np.array([0]))
    next(way)
    session.close()
    with pytest.raises(SegmenterError, match="the segmenter's session on blocks is closed; open another one"):
        next(way)


def test_wrong_prompts_are_refused_before_anything_is_encoded(make_segmenter: Callable[..., tuple[Sam2HfSegmenter, Work]]) -> None:
    segmenter, work = make_segmenter()
    heat, at = HeatMaps(HEAT[None]), np.array([0])
    with segmenter.open(clip_of(4)) as session:
        with pytest.raises(SegmenterError, match="blocks has no frame 4; wanted 0 to 3"):
            session.masks_at(4, points_of([(0.5, 0.5, 1)]), HEAT)
        with pytest.raises(SegmenterError, match="cannot propagate from frame 1 over frames 0, 2; wanted ascending ones, it among them"):
            session.propagate(1, np.ones((1, 48, 64), bool), [0, 2], heat, at)
        with pytest.raises(ShapeError, match="masks"):
            session.propagate(1, np.ones((1, 40, 64), bool), [0, 1], heat, at)
    assert work.segmenter_encodings == 0


@pytest.mark.parametrize("place", [-0.01, 1.01, float("nan")])
def test_points_outside_are_refused(place: float) -> None:
    with pytest.raises(ShapeError, match=r"points.x spans .* wanted fractions in \[0, 1\]"):
        points_of([(place, 0.5, 1)])


def test_points_on_the_border_are_taken(segmenter: Sam2HfSegmenter) -> None:
    with segmenter.open(clip_of(1)) as session:
        found = session.masks_at(0, points_of([(0.0, 0.0, 1)], [(1.0, 1.0, 1)]), HEAT)
    assert isinstance(found, Candidates)
    assert found.masks.shape == (2, 48, 64)


def test_sessions_of_one_segmenter_do_not_meet(segmenter: Sam2HfSegmenter) -> None:
    clips = [clip_of(2, seed=seed) for seed in (1, 2)]
    apart = []
    for clip in clips:
        with segmenter.open(clip) as session:
            apart.append(session.masks_at(0, points_of([(0.5, 0.5, 1)]), HEAT))
    with segmenter.open(clips[0]) as first, segmenter.open(clips[1]) as second:
        for session, alone in ((first, apart[0]), (second, apart[1]), (first, apart[0])):
            np.testing.assert_array_equal(session.masks_at(0, points_of([(0.5, 0.5, 1)]), HEAT).masks, alone.masks)
    assert isinstance(first, Sam2Session)


def test_a_closed_session_lets_go_of_its_clip_at_once(segmenter: Sam2HfSegmenter) -> None:
    """A window's frames are as large as a window; a cycle would keep them until the collector comes."""
    clip = ArrayClip(np.zeros((2, 48, 64, 3), np.uint8))
    gone = weakref.ref(clip)
    gc.disable()
    try:
        with segmenter.open(clip) as session:
            session.masks_at(0, points_of([(0.5, 0.5, 1)]), HEAT)
        del session, clip
        assert gone() is None
    finally:
        gc.enable()
