"""Log-log plots of measured series, side by side in one picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SCALE = 2  # drawn larger, then reduced, for smooth lines
PANEL = (520, 400)  # px
MARGIN = (70, 50, 20, 50)  # left, top, right, bottom, px
COLOURS = ((0, 98, 155), (200, 78, 0), (90, 130, 40), (130, 70, 150))


@dataclass(frozen=True)
class Panel:
    """One plot.

    Attributes:
        title: What is plotted, with its unit.
        series: Name to points (x, y), all positive.
    """

    title: str
    series: Mapping[str, Sequence[tuple[float, float]]]


def save(path: Path, panels: Sequence[Panel], x_title: str) -> None:
    """Write the panels as a PNG, left to right; every series keeps its colour from panel to panel."""
    width, height = PANEL
    picture = Image.new("RGB", (width * len(panels) * SCALE, height * SCALE), "white")
    names = list(dict.fromkeys(name for panel in panels for name in panel.series))
    colours = {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(names)}
    for at, panel in enumerate(panels):
        picture.paste(_panel(panel, x_title, colours), (at * width * SCALE, 0))
    picture.resize((width * len(panels), height), Image.Resampling.LANCZOS).save(path, optimize=True)


def _panel(panel: Panel, x_title: str, colours: Mapping[str, tuple[int, int, int]]) -> Image.Image:
    width, height = (size * SCALE for size in PANEL)
    left, top, right, bottom = (size * SCALE for size in MARGIN)
    picture = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(12 * SCALE)
    points = [point for series in panel.series.values() for point in series]
    low_x, high_x = (math.log2(edge(x for x, _ in points)) for edge in (min, max))
    low_y, high_y = math.floor(math.log10(min(y for _, y in points))), math.ceil(math.log10(max(y for _, y in points)))

    def at(x: float, y: float) -> tuple[float, float]:
        across = (math.log2(x) - low_x) / max(high_x - low_x, 1)
        up = (math.log10(y) - low_y) / max(high_y - low_y, 1)
        return left + across * (width - left - right), height - bottom - up * (height - top - bottom)

    for exponent in range(low_y, high_y + 1):
        start, end = at(2**low_x, 10.0**exponent), at(2**high_x, 10.0**exponent)
        draw.line([start, end], fill=(220, 220, 220), width=SCALE)
        draw.text((left - 8 * SCALE, start[1]), f"{10.0**exponent:g}", fill="black", font=font, anchor="rm")
    for x in sorted({x for x, _ in points}):
        draw.text((at(x, 1)[0], height - bottom + 8 * SCALE), f"{x:g}", fill="black", font=font, anchor="ma")
    draw.text((width / 2, height - 14 * SCALE), x_title, fill="black", font=font, anchor="ms")
    draw.text((left, top - 34 * SCALE), panel.title, fill="black", font=ImageFont.load_default(15 * SCALE), anchor="la")
    for row, (name, series) in enumerate(panel.series.items()):
        places = [at(*point) for point in series]
        draw.line(places, fill=colours[name], width=3 * SCALE, joint="curve")
        for x, y in places:
            draw.ellipse([x - 4 * SCALE, y - 4 * SCALE, x + 4 * SCALE, y + 4 * SCALE], fill=colours[name])
        draw.text((left + 12 * SCALE, top + (6 + 18 * row) * SCALE), name, fill=colours[name], font=font)
    return picture
