"""The key-frame loop against a literal transcription of the official procedure, over scripted segmenter sessions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from gazecut.testing.fakes import FakeSegmenterSession
from gazecut.tracklets import KeyFrames, find_tracklets, follow_kept, mask_overlaps
from gazecut.values import Candidates, FrameMasks, HeatMaps, MapSet, Points
from gazecut_plugins.attention_consistency import AttentionConsistencyScorer
from gazecut_plugins.config import AttentionConsistencyOptions
from gazecut_plugins.threshold import threshold_points

SIZE = (24, 28)
GRID = (6, 7)
LENGTH = 9
KEY_FRAMES = np.array([0, 2, 4, 6, 8])


class ScriptedSession:
    """Masks that depend on nothing but the script's seed and what is asked: moving boxes, seen with errors."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        draw = np.random.default_rng(seed)
        self.corners = draw.integers(-2, 20, (4, 2))
        self.sides = draw.integers(3, 12, (4, 2))
        self.speeds = draw.integers(-2, 3, (4, 2))

    def box(self, index: int, frame: int, shake: np.ndarray) -> np.ndarray:
        mask = np.zeros(SIZE, bool)
        top, left = self.corners[index] + self.speeds[index] * frame + shake[:2]
        height, width = np.maximum(self.sides[index] + shake[2:], 0)
        mask[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = True
        return mask

    def masks_at(self, frame: int, points: Points, heat: np.ndarray) -> Candidates:
        draw = np.random.default_rng([self.seed, frame])
        masks, trust = [], []
        for _ in np.unique(points.candidate):
            empty = draw.random() < 0.08
            masks.append(np.zeros(SIZE, bool) if empty else self.box(int(draw.integers(4)), frame, draw.integers(-1, 2, 4)))
            trust.append(draw.choice([0.5, 0.7, 0.9, draw.random()]))
        return Candidates(np.stack(masks), np.array(trust, np.float32))

    def propagate(
        self, frame: int, masks: np.ndarray, frames: Sequence[int], heat: HeatMaps, heat_frames: np.ndarray
    ) -> Iterator[FrameMasks]:
        order = [index for index in frames if index >= frame] + [index for index in reversed(frames) if index < frame]
        for target in order:
            yield FrameMasks(target, np.stack([self.followed(frame, mask, target) for mask in masks]))

    def followed(self, frame: int, mask: np.ndarray, target: int) -> np.ndarray:
        draw = np.random.default_rng([self.seed, frame, target, int(mask.sum()), int(np.flatnonzero(mask).sum())])
        index = int(np.argmax([(self.box(i, frame, np.zeros(4, int)) & mask).sum() for i in range(4)]))
        index = 0 if draw.random() < 0.3 else index  # tracks drift onto the same thing
        return np.zeros(SIZE, bool) if draw.random() < 0.1 else self.box(index, target, draw.integers(-1, 2, 4))


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    union = (first | second).sum()
    return float((first & second).sum() / union) if union else 0.0


def valid_object_ids(masks: list, scores: list, previous: list[dict], frame: int, met: Counter[str]) -> tuple[list[int], list[int]] | None:
    """Method facts 5.2, step 5, sentence by sentence."""
    suppressed: set[int] = set()
    kept: list[int] = []
    deleted: set[int] = set()
    for i in sorted(range(len(masks)), key=lambda index: -scores[index]):
        if i in suppressed:
            continue
        for j in range(len(masks)):
            if j != i and overlap(masks[i], masks[j]) > 0.7:
                suppressed.add(j)
        dropped = False
        for p, tracklet in enumerate(previous):
            if overlap(masks[i], tracklet["masks"][frame]) > 0.7:
                if scores[i] > tracklet["score"]:
                    deleted.add(p)
                else:
                    dropped = True
                    met["dropped after it flagged another"] += bool(deleted)
                    break
        met["dropped"] += dropped
        if not dropped:
            kept.append(i)
    met["suppressed"] += bool(suppressed)
    met["deleted"] += bool(deleted and kept)
    return (kept, sorted(deleted)) if kept else None


def adaptive_average(mask: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    rows, columns = grid
    height, width = mask.shape
    out = np.zeros(grid)
    for i in range(rows):
        for j in range(columns):
            top, bottom = i * height // rows, -(-(i + 1) * height // rows)
            left, right = j * width // columns, -(-(j + 1) * width // columns)
            out[i, j] = mask[top:bottom, left:right].mean()
    return out


def transcription(
    session: ScriptedSession, maps: np.ndarray, rows: np.ndarray, met: Counter[str]
) -> tuple[list[dict], list[int], np.ndarray]:
    """Method facts 5.2 to 5.4 as they are written, with dictionaries and loops."""
    tracklets: list[dict] = []
    heat = HeatMaps(maps)
    for t, frame in enumerate(KEY_FRAMES.tolist()):
        here = Points.single_clicks(rows).at(t)
        if len(here) == 0:
            met["no points"] += 1
            continue
        seen = session.masks_at(frame, here, maps[t])
        scores = [float(value) + float(iou) for value, iou in zip(here.score, seen.predicted_iou, strict=True)]
        valid = valid_object_ids(list(seen.masks), scores, tracklets, t, met)
        if valid is None:
            continue
        kept, deleted = valid
        followed = {item.frame: item.masks for item in session.propagate(frame, seen.masks[kept], KEY_FRAMES.tolist(), heat, KEY_FRAMES)}
        tracklets = [tracklet for p, tracklet in enumerate(tracklets) if p not in deleted]
        for position, i in enumerate(kept):
            masks = np.stack([followed[index][position] for index in KEY_FRAMES.tolist()])
            tracklets.append({"masks": masks, "score": scores[i], "frame": t})
    if not tracklets:
        return [], [], np.zeros((LENGTH, *SIZE), bool)

    attended = maps > maps.mean(axis=(1, 2), keepdims=True)
    gain = np.where(attended, maps, -(maps * attended).max(axis=(1, 2), keepdims=True))
    raw = [
        sum((adaptive_average(tracklet["masks"][t], GRID) * gain[t]).sum() for t in range(len(maps))) / ((maps * attended).sum() + 1e-8)
        for tracklet in tracklets
    ]
    positive = [value for value in raw if value > 0]
    consistency = [value / (max(positive) + 1e-8) if value > 0 else value for value in raw]
    total = [(tracklet["score"] + value) / 3 for tracklet, value in zip(tracklets, consistency, strict=True)]
    survivors = [k for k, value in enumerate(total) if value > 0.8] or [int(np.argmax(total))]

    met["fall-back to the best"] += max(total) <= 0.8
    met["several key frames kept"] += len({tracklets[k]["frame"] for k in survivors}) > 1

    union = np.zeros((LENGTH, *SIZE), bool)
    for t in sorted({tracklets[k]["frame"] for k in survivors}):
        group = np.stack([tracklets[k]["masks"][t] for k in survivors if tracklets[k]["frame"] == t])
        for item in session.propagate(int(KEY_FRAMES[t]), group, range(LENGTH), heat, KEY_FRAMES):
            union[item.frame] |= item.masks.any(axis=0)
    return tracklets, survivors, union


def test_loop_equals_transcription_over_200_sessions() -> None:
    met: Counter[str] = Counter()
    for seed in range(200):
        session = ScriptedSession(seed)
        draw = np.random.default_rng([seed, 77])
        maps = draw.random((len(KEY_FRAMES), *GRID)) ** draw.choice([2, 8])
        maps[draw.integers(len(KEY_FRAMES))] *= 0.5
        maps = (maps - maps.min()) / (maps.max() - maps.min())
        rows = threshold_points(maps, 0.8)
        wanted, survivors, union = transcription(session, maps, rows, met)

        key = KeyFrames(KEY_FRAMES, HeatMaps(maps), Points.single_clicks(rows))
        found = find_tracklets(session, key, 0.7)
        assert [tracklet.prompt_frame for tracklet in found] == [tracklet["frame"] for tracklet in wanted]
        assert [tracklet.object_score for tracklet in found] == [tracklet["score"] for tracklet in wanted]
        for ours, theirs in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(ours.masks, theirs["masks"])

        judgement = AttentionConsistencyScorer(AttentionConsistencyOptions()).judge(found, MapSet(()), key.heat)
        assert np.flatnonzero(judgement.kept).tolist() == survivors
        tracks = follow_kept(session, [found[index] for index in survivors], key, LENGTH)
        np.testing.assert_array_equal(np.any([track.masks() for track in tracks], axis=0), union)

    events = ("no points", "suppressed", "dropped", "dropped after it flagged another", "deleted")
    assert all(met[event] for event in (*events, "fall-back to the best", "several key frames kept")), met


class OnItsDevice(FakeSegmenterSession):
    """Compares masks itself, and counts how many pairs."""

    pairs = 0

    def overlaps(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        self.pairs += len(first) * len(second)
        return mask_overlaps(first, second)


def test_a_session_that_compares_masks_itself_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.zeros((2, *SIZE), bool)
    truth[:, 4:12, 4:12] = True
    points = Points.single_clicks(np.array([[frame, 0.3, 0.3, 0.9] for frame in (0, 0, 1)]))
    key = KeyFrames(np.arange(2), HeatMaps(np.ones((2, *GRID), np.float32)), points)
    wanted = find_tracklets(FakeSegmenterSession(truth), key, 0.7)
    monkeypatch.setattr("gazecut.tracklets.mask_overlaps", None)
    session = OnItsDevice(truth)
    found = find_tracklets(session, key, 0.7)
    assert session.pairs == 2 * 2 + 2 * 0 + 1 * 1 + 1 * 1, "two candidates, then one against the tracklet that they left"
    assert [one.object_score for one in found] == [one.object_score for one in wanted]
