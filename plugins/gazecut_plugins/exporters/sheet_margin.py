"""The margin of a contact sheet: what was asked and answered, who stood for election, and how to read the tiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from PIL import Image, ImageDraw

from gazecut.interview import AnswerRecord
from gazecut.pictures.painting import colour_scale
from gazecut.pictures.palette import INK, PAPER, SOFT, Colour
from gazecut.result import Result
from gazecut_plugins.exporters.lettering import Lettering
from gazecut_plugins.exporters.sheet_labels import HEIGHT, write_label
from gazecut_plugins.exporters.sheet_tiles import Candidate, named_candidates

WIDTH = 290
"""Pixels that the margin takes."""

_TEXT = 17
_SMALL = 15
_SMALLEST = 14
_STEP = 23  # from line to line
_MOST_ANSWERS = 3
_MOST_CANDIDATES = 16
_SCORE_AT, _PARTS_AT = 34, 84  # behind a candidate's label
_TALLEST = 4000


class Margin:
    """A column of text that grows downwards."""

    def __init__(self, lettering: Lettering) -> None:
        """Start with an empty column."""
        self._lettering = lettering
        self._canvas = Image.new("RGB", (WIDTH, _TALLEST), PAPER)
        self._draw = ImageDraw.Draw(self._canvas)
        self._y = 0

    def of(self, result: Result) -> Image.Image:
        """The whole margin of a result."""
        self._answers(result)
        self._candidates(named_candidates(result), int(result.suppressed.sum()))
        self._heading("how to read")
        self._scale()
        self._line("dot: prompts the segmenter", SOFT, _SMALL)
        self._line("number, solid: kept", SOFT, _SMALL)
        self._line("letter, dashed: dropped", SOFT, _SMALL)
        self._line("with its score: this frame prompted it", SOFT, _SMALL, lines=2)
        return self._canvas.crop((0, 0, WIDTH, self._y))

    def _answers(self, result: Result) -> None:
        if not result.answers:
            return
        self._heading("answers in the best window" if result.windows else "answers")
        for record in result.answers:
            self._line(record.role if record.view == "text" else f"{record.role}, {record.view} view", SOFT, _SMALL)
            for text in _condensed(record):
                self._line(text, INK, _TEXT, lines=3, indent=10)
        chosen_by_asking = any(record.role == "category" for record in result.answers)
        if result.category and not chosen_by_asking:
            self._line("category", SOFT, _SMALL)
            self._line(result.category, INK, _TEXT, indent=10)

    def _candidates(self, candidates: Sequence[Candidate], suppressed: int) -> None:
        """All candidates under the reasons why they were kept or not; the best of many."""
        self._heading("candidates" if candidates else "no candidates")
        shown = candidates[:_MOST_CANDIDATES]
        for (kept, reason), group in groupby(shown, key=lambda one: (one.tracklet.kept, one.tracklet.reason)):
            verdict = "kept" if kept else "dropped"
            self._line(f"{verdict}: {reason}" if reason else verdict, SOFT, _SMALL, lines=2)
            for candidate in group:
                self._candidate(candidate)
        if rest := candidates[_MOST_CANDIDATES:]:
            self._line(f"and {len(rest)} more, {sum(one.tracklet.kept for one in rest)} of them kept", SOFT, _SMALL)
        if suppressed:
            self._line(f"{suppressed} suppressed by better ones", SOFT, _SMALL)

    def _candidate(self, candidate: Candidate) -> None:
        """Name and score, with what the score is made of."""
        one, middle = candidate.tracklet, self._y + _STEP / 2
        write_label(self._draw, self._lettering, (0, middle - HEIGHT / 2), candidate.name, candidate.colour)
        self._lettering.write(self._draw, (_SCORE_AT, middle), f"{one.score:.3f}", _TEXT, INK if one.kept else SOFT)
        parts = [f"object {one.object_score:.2f}"] + ([] if one.consistency is None else [f"consistency {one.consistency:.2f}"])
        self._lettering.write(self._draw, (_PARTS_AT, middle), "  ·  ".join(parts), _SMALLEST, SOFT)
        self._y += _STEP

    def _scale(self) -> None:
        """The colours of attention from 0 to 1."""
        left, width = 16, 140
        ramp = np.repeat(np.linspace(0, 1, width, dtype=np.float32)[None], 10, axis=0)
        self._canvas.paste(Image.fromarray(np.ascontiguousarray(colour_scale(ramp))), (left, self._y + 5))
        middle = self._y + _STEP / 2
        for x, text, anchor in ((0, "0", "lm"), (left + width + 6, "1  attention", "lm")):
            self._lettering.write(self._draw, (x, middle), text, _SMALL, SOFT, anchor)
        self._y += _STEP

    def _heading(self, text: str) -> None:
        self._y += 14 if self._y else 0
        self._line(text.upper(), INK, _SMALL)

    def _line(self, text: str, colour: Colour, size: int, lines: int = 1, indent: int = 0) -> None:
        for line in self._lettering.wrapped(text, size, WIDTH - indent - 8, lines):
            self._lettering.write(self._draw, (indent, self._y + _STEP / 2), line, size, colour)
            self._y += _STEP


def _condensed(record: AnswerRecord) -> list[str]:
    """The answers of a question, the frequent ones first, with how many frames gave them."""
    counts = Counter(text.strip() or "(nothing)" for text in record.texts).most_common()
    if len(record.texts) == 1:
        return [counts[0][0]]
    shown = [f"{text} ({count} of {len(record.texts)})" for text, count in counts[:_MOST_ANSWERS]]
    return shown if len(counts) <= _MOST_ANSWERS else [*shown, f"and {len(counts) - _MOST_ANSWERS} more"]
