"""A session of SAM 2 on a clip, for either packaging: points to masks, and masks followed through the clip.

Each frame is encoded once while its features fit. A way over frames counts them 0 to n - 1, whatever their place in the clip:
SAM 2 was trained to look back frame by frame, and what lies between two sampled frames is not there for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from gazecut.protocols import Clip
from gazecut.tracklets import mask_overlaps
from gazecut.values import Candidates, FrameMasks, HeatMaps, Points
from gazecut.work import Work
from gazecut_segmenter.config import Sam2HfOptions
from gazecut_segmenter.devices import computing
from gazecut_segmenter.sam2_features import FeatureStore, network_input
from gazecut_segmenter.sam2_masks import at_clip_size, best_masks, fill_holes, mask_prompts, overlap_matrix
from gazecut_segmenter.sam2_shared import Features, Network, Prompt
from gazecut_segmenter.sam2_tracker import Group, Tracker
from gazecut_segmenter.session import ClipSession

CANDIDATES_AT_ONCE = 32  # in one pass of the mask decoder: about 1 GiB at 1024 px in float32


@dataclass(eq=False)
class _Party:
    """Objects on their way through a clip.

    Attributes:
        number: Which prompt they are.
        start: Position of the prompted frame.
        masks: (n, H, W) bool, the different ones among the K masks of the prompt.
        which: (K,) int64, which of them each mask is.
        group: What the tracker knows of them, from the start on.
    """

    number: int
    start: int
    masks: np.ndarray
    which: np.ndarray
    group: Group | None = None


class Sam2Session(ClipSession):
    """One clip before a network."""

    def __init__(self, clip: Clip, network: Network, options: Sam2HfOptions, work: Work) -> None:
        """Encode nothing yet.

        Args:
            clip: The clip.
            network: The network, shared by all sessions.
            options: Precision, holes, frames kept.
            work: Where encoded frames are counted.
        """
        super().__init__(clip)
        self._network, self._options = network, options
        self._features = FeatureStore(clip, partial(_encoded, network, work), options.kept_frames)

    def masks_at(self, frame: int, points: Points, heat: np.ndarray) -> Candidates:
        """A mask for each candidate, the best of three by predicted IoU.

        Candidates with equally many points go through the network together, and never padded: SAM 2 gives three masks for one
        point and one for several, and a padded point counts as one.

        Args:
            frame: Index into the clip.
            points: The points of that frame.
            heat: Not looked at.

        Returns:
            K masks at the clip's size.

        Raises:
            SegmenterError: The session is closed, or the clip has no such frame.
            ClipError: The frame cannot be decoded.
        """
        self._check_frame(frame)
        candidates = np.unique(points.candidate)
        masks, trust = np.zeros((len(candidates), *self._clip.size), bool), np.zeros(len(candidates), np.float32)
        own = [np.flatnonzero(points.candidate == candidate) for candidate in candidates]
        for count in sorted({len(rows) for rows in own}):
            alike = [place for place, rows in enumerate(own) if len(rows) == count]
            for start in range(0, len(alike), CANDIDATES_AT_ONCE):
                some = alike[start : start + CANDIDATES_AT_ONCE]
                masks[some], trust[some] = self._prompted(frame, points, np.stack([own[place] for place in some]))
        return Candidates(masks, trust)

    def propagate(
        self, frame: int, masks: np.ndarray, frames: Sequence[int], heat: HeatMaps, heat_frames: np.ndarray
    ) -> Iterator[FrameMasks]:
        """Masks over the given frames: forwards from `frame`, then backwards in the same memory.

        Args:
            frame: Index into the clip of the frame that the masks prompt; one of `frames`.
            masks: (K, H, W) bool, one per object. They are taken as they are, but for the network's resolution.
            frames: Ascending indices into the clip.
            heat: Not looked at.
            heat_frames: Not looked at.

        Yields:
            Each of `frames` once, with logits (K, 4h, 4h).

        Raises:
            SegmenterError: The session is closed, or `frame` and `frames` do not fit each other or the clip.
            ShapeError: The masks are of another size than the clip.
            ClipError: A frame cannot be decoded.
        """
        return (item for _, item in self.propagate_together([(frame, masks)], frames, heat, heat_frames))

    def propagate_together(
        self, prompts: Sequence[tuple[int, np.ndarray]], frames: Sequence[int], heat: HeatMaps, heat_frames: np.ndarray
    ) -> Iterator[tuple[int, FrameMasks]]:
        """As `propagate` for each of several prompts, in one sweep forwards and one backwards over the frames.

        Args:
            prompts: Frames and their masks.
            frames: Ascending indices into the clip.
            heat: Not looked at.
            heat_frames: Not looked at.

        Yields:
            Which prompt, and its masks on a frame; each frame once for each prompt.

        Raises:
            SegmenterError: The session is closed, or a prompt's frame and `frames` do not fit each other or the clip.
            ShapeError: Masks are of another size than the clip.
            ClipError: A frame cannot be decoded.
        """
        for frame, masks in prompts:
            self._check_prompt(frame, masks, frames)
        places = {frame: position for position, frame in enumerate(frames)}
        parties = [_Party(number, places[frame], *_distinct(masks)) for number, (frame, masks) in enumerate(prompts)]
        return self._sweeps(parties, list(frames))

    def overlaps(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Intersection over union of every pair, on the device where that is not the CPU.

        Args:
            first: (K, H, W) bool.
            second: (L, H, W) bool.

        Returns:
            (K, L) float64; two empty masks overlap by 0.
        """
        device = self._network.device
        if device.type == "cpu":
            return mask_overlaps(first, second)
        return overlap_matrix(torch.from_numpy(first).to(device), torch.from_numpy(second).to(device))

    def close(self) -> None:
        """Free the features; a second call does nothing."""
        super().close()
        self._features.clear()

    def _prompted(self, frame: int, points: Points, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Masks (K, H, W) and predicted IoU (K,) of candidates with P points each, `rows` (K, P) of the points."""
        network, traits = self._network, self._network.traits
        places = np.stack([points.x[rows], points.y[rows]], axis=-1) * traits.image_size
        fewest, most = traits.several_for_points
        with computing(network.device, self._options.precision):
            features = self._features[frame]
            prompt = Prompt(
                points=torch.from_numpy(places.astype(np.float32)).to(network.device),
                labels=torch.from_numpy(points.label[rows].astype(np.int32)).to(network.device),
            )
            embedding = (features.top + network.no_memory[:, None, None]).expand(len(rows), -1, -1, -1)
            logits, trust, _ = best_masks(network.decode(embedding, features, prompt, several=fewest <= rows.shape[1] <= most))
            logits = fill_holes(logits, self._options.fill_holes)
            return self._at_clip_size(logits), trust.clamp(0, 1).cpu().numpy()

    def _sweeps(self, parties: Sequence[_Party], frames: Sequence[int]) -> Iterator[tuple[int, FrameMasks]]:
        """`propagate_together` by positions: forwards from the first prompt on, backwards from the last one."""
        if not parties:
            return
        tracker = Tracker(self._network, len(frames), self._options.fill_holes)
        starts = [party.start for party in parties]
        ahead, back = range(min(starts), len(frames)), range(max(starts) - 1, -1, -1)
        self._features.plan([frames[position] for position in (*ahead, *back)])
        for reverse, way in ((False, ahead), (True, back)):
            for position in way:
                there = [party for party in parties if (position < party.start if reverse else position >= party.start)]
                for party, logits in zip(there, self._step(tracker, there, position, frames[position]), strict=True):
                    masks, low = self._at_clip_size(logits), logits.to(torch.float16).cpu().numpy()
                    yield party.number, FrameMasks(frames[position], masks[party.which], low[party.which])

    def _step(self, tracker: Tracker, parties: Sequence[_Party], position: int, frame: int) -> list[Tensor]:
        """Logits (n, 4h, 4h) of each party on a frame; those that start here are prompted, the others follow."""
        self._check_frame(frame)
        side = self._network.traits.image_size
        found = {party.number: torch.zeros(0, side // 4, side // 4) for party in parties}
        present = [party for party in parties if len(party.masks)]
        if present:
            with computing(self._network.device, self._options.precision):
                features = self._features[frame]
                for party in present:
                    if party.start == position:
                        masks = mask_prompts(torch.from_numpy(party.masks).to(self._network.device), side)
                        party.group, found[party.number] = tracker.prompt(features, position, masks)
                moving = [(party.number, party.group) for party in present if party.start != position and party.group]
                followed = tracker.follow(features, position, [group for _, group in moving])
                found.update(zip((number for number, _ in moving), followed, strict=True))
        return [found[party.number] for party in parties]

    def _at_clip_size(self, logits: Tensor) -> np.ndarray:
        with torch.inference_mode():
            return at_clip_size(logits, self._clip.size).cpu().numpy()


def _encoded(network: Network, work: Work, image: np.ndarray) -> Features:
    """Features of a frame (H, W, 3) uint8. No method of the session: it would be in a cycle with its store, and so would the clip."""
    work.segmenter_encodings += 1
    return network.encode(network_input(image, network.traits.image_size).to(network.device))


def _distinct(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different ones of masks (K, H, W), and which of them each is, (K,).

    Equal prompts go the same way, so one of them goes for all. They are not rare: empty masks never suppress each other.
    """
    packed = np.packbits(masks.reshape(len(masks), masks.shape[1] * masks.shape[2]), axis=1)
    _, first, which = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    return masks[first], which.reshape(-1)
