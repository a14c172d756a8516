"""Text on pictures: measured, wrapped, shortened, and readable in more than one script.

Pillow brings a font of its own, so pictures look the same on every machine; it knows the letters of English only. Text with
others is set in the first font of the system that has them all.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from functools import cache

from PIL import ImageDraw, ImageFont

from gazecut.errors import OutputError
from gazecut.pictures.palette import Colour

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_ELLIPSIS = "…"
_SYSTEM_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "msyh.ttc", "arial.ttf")
_NO_LETTER = "\uffff"  # no character: shows what a font draws for letters that it lacks
_TRY_SIZE = 16


class Lettering:
    """Sets text in one font, or in one that has the letters.

    Raises:
        OutputError: The font file cannot be read.
    """

    def __init__(self, file: str | None = None) -> None:
        """Choose the font.

        Args:
            file: Font file; None for Pillow's own.
        """
        try:
            _font(file, _TRY_SIZE)
        except OSError as exc:
            raise OutputError(f'cannot read the font "{file}": {exc}; give a TrueType or OpenType file, or leave the option out.') from exc
        self._file = file

    def width(self, text: str, size: int) -> float:
        """Pixels that a line takes at a font size in pixels."""
        line, font = self._fitting(text, size)
        return font.getlength(line)

    def shortened(self, text: str, size: int, width: float) -> str:
        """The text, or as many of its letters as fit into so many pixels with an ellipsis."""
        text = " ".join(text.split())
        if self.width(text, size) <= width:
            return text
        return text[: self._fitting_letters(text, size, width, _ELLIPSIS)].rstrip() + _ELLIPSIS

    def wrapped(self, text: str, size: int, width: float, lines: int) -> list[str]:
        """The text over at most so many lines, broken between words, or within one that no line holds; the last is shortened if need be."""
        done: list[str] = []
        rest = " ".join(text.split())
        while rest and len(done) < lines - 1:
            end = max(1, self._fitting_letters(rest, size, width))
            if end < len(rest) and (space := rest.rfind(" ", 0, end + 1)) > 0:
                end = space
            done.append(rest[:end].rstrip())
            rest = rest[end:].lstrip()
        return [*done, self.shortened(rest, size, width)] if rest else done

    def write(self, draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, colour: Colour, anchor: str = "lm") -> None:
        """Draw one line, anchored as Pillow names it: "lm" is the middle of its left edge."""
        line, font = self._fitting(text, size)
        draw.text(at, line, fill=colour, font=font, anchor=anchor)

    def _fitting_letters(self, text: str, size: int, width: float, end: str = "") -> int:
        """How many letters of a text fit into so many pixels, with an end behind them; halved, for answers may be pages long."""
        return bisect_right(range(1, len(text) + 1), width, key=lambda count: self.width(text[:count].rstrip() + end, size))

    def _fitting(self, text: str, size: int) -> tuple[str, Font]:
        """A line and a font that has its letters; without one, letters without their accents."""
        line = "".join(" " if unicodedata.category(letter).startswith("C") else letter for letter in text)
        letters = set(line) - {" "}
        for file in (self._file, None, *_SYSTEM_FONTS):
            if all(_has(file, letter) for letter in letters):
                return line, _font(file, size)
        plain = unicodedata.normalize("NFKD", line)
        return "".join(letter for letter in plain if not unicodedata.combining(letter)), _font(self._file, size)


@cache
def _font(file: str | None, size: int) -> Font:
    return ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)


@cache
def _has(file: str | None, letter: str) -> bool:
    try:
        return _shape(file, letter) != _shape(file, _NO_LETTER)
    except OSError:  # not on this system
        return False


@cache
def _shape(file: str | None, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = _font(file, _TRY_SIZE).getmask(letter)
    return mask.size, bytes(mask)
