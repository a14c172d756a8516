"""A contact sheet: for each sampled frame, where the model looked, what that prompted, and what came of it.

Pictures of sampled frames are put aside as they come, because the frames of a stream are gone when all else is known.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gazecut.pictures.painting import resized
from gazecut.pictures.palette import FAINT, INK, PAPER, SOFT
from gazecut.result import Result
from gazecut.stretch import Stretch
from gazecut.wording import counted
from gazecut_plugins.exporters.config import SheetOptions
from gazecut_plugins.exporters.lettering import Lettering
from gazecut_plugins.exporters.sheet_choice import Choice, choose, spread
from gazecut_plugins.exporters.sheet_margin import WIDTH as MARGIN_WIDTH
from gazecut_plugins.exporters.sheet_margin import Margin
from gazecut_plugins.exporters.sheet_tiles import Tiles
from gazecut_plugins.exporters.sheet_words import words_of

_MOST_COLUMNS = 8
_CONTENT_WIDTH = 1390  # pixels for all columns
_LARGEST_TILE = (300, 680)  # height, width
_LOWEST_TILE = 80  # height that a row's name needs; fewer columns make room for it
_LEAST_PITCH = (84, 112)  # from tile to tile: names of rows and captions of frames are told however small the tiles are
_GAP = 6
_EDGE = 28  # free space around everything
_GUTTER = 26  # for the names of rows, which stand upright
_TITLE = 34
_TEXT = 18
_SMALL = 15
_COMPRESSION = 3  # of zlib: half the time of its default for an eighth more bytes
_CAPTION = 26  # above each block of rows
_HEADING = 28  # above that, where frames are of several windows
_PICTURES = "sheet"  # folder in `evidence`, for pictures that are put aside
_LARGEST_PICTURE = 2 * _LARGEST_TILE[0], 2 * _LARGEST_TILE[1]  # tiles are painted at twice their size
_QUICK = 1  # zlib's, for pictures that are soon read again
_NARROWEST = 900  # of a page without its edges, so that questions have room

Row = tuple[str, Callable[[int, np.ndarray], np.ndarray]]


@dataclass(frozen=True)
class _Grid:
    """Where tiles stand.

    Attributes:
        columns: Frames side by side.
        rows: Tiles of one frame, one below the other.
        tile: (height, width) of a tile.
        pitch: From the corner of a tile to that of the next one below and beside it.
        blocks: How often the columns are filled.
        caption: Height of what stands above each block.
    """

    columns: int
    rows: int
    tile: tuple[int, int]
    pitch: tuple[int, int]
    blocks: int
    caption: int

    @classmethod
    def for_frames(cls, count: int, rows: int, size: tuple[int, int], caption: int) -> _Grid:
        """The grid for so many frames of (H, W) pixels."""
        count = max(1, count)
        most = min(_MOST_COLUMNS, max(2, _CONTENT_WIDTH * size[0] // (size[1] * _LOWEST_TILE)))
        blocks = -(-count // most)
        columns = -(-count // blocks)
        width = max(24, min(_CONTENT_WIDTH // columns - _GAP, _LARGEST_TILE[1], _LARGEST_TILE[0] * size[1] // size[0]))
        height = min(max(8, round(width * size[0] / size[1])), _LARGEST_TILE[0])
        pitch = max(height + _GAP, _LEAST_PITCH[0]), max(width + _GAP, _LEAST_PITCH[1])
        return cls(columns, rows, (height, width), pitch, blocks, caption)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of all blocks."""
        return self.blocks * self._block_height - 2 * _GAP, _GUTTER + self.columns * self.pitch[1] - _GAP

    @property
    def _block_height(self) -> int:
        return self.caption + self.rows * self.pitch[0] + 2 * _GAP

    def corner(self, number: int, row: int) -> tuple[int, int]:
        """(x, y) of the tile of frame `number` in a row; row 0's y less `caption` is where its block begins."""
        block, column = divmod(number, self.columns)
        return _GUTTER + column * self.pitch[1], block * self._block_height + self.caption + row * self.pitch[0]


class SheetExporter:
    """Writes `evidence/sheet.png`."""

    def __init__(self, config: SheetOptions) -> None:
        """Take the options.

        Raises:
            OutputError: The font cannot be read.
        """
        self._config = config
        self._lettering = Lettering(config.font)

    def export_stretch(self, stretch: Stretch, folder: Path) -> None:
        """Put pictures of sampled frames aside, in `evidence/sheet/`.

        Raises:
            ClipError: A sampled frame cannot be decoded.
        """
        chosen = [stretch.sampled[place] for place in spread(len(stretch.sampled), self._config.frames)] if stretch.sampled else []
        pictures = folder / "evidence" / _PICTURES
        pictures.parent.mkdir(exist_ok=True)
        pictures.mkdir(exist_ok=True)
        for index, image in zip(chosen, stretch.clip.frames(chosen), strict=True):
            Image.fromarray(_at_most(image, _LARGEST_PICTURE)).save(pictures / f"{index:08d}.png", compress_level=_QUICK)

    def export(self, result: Result, folder: Path) -> None:
        """Draw the sheet from the pictures."""
        pictures = folder / "evidence" / _PICTURES
        choice = choose(result, sorted(int(file.stem) for file in pictures.iterdir()), self._config.frames)
        shown = choice.result
        images = (_opened(pictures / f"{index:08d}.png") for index in shown.frame_indices[choice.places].tolist())
        views = self._views(shown)
        grid = _Grid.for_frames(len(choice.places), len(views) + 4, shown.clip.size, _CAPTION + (_HEADING if choice.headings else 0))
        tiles = Tiles(shown, grid.tile, self._lettering)
        body = self._body(choice, grid, _rows(tiles, views), zip(choice.places.tolist(), images, strict=True))
        page = self._page(result, body, Margin(self._lettering).of(shown), _extent(result, choice))
        page.save(folder / "evidence" / "sheet.png", compress_level=_COMPRESSION)
        shutil.rmtree(pictures)

    def _views(self, result: Result) -> dict[str, np.ndarray]:
        maps = {"video view": result.heatmaps.video, "frame view": result.heatmaps.frame} if self._config.views else {}
        return {name: values for name, values in maps.items() if values is not None}

    def _body(self, choice: Choice, grid: _Grid, rows: Sequence[Row], frames: Iterable[tuple[int, np.ndarray]]) -> Image.Image:
        """All tiles with captions, the names of rows and headings of windows."""
        height, width = grid.size
        body = Image.new("RGB", (width, height), PAPER)
        draw = ImageDraw.Draw(body)
        for number, (place, image) in enumerate(frames):
            for row, (name, tile) in enumerate(rows):
                x, y = grid.corner(number, row)
                body.paste(Image.fromarray(tile(place, image)), (x, y))
                if number % grid.columns == 0:
                    self._write_upright(body, name, x - _GUTTER, y, max(grid.tile[0], grid.pitch[0] - _GAP))
            x, y = grid.corner(number, 0)
            index = int(choice.result.frame_indices[place])
            caption = self._lettering.shortened(f"frame {index}  ·  {index / choice.result.clip.fps:.1f} s", _SMALL, grid.pitch[1] - _GAP)
            self._lettering.write(draw, (x, y - _CAPTION / 2), caption, _SMALL, SOFT)
        for number, heading in choice.headings.items():
            after = min((other for other in choice.headings if other > number), default=len(choice.places))
            self._write_heading(draw, heading, grid.corner(number, 0), grid, min(after - number, grid.columns - number % grid.columns))
        return body

    def _write_heading(self, draw: ImageDraw.ImageDraw, heading: str, corner: tuple[int, int], grid: _Grid, frames: int) -> None:
        """What stands above so many frames of a window, with a line that spans them."""
        x, y = corner[0], corner[1] - grid.caption
        width = frames * grid.pitch[1] - 2 * _GAP
        self._lettering.write(draw, (x, y + _HEADING / 2), self._lettering.shortened(heading, _SMALL, width), _SMALL, INK)
        draw.line((x, y + _HEADING - 2, x + width, y + _HEADING - 2), fill=FAINT, width=1)

    def _write_upright(self, body: Image.Image, name: str, x: int, y: int, length: int) -> None:
        """A row's name, read from below, in the middle of its tile."""
        strip = Image.new("RGB", (length, _GUTTER - 2), PAPER)
        text = self._lettering.shortened(name, _SMALL, length)
        self._lettering.write(ImageDraw.Draw(strip), (length / 2, strip.height / 2), text, _SMALL, INK, "mm")
        body.paste(strip.transpose(Image.Transpose.ROTATE_90), (x, y))

    def _page(self, result: Result, body: Image.Image, margin: Image.Image, extent: str) -> Image.Image:
        """Title, margin and tiles on one page, the questions' words below."""
        width = max(MARGIN_WIDTH + body.width, _NARROWEST)
        words = words_of(result, self._lettering, width, MARGIN_WIDTH + _GUTTER)
        titles = self._lettering.wrapped(result.expression or result.clip.name, _TITLE, width, lines=2)
        top = _EDGE + round(1.25 * _TITLE) * len(titles) + 2 * _TEXT + 10
        bottom = top + max(body.height, margin.height) + _EDGE
        page = Image.new("RGB", (width + 2 * _EDGE, bottom + (words.height + _EDGE if words else 0)), PAPER)
        draw = ImageDraw.Draw(page)
        y = _EDGE + 0.6 * _TITLE
        for line in titles:
            self._lettering.write(draw, (_EDGE, y), line, _TITLE, INK)
            y += 1.25 * _TITLE
        self._lettering.write(draw, (_EDGE, y), self._lettering.shortened(_summary(result, extent), _TEXT, width), _TEXT, SOFT)
        page.paste(margin, (_EDGE, top))
        page.paste(body, (_EDGE + MARGIN_WIDTH, top))
        if words:
            page.paste(words, (_EDGE, bottom))
        return page


def _rows(tiles: Tiles, views: Mapping[str, np.ndarray]) -> list[Row]:
    shown: list[Row] = [(name, partial(tiles.heat, maps)) for name, maps in views.items()]
    return [("frame", tiles.frame), *shown, ("attention", tiles.attention), ("candidates", tiles.candidates), ("result", tiles.found)]


def _at_most(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture that fits into (height, width), smaller if need be."""
    scale = min(1.0, size[0] / image.shape[0], size[1] / image.shape[1])
    return image if scale == 1 else resized(image, (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))))


def _opened(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


def _extent(result: Result, choice: Choice) -> str:
    """How much was looked at, and how much of it is shown."""
    sampled, shown = len(result.frame_indices), len(choice.places)
    looked = f"{sampled} of {counted(result.clip.length, 'frame')} looked at"
    if choice.windows:
        part = "all" if choice.windows == len(result.windows) else str(choice.windows)
        return f"{looked} in {counted(len(result.windows), 'window')}, {part} of them shown"
    return looked + (f", {shown} of them shown" if shown < sampled else "")


def _summary(result: Result, extent: str) -> str:
    """What was found, in numbers."""
    found = counted(len(result.objects), "object") if result.objects else "nothing found"
    height, width = result.clip.size
    candidates = counted(len(result.tracklets), "candidate")
    return f"{found}  ·  {candidates}  ·  {extent}  ·  {result.clip.name}, {width} x {height}"
