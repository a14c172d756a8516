"""GrabCut seeded by the map and the points, followed by DIS optical flow: OpenCV alone, no weights.

A frame is cut once and its candidates are the regions that their points lie in, so dozens of points cost no more than one.
A followed mask is carried from frame to frame by the flow. Key frames are cut by their maps, frames near them by what their
cuts become on the way there, and the mask turns into the regions of those cuts that it meets; far from any map its own outline
is cut anew. The cuts do not know who asks: any order of questions gives the same masks. Motion counts where it is the same both
ways; objects that touch, cross or hide each other are told apart by their colours and their courses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from gazecut.protocols import Clip, Provenance, Runtime
from gazecut.values import Candidates, FrameMasks, HeatMaps, Points
from gazecut_segmenter.cache import ArrayCache
from gazecut_segmenter.candidates import FrameCut, marked, places_of
from gazecut_segmenter.config import ClassicalOptions
from gazecut_segmenter.frames import BLOCK, FULL, WorkingFrames, resized
from gazecut_segmenter.guide import Guide
from gazecut_segmenter.key_frames import KeyFrames
from gazecut_segmenter.objects import Objects, Parting
from gazecut_segmenter.session import ClipSession, both_ways

RIM = 3  # px at working resolution: a figure's surplus that is no wider belongs to the outline of a mask


class ClassicalSegmenter:
    """Segments and follows by colour, outline and motion."""

    def __init__(self, config: ClassicalOptions, runtime: Runtime) -> None:
        """Take options and seed; it always computes on the CPU."""
        self._options = config
        self._seed = runtime.seed

    def open(self, clip: Clip) -> ClassicalSession:
        """Get ready for one clip; frames are decoded when they are first needed."""
        return ClassicalSession(clip, self._options, self._seed)

    def describe(self) -> Provenance:
        """CPU, no weights."""
        return Provenance(device="cpu", dtype="float32")

    def peak_memory(self) -> int:
        """Always 0: there is no device."""
        return 0


class ClassicalSession(ClipSession):
    """Cuts and flow of one clip, kept within a bounded memory."""

    def __init__(self, clip: Clip, options: ClassicalOptions, seed: int) -> None:
        """Take the clip; nothing is decoded yet."""
        super().__init__(clip)
        self._options, self._seed = options, seed
        self._cache = ArrayCache(options.memory * 2**20)
        self._frames = WorkingFrames(clip, options.longest_side, self._cache)

    def masks_at(self, frame: int, points: Points, heat: np.ndarray) -> Candidates:
        """The regions of the frame's cut that the candidates' points lie in.

        A candidate that says more than "on the object", or lies outside of the cut, gets a cut of its own, with its points as
        seeds. The predicted IoU is the overlap with a second cut that leaves half as much of the map open: where colours and
        map agree on the outline, it is near 1.

        Args:
            frame: Index into the clip.
            points: The points of that frame.
            heat: (h, w) in [0, 1], the map of that frame.

        Returns:
            One mask per candidate at the clip's size.

        Raises:
            SegmenterError: The session is closed, or the clip has no such frame.
            ClipError: The frame cannot be decoded.
        """
        self._check_frame(frame)
        candidates = np.unique(points.candidate)
        if not len(candidates):
            return Candidates(np.zeros((0, *self._clip.size), bool), np.zeros(0, np.float32))
        key, image = self._key_frames(np.asarray(heat)[None], [frame]), self._frames.image(frame)
        figure, ground = self._options.figure, self._options.ground
        seeds, firm = key.seeds(frame, figure, ground), key.seeds(frame, figure / 2, (1 + ground) / 2)
        shared = FrameCut(image, key.colors(), seeds, firm)
        masks = np.zeros((len(candidates), *self._clip.size), bool)
        agreement = np.zeros(len(candidates), np.float32)
        for place, candidate in enumerate(candidates):
            clicks = places_of(points, int(candidate), self._frames.size)
            own = shared if shared.serves(clicks) else FrameCut(image, key.colors(), marked(seeds, clicks), marked(firm, clicks))
            small, agreement[place] = own.named(clicks)
            masks[place] = self._full(small * np.uint8(FULL))
        return Candidates(masks, agreement)

    def propagate(
        self, frame: int, masks: np.ndarray, frames: Sequence[int], heat: HeatMaps, heat_frames: np.ndarray
    ) -> Iterator[FrameMasks]:
        """Masks carried along the flow, forwards from `frame` and then backwards, held to the maps on key frames.

        Args:
            frame: Index into the clip of the frame that the masks prompt; one of `frames`. Its own masks come back as given.
            masks: (K, H, W) bool, one per object.
            frames: Ascending indices into the clip.
            heat: Maps (T, h, w) in [0, 1].
            heat_frames: (T,) int64 ascending, the clip index of each map.

        Yields:
            Each of `frames` once.

        Raises:
            SegmenterError: The session is closed, or `frame` and `frames` do not fit each other or the clip.
            ShapeError: The masks are of another size than the clip.
            ClipError: A frame cannot be decoded.
        """
        self._check_prompt(frame, masks, frames)
        course = list(frames)
        guide = Guide(self._frames, self._cache, self._options, self._key_frames(heat.numpy(), heat_frames.tolist()), course)
        start = [resized(mask.astype(np.uint8) * np.uint8(FULL), self._frames.size) for mask in masks]
        start += self._others(start, guide, frame)
        objects = Objects(self._frames.image(frame), [soft > FULL // 2 for soft in start], frame)
        yield FrameMasks(frame, masks)
        for way in both_ways(frame, course):
            for index, soft in self._followed(frame, start, way, guide, Parting(objects)):
                full = [self._full(layer) for layer in soft[: len(masks)]]
                yield FrameMasks(index, np.stack(full) if full else np.zeros((0, *self._clip.size), bool))

    def close(self) -> None:
        """Forget frames, flow and cuts; a second call does nothing."""
        super().close()
        self._cache.clear()

    def _key_frames(self, heat: np.ndarray, indices: Sequence[int]) -> KeyFrames:
        return KeyFrames(self._frames, self._cache, self._options, self._seed, heat, indices)

    def _others(self, masks: Sequence[np.ndarray], guide: Guide, frame: int) -> list[np.ndarray]:
        """What else the figure of a prompted frame holds, as one more soft mask; none where that is nothing to speak of.

        Masks that lie beside the figure altogether are taken to mean it.
        """
        rest: np.ndarray = guide.figure(frame) * np.uint8(FULL) if guide.reaches(frame) else np.zeros(self._frames.size, np.uint8)
        if not any((rest[mask > FULL // 2]).any() for mask in masks):
            return []
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RIM + 1, 2 * RIM + 1))
        for mask in masks:
            rest[cv2.dilate(mask, disc) > FULL // 2] = 0
        rest = cv2.morphologyEx(rest, cv2.MORPH_OPEN, disc)
        return [rest] if rest.any() else []

    def _followed(
        self, frame: int, masks: Sequence[np.ndarray], way: Sequence[int], guide: Guide, parting: Parting
    ) -> Iterator[tuple[int, list[np.ndarray]]]:
        """Soft masks (h, w) of one frame along a way that leads away from it."""
        before, alone, soft = frame, 0, list(masks)
        for step, index in enumerate(way):
            self._check_frame(index)
            upcoming = way[step : step + BLOCK]
            carried = self._frames.carry(soft, before, index, upcoming)
            alone = 0 if guide.reaches(index) else alone + 1
            held = [guide.hold(layer, index, alone) for layer in carried]
            if held:
                seen = self._frames.agreement(before, index, upcoming)
                soft = parting.divided(held, [layer * seen for layer in carried], self._frames.image(index), index)
            yield index, soft
            before = index

    def _full(self, soft: np.ndarray) -> np.ndarray:
        """A soft mask (h, w) uint8, 0 to 255, as (H, W) bool at the clip's size."""
        return np.asarray(resized(soft, self._clip.size) > FULL // 2)
