"""Contact sheets: many pictures on one, with the true and the found box of each."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from model.detection import Box
from model.errors import TandemError
from model.network_file import write_atomically
from quant.sample import Picture

COLUMNS, ROWS = 3, 4  # of one sheet
TILE_WIDTH = 480  # pixels
CAPTION = 18  # pixels below each picture
TRUE, FOUND, PAPER, INK = (60, 220, 90), (255, 50, 160), (255, 255, 255), (40, 40, 40)


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture, its boxes in its own pixels, and a line of text."""

    picture: Picture
    true: Box
    found: Sequence[float]
    caption: str


def draw_sheet(tiles: Sequence[Tile], columns: int = COLUMNS) -> Image.Image:
    """All tiles on one picture, row by row; the true boxes green, the found ones pink."""
    drawn = [_draw_tile(tile) for tile in tiles]
    high = max(tile.height for tile in drawn)
    rows = -(-len(drawn) // columns)
    sheet = Image.new("RGB", (min(columns, len(drawn)) * TILE_WIDTH, rows * high), PAPER)
    for index, tile in enumerate(drawn):
        sheet.paste(tile, (index % columns * TILE_WIDTH, index // columns * high))
    return sheet


def make_folder(folder: Path) -> None:
    """Make a folder for sheets. TandemError where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TandemError(f"{folder}: cannot be made: {error.strerror or error}") from error


def write_sheets(tiles: Sequence[Tile], folder: Path) -> list[Path]:
    """Sheets of ``COLUMNS`` x ``ROWS`` tiles as ``sheet_000.png``, ... in a folder."""
    paths = []
    for number, start in enumerate(range(0, len(tiles), COLUMNS * ROWS)):
        data = io.BytesIO()
        draw_sheet(tiles[start : start + COLUMNS * ROWS]).save(data, "PNG")
        paths.append(folder / f"sheet_{number:03}.png")
        write_atomically(paths[-1], data.getvalue())
    return paths


def _draw_tile(tile: Tile) -> Image.Image:
    height, width = tile.picture.shape[:2]
    scale = TILE_WIDTH / width
    size = (TILE_WIDTH, max(1, round(height * scale)))
    drawn = Image.new("RGB", (TILE_WIDTH, size[1] + CAPTION), PAPER)
    picture = Image.fromarray(tile.picture).resize(size, Image.Resampling.LANCZOS)
    drawn.paste(picture, (0, 0))
    pen = ImageDraw.Draw(drawn)
    for box, colour in ((tile.true, TRUE), (tile.found, FOUND)):
        xmin, ymin, xmax, ymax = (value * scale for value in box)
        corners = (xmin - 1, ymin - 1, max(xmax, xmin), max(ymax, ymin))
        pen.rectangle(corners, outline=colour, width=2)
    pen.text((4, size[1] + 3), tile.caption, fill=INK)
    return drawn
