"""Frames at working resolution, and the motion between any two of them, within a bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from gazecut.protocols import Clip
from gazecut_segmenter.cache import ArrayCache

FULL = 255  # soft masks are uint8, 0 to this
BLOCK = 16  # frames decoded together, so that walking backwards does not seek for every frame
ASTRAY, ASTRAY_SHARE = 1.5, 0.1  # px, and of a motion's length: how far from its start a way there and back may end
SHORTEST_SIDE = 48  # px; DIS needs some, so tiny clips are enlarged


class WorkingFrames:
    """A clip's frames, reduced, and the optical flow between any two of them."""

    def __init__(self, clip: Clip, longest_side: int, cache: ArrayCache) -> None:
        """Decode nothing yet.

        Args:
            clip: The clip.
            longest_side: Longer side after reduction, in pixels; clips that are smaller stay as they are.
            cache: Where frames and flow are kept.
        """
        height, width = clip.size
        scale = max(min(1.0, longest_side / max(height, width)), SHORTEST_SIDE / min(height, width))
        self.size = round(height * scale), round(width * scale)
        self._clip = clip
        self._cache = cache
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._places = np.stack(np.meshgrid(np.arange(self.size[1]), np.arange(self.size[0]))).astype(np.float32)

    def image(self, index: int, upcoming: Sequence[int] = ()) -> np.ndarray:
        """A frame (h, w, 3) uint8 RGB.

        Args:
            index: Index into the clip.
            upcoming: Frames that will be asked for next, in that order; some are decoded along with it.
        """
        held = self._cache.get(("image", index))
        if held is not None:
            return held
        room = self._cache.budget // (4 * 3 * self.size[0] * self.size[1])
        block = [later for later in upcoming[: min(BLOCK, room)] if self._cache.get(("image", later)) is None]
        wanted = sorted({index, *block})
        images = {number: resized(frame, self.size) for number, frame in zip(wanted, self._clip.frames(wanted), strict=True)}
        for number, image in images.items():
            self._cache.put(("image", number), image)
        return images[index]

    def carry(self, layers: Sequence[np.ndarray], before: int, after: int, upcoming: Sequence[int] = ()) -> list[np.ndarray]:
        """Layers of one frame, moved to where their pixels are in another; 0 comes in from outside.

        Args:
            layers: Each (h, w), of one dtype that OpenCV interpolates (uint8, float32).
            before: Index of the frame that they belong to.
            after: Index of the frame to bring them to; it may be the earlier one.
            upcoming: Frames that will be asked for next, see `image`.

        Returns:
            As many layers, (h, w) each.
        """
        if not layers:
            return []
        x, y = self._places + self._displacement(before, after, upcoming)
        return [np.asarray(cv2.remap(layer, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)) for layer in layers]

    def agreement(self, before: int, after: int, upcoming: Sequence[int] = ()) -> np.ndarray:
        """Where the motion between two frames is the same both ways, (h, w) bool on the frame `after`.

        What is seen on one of the frames alone has no motion between them, and what was found for it is wrong: the way there and
        back then ends elsewhere.

        Args:
            before: Index of a frame.
            after: Index of another.
            upcoming: Frames that will be asked for next, see `image`.
        """
        held = self._cache.get(("agreement", before, after))
        if held is not None:
            return held
        there = self._displacement(before, after, upcoming).astype(np.float32)
        x, y = self._places + there
        back = self._displacement(after, before, upcoming).astype(np.float32)
        error = [there[axis] + cv2.remap(back[axis], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for axis in (0, 1)]
        slack = ASTRAY + ASTRAY_SHARE * np.hypot(*there)
        return self._cache.put(("agreement", before, after), np.asarray(np.hypot(*error) <= slack))

    def _displacement(self, before: int, after: int, upcoming: Sequence[int]) -> np.ndarray:
        """How far from its place in `after` each pixel was in `before`, (2, h, w) float16, x and y in working pixels."""
        held = self._cache.get(("flow", before, after))
        if held is not None:
            return held
        gray = [cv2.cvtColor(self.image(index, upcoming), cv2.COLOR_RGB2GRAY) for index in (after, before)]
        flow = self._flow.calc(gray[0], gray[1], np.zeros((*self.size, 2), np.float32))
        return self._cache.put(("flow", before, after), np.ascontiguousarray(flow.astype(np.float16).transpose(2, 0, 1)))


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image or layer (H, W[, C]) at another size (h, w): areas averaged where it shrinks, bilinear where it grows."""
    if image.shape[:2] == size:
        return image
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))
