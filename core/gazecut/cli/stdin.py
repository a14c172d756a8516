"""Video from standard input."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gazecut.errors import GazecutError, RequestError

if TYPE_CHECKING:
    from gazecut.clip.live import LiveVideo
    from gazecut.clip.passing import PassingClip


class Stdin:
    """What is piped into the command.

    Attributes:
        video: Its frames, once it was opened.
    """

    def __init__(self, raw: str | None) -> None:
        """Read nothing yet.

        Args:
            raw: Size of bare frames, as typed; None for an encoded stream.

        Raises:
            RequestError: It is a terminal, or closed.
        """
        from gazecut.clip.live import HOW, NAME

        if sys.stdin is None or sys.stdin.closed or os.isatty(sys.stdin.fileno()):
            found = "a terminal" if sys.stdin and not sys.stdin.closed else "closed"
            raise RequestError(f"{NAME} is {found}, so no video can come from it. {HOW}")
        self.video: LiveVideo | None = None
        self._raw = raw

    def clip(self) -> PassingClip:
        """Wait for the first frame.

        Raises:
            ClipError: None comes, or what comes is no video.
        """
        from gazecut.clip.live import NAME, EncodedVideo, RawVideo
        from gazecut.clip.passing import PassingClip

        os.set_blocking(sys.stdin.fileno(), True)  # whoever made the pipe may have it otherwise
        file = io.FileIO(sys.stdin.fileno(), closefd=False)  # no buffer: what comes is looked at when it comes
        self.video = EncodedVideo(file) if self._raw is None else RawVideo(file, self._raw)
        return PassingClip(self.video, self.video.fps, NAME)

    def check_end(self, output: Path) -> None:
        """See to it that a stream that broke off does not pass for a whole one.

        Raises:
            GazecutError: It did; what came before is in `output`.
        """
        if self.video is not None and self.video.broken:
            raise GazecutError(f"{self.video.broken}. What came before is whole, and in {output}.")


def open_stdin(raw: str | None, part: bool) -> Stdin:
    """Standard input, for the video "-".

    Args:
        raw: Size of bare frames, as typed.
        part: Whether only a part of the video is wanted.

    Raises:
        RequestError: It is a terminal, or a part is wanted.
    """
    if part:
        raise RequestError(
            "--start, --end and --every are for files, a stream cannot be cut here. Cut it before: "
            'ffmpeg -ss 60 -t 10 -i IN -f matroska - | gazecut segment - "the dog"'
        )
    return Stdin(raw)
