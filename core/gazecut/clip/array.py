"""Clips of frames that are in memory already, or come one by one."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from gazecut.arrays import to_numpy
from gazecut.clip.indices import checked_indices
from gazecut.errors import ClipError

NOMINAL_FPS = 24.0
"""Frames per second of clips whose source does not say."""

_WANTED = "wanted frames (H, W, 3) uint8, RGB from 0 to 255"


class ArrayClip:
    """Frames in memory; `frames` hands out copies, so the source stays as it is.

    Attributes:
        name: What to call it in messages and file names.
        length: Number of frames, at least 1.
        fps: Frames per second.
        size: (H, W) in pixels.
    """

    def __init__(self, frames: np.ndarray | Sequence[np.ndarray], fps: float = NOMINAL_FPS, name: str = "array") -> None:
        """Check the frames.

        Args:
            frames: (T, H, W, 3) uint8 RGB, or T frames (H, W, 3) of one size.
            fps: Frames per second.
            name: What to call the clip.

        Raises:
            ClipError: No frames, frames of another dtype or shape, or of different sizes.
        """
        if isinstance(frames, np.ndarray) and frames.ndim == 0:
            raise ClipError(f'clip "{name}": it has shape (); wanted frames (T, H, W, 3) uint8, RGB from 0 to 255.')
        if len(frames) == 0:
            raise ClipError(f'clip "{name}" has no frames; give at least one.')
        if not 0 < fps < math.inf:
            raise ClipError(f'clip "{name}": fps is {fps:g}; wanted more than 0.')
        self._frames = frames
        self.name = name
        self.length = len(frames)
        self.fps = float(fps)
        for number in range(1 if isinstance(frames, np.ndarray) else self.length):
            check_frame(name, number, frames[number], None if number == 0 else frames[0].shape)
        self.size = (int(frames[0].shape[0]), int(frames[0].shape[1]))

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 RGB, all or those at ascending indices.

        Raises:
            ClipError: An index is out of range or not ascending.
        """
        wanted = checked_indices(self.name, self.length, indices)
        return (np.array(self._frames[index], order="C") for index in wanted)


def check_frame(name: str, number: int, frame: np.ndarray, shape: tuple[int, ...] | None) -> None:
    """Refuse what is no frame, or is of another shape than the first.

    Args:
        name: The clip's name.
        number: The frame's index.
        frame: The frame.
        shape: Shape of the clip's first frame; None for the first itself.

    Raises:
        ClipError: Wrong dtype, shape or size.
    """
    where = f'clip "{name}", frame {number}'
    if frame.dtype != np.uint8:
        hint = " Values in [0, 1] become that by (frames * 255).round().astype(numpy.uint8)." if frame.dtype.kind == "f" else ""
        raise ClipError(f"{where} has dtype {frame.dtype}; {_WANTED}.{hint}")
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise ClipError(f"{where} has shape {tuple(frame.shape)}; {_WANTED}.{_mending(frame.shape)}")
    if shape is not None and frame.shape != shape:
        raise ClipError(f"{where} has shape {tuple(frame.shape)}, the frames before it {tuple(shape)}; wanted one size.")


def _mending(shape: tuple[int, ...]) -> str:
    if len(shape) == 2 and shape[1] == 3:
        return " If it is one image (H, W, 3), give image[None]."
    if len(shape) == 2:
        return " Grey frames (T, H, W) become that by numpy.repeat(frames[..., None], 3, axis=-1)."
    if len(shape) == 3 and shape[2] == 4:
        return " Frames with alpha (T, H, W, 4) become that by frames[..., :3]."
    if len(shape) == 3 and shape[0] == 3:
        return " Frames (T, 3, H, W) become that by numpy.moveaxis(frames, 1, -1)."
    return ""


def spool(frames: Iterable[object], name: str = "frames") -> np.ndarray:
    """Frames that come one by one, as one array (T, H, W, 3) uint8 in a temporary file that goes when the array goes.

    Args:
        frames: Frames (H, W, 3) uint8 of one size, arrays or tensors; taken one at a time, so memory stays small. An error
            that they raise passes on as it is.
        name: What to call them in messages.

    Raises:
        ClipError: None came, one has another dtype or shape, or the temporary folder is full.
    """
    shape: tuple[int, ...] | None = None
    length = 0
    with tempfile.TemporaryFile(prefix="gazecut-") as file:
        for item in frames:
            frame = to_numpy(item)
            check_frame(name, length, frame, shape)
            shape = frame.shape
            try:
                file.write(np.ascontiguousarray(frame).data)
                file.flush()
            except OSError as exc:
                raise ClipError(
                    f'cannot keep frame {length} of clip "{name}" in "{tempfile.gettempdir()}": {exc.strerror}; '
                    "make room there, or name a larger folder in TMPDIR."
                ) from exc
            length += 1
        if shape is None:
            raise ClipError(f'clip "{name}" has no frames; the iterator ended at once.')
        return np.memmap(file, np.uint8, mode="r", shape=(length, *shape))
