"""Clips: lazy frames of any source behind one small interface.

Only the module that a source needs is imported, so that the command line starts fast.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TypeAlias

import numpy as np

from gazecut.arrays import to_numpy
from gazecut.clip.array import ArrayClip, spool
from gazecut.clip.part import Moment, Part, PartClip, check_part, frame_times
from gazecut.errors import ClipError
from gazecut.protocols import Clip

__all__ = ["ArrayClip", "Moment", "Part", "PartClip", "Source", "check_part", "frame_times", "open_clip"]

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # a path leaves one of the two slashes

Source: TypeAlias = str | os.PathLike[str] | np.ndarray | Iterable[np.ndarray] | Clip
"""What can be opened: the path of a video, an image or a folder of images; an array (T, H, W, 3) uint8; frames one by one; a clip."""


def open_clip(source: Source, start: Moment | None = None, end: Moment | None = None, every: int = 1) -> Clip:
    """Open a source of frames, or a part of it.

    Args:
        source: Path of a video file, of one image or of a folder of images (in natural order of their names); an array or
            tensor (T, H, W, 3) uint8 RGB; a sequence of frames (H, W, 3) uint8 RGB, or an iterator of them, which is
            written to a temporary file first; or a clip, which comes back as it is.
        start: The first moment of the part: seconds from the first frame as a number or text ("12.5", "1:02.5",
            "0:01:02.5"), or a frame's number ("240f"). None for the beginning.
        end: The moment that ends the part, itself outside; None for the end.
        every: Keep each n-th frame, at least 1; frames per second fall with it.

    Returns:
        The clip; a `PartClip`, whose `part` says which frames these are, where a part was asked for.

    Raises:
        ClipError: There is nothing there, it is no video that can be decoded from end to end, or it has no such part; a stream has none.
    """
    check_part(start, end, every)
    clip = _open(source)
    return clip if start is None and end is None and every == 1 else PartClip(clip, start, end, every)


def _open(source: Source) -> Clip:
    if isinstance(source, str | os.PathLike):
        try:
            return _open_path(Path(source))
        except OSError as exc:
            raise ClipError(f'cannot open "{source!s}": {exc.strerror or exc}; check the path and its permissions.') from exc
    if isinstance(source, Clip):
        return source
    if isinstance(source, np.ndarray) or hasattr(source, "detach"):
        return ArrayClip(to_numpy(source))
    if isinstance(source, list | tuple):
        return ArrayClip([to_numpy(frame) for frame in source], name="frames")
    if isinstance(source, Iterable) and not isinstance(source, bytes | bytearray | Mapping):
        return ArrayClip(spool(source), name="frames")
    raise ClipError(
        f"cannot read a clip from {type(source).__name__}; wanted the path of a video file or of a folder of images, "
        "an array (T, H, W, 3) uint8, or frames (H, W, 3) uint8 one by one."
    )


def _open_path(path: Path) -> Clip:
    from gazecut.clip.images import IMAGE_SUFFIXES, ImagesClip

    if path.is_dir():
        return ImagesClip.of_folder(path)
    if not path.exists():
        raise ClipError(_nothing_at(path))
    if not path.is_file():
        raise ClipError(f'"{path}" is a device or a pipe; wanted a video file or a folder of images. Save what comes from it first.')
    from gazecut.clip.animation import ANIMATED_SUFFIXES, open_image_file

    if path.suffix.lower() in IMAGE_SUFFIXES | ANIMATED_SUFFIXES:
        return open_image_file(path)
    from gazecut.clip.video import VideoClip

    return VideoClip(path)


def _nothing_at(path: Path) -> str:
    if path.is_symlink():
        return f'"{path}" is a link that leads nowhere, to "{path.readlink()}"; mend it, or give the path of the file itself.'
    if _ADDRESS.match(str(path)):
        return f'"{path}" looks like an address on the net; wanted a file on this machine. Download it first.'
    if not path.parent.is_dir():
        return f'there is no file or folder "{path}", nor a folder "{path.parent}"; check the path.'
    similar = get_close_matches(path.name, sorted(entry.name for entry in path.parent.iterdir()), n=1)
    hint = f'did you mean "{path.with_name(similar[0])}"?' if similar else "give the path of a video file or of a folder of images."
    return f'there is no file or folder "{path}"; {hint}'
