"""The lower part of a contact sheet: the questions word by word, with how much the answer drew on each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw

from gazecut.interview import PromptWeights
from gazecut.pictures.palette import FAINT, INK, PAPER, SOFT, Colour, mix
from gazecut.result import Result
from gazecut_plugins.exporters.lettering import Lettering

BAR: Colour = (0, 114, 178)
"""Blue of Okabe and Ito."""

SHADE: Colour = (120, 195, 238)
"""Their sky blue, lighter, behind the word that weighs most."""

_TEXT = 16
_SMALL = 15
_HEADING = 30
_LINE = 22  # of words
_HIGHEST = 26  # the largest weight's bar
_BELOW = 12  # a line
_BAR = 6  # as wide under long words as under short ones, so that its area does not mislead
_MOST_LINES = 5
_BETWEEN = 8  # views
_LEGEND = "shade and bar: how much the answer draws on a token, relative to the highest"
_ELLIPSIS = "…"


@dataclass(frozen=True)
class _Piece:
    """What stands of one token on one line.

    Attributes:
        text: What is written.
        x: Where it starts.
        width: Pixels that it takes.
        token: Which token of the question.
        begins: Whether the token begins here, and has its bar here.
    """

    text: str
    x: float
    width: float
    token: int
    begins: bool


def words_of(result: Result, lettering: Lettering, width: int, indent: int) -> Image.Image | None:
    """All object questions, one view below the other.

    Args:
        result: What to show.
        lettering: For the text.
        width: Of the picture.
        indent: Where the words begin; the names of the views stand before.

    Returns:
        The picture; None where nothing is known of the words.
    """
    asked = [one for one in result.prompt_weights if one.role == "object" and len(one.tokens)]
    if not asked:
        return None
    laid = [(one, _lines(one.tokens, lettering, width - indent)) for one in asked]
    height = _HEADING + sum(sum(map(_height, lines)) + _BETWEEN for _, lines in laid) - _BETWEEN
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    lettering.write(draw, (0, _LINE / 2), "WHAT EACH WORD WEIGHED", _SMALL, INK)
    lettering.write(draw, (indent, _LINE / 2), lettering.shortened(_LEGEND, _SMALL, width - indent), _SMALL, SOFT)
    y = _HEADING
    for one, lines in laid:
        lettering.write(draw, (0, y + _LINE / 2), _name(one, result), _SMALL, SOFT)
        highest = float(one.weights.max())
        lettering.write(draw, (0, y + 1.5 * _LINE), f"highest {highest:.2g}, together {one.weights.sum():.2g}", _SMALL, SOFT)
        shares = [float(weight) / highest if highest > 0 else 0.0 for weight in one.weights]
        for line in lines:
            for piece in line:
                _write(draw, lettering, piece, (indent, y), shares[piece.token])
            y += _height(line)
        y += _BETWEEN
    return canvas


def _height(line: Sequence[_Piece]) -> int:
    """Of a line with its bars, where any token begins on it."""
    return _LINE + _BELOW + (_HIGHEST if any(piece.begins for piece in line) else 0)


def _name(one: PromptWeights, result: Result) -> str:
    frames = len(result.frame_indices)
    return f"{one.view} view, mean of {frames}" if one.view == "frame" and frames > 1 and not result.windows else f"{one.view} view"


def _write(draw: ImageDraw.ImageDraw, lettering: Lettering, piece: _Piece, corner: tuple[int, int], share: float) -> None:
    """A piece, shaded by its token's share of the largest weight, above the token's bar; bars of a line stand on a common ground."""
    left, top = corner[0] + round(piece.x), corner[1]
    right, ground = left + max(_BAR, round(piece.width)) - 2, top + _LINE + _HIGHEST
    draw.rectangle((left - 1, top + 1, right + 1, top + _LINE - 1), fill=mix(PAPER, SHADE, share))
    lettering.write(draw, (left, top + _LINE / 2), piece.text, _TEXT, INK)
    if piece.begins:
        draw.rectangle((left, ground, right, ground), fill=FAINT)
        draw.rectangle((left, ground - round(share * _HIGHEST), left + _BAR - 2, ground), fill=BAR if share else FAINT)


def _lines(tokens: Sequence[str], lettering: Lettering, width: float) -> list[list[_Piece]]:
    """Words broken into lines; where there are too many, the last ends with an ellipsis."""
    space = lettering.width("a a", _TEXT) - lettering.width("aa", _TEXT)
    lines: list[list[_Piece]] = [[]]
    x = 0.0
    for word in _words(tokens):
        texts = [lettering.shortened(piece.text, _TEXT, width) for piece in word]
        sizes = [max(_BAR, lettering.width(text, _TEXT)) for text in texts]
        for place, (piece, text, size) in enumerate(zip(word, texts, sizes, strict=True)):
            gap = space if x and not place else 0.0
            ahead = sum(sizes) if not place and sum(sizes) <= width else size  # a word stays together if a line can hold it
            if x and x + gap + ahead > width:
                lines.append([])
                x = gap = 0.0
            _append(lines[-1], replace(piece, text=text, x=x + gap, width=size))
            x += gap + size
    if len(lines) > _MOST_LINES:
        del lines[_MOST_LINES:]
        lines[-1][-1] = replace(lines[-1][-1], text=_ELLIPSIS, width=lettering.width(_ELLIPSIS, _TEXT))
    return lines


def _append(line: list[_Piece], piece: _Piece) -> None:
    """Words of one token make one piece, so that they stand above one bar."""
    if line and line[-1].token == piece.token:
        before = line.pop()
        piece = replace(before, text=f"{before.text} {piece.text}", width=piece.x + piece.width - before.x)
    line.append(piece)


def _words(tokens: Sequence[str]) -> Iterator[list[_Piece]]:
    """Pieces without white space and without a place yet, those that stand together as one word."""
    word: list[_Piece] = []
    for number, token in enumerate(tokens):
        for place, text in enumerate(token.split() or [repr(token)[1:-1].strip()]):
            if word and (place or token[:1].isspace()):
                yield word
                word = []
            word.append(_Piece(text, 0, 0, number, begins=not place))
        if token[-1:].isspace():
            yield word
            word = []
    if word:
        yield word
