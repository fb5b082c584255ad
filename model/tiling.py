"""Tiles of a pass: how large they may be and how large they are.

A tile is a rectangle of the pass's convolution output (before pooling). Every buffer bank must hold
one: the input bank the tile with its halo, the mid bank the depth-wise result, the output bank one
output group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from model.accelerator import Accelerator
from model.errors import TandemError
from model.feature_map import FeatureMap
from model.passes import Pass

PIPELINE_TILES = 4  # at least this many tiles a pass where its rows allow it, so that units overlap


@dataclass(frozen=True)
class TileNeed:
    """What one tile asks of one buffer."""

    buffer: str
    need: int
    limit: int

    @property
    def fits(self) -> bool:
        """Is there room?"""
        return self.need <= self.limit


@dataclass(frozen=True)
class Tile:
    """Output rectangle [row, row + rows) x [col, col + cols) before pooling."""

    index: int
    row: int
    col: int
    rows: int
    cols: int


@dataclass(frozen=True)
class TileShape:
    """Rows and columns of a full tile, before pooling."""

    rows: int
    cols: int


def region(source: FeatureMap, scale: int) -> tuple[int, int]:
    """Rows and columns to compute: an odd last row or column is never looked at by the pool."""
    return source.height // scale * scale, source.width // scale * scale


def needs(
    item: Pass, source: FeatureMap, target: FeatureMap, acc: Accelerator, shape: TileShape
) -> tuple[TileNeed, ...]:
    """Demand of a tile against each buffer bank, in that buffer's own unit."""
    halo = item.halo
    in_rows = min(shape.rows + 2 * halo, source.height)
    in_cols = min(shape.cols + 2 * halo, source.width)
    beat = 8 // source.feature_bytes
    in_line = max(acc.in_lanes, beat)
    lines = in_rows * in_cols * (source.padded_channels // in_line)
    pooled = item.pool is not None
    out_pixels = shape.rows * shape.cols // (4 if pooled else 1)
    out_line = max(acc.requant_lanes, beat)
    out_lines = out_pixels * target.block_size(0) * target.slices // out_line
    found = [
        TileNeed("input_lines", lines, acc.buffers.input_lines),
        TileNeed("output_lines", out_lines, acc.buffers.output_lines),
    ]
    if item.depthwise is not None:
        groups = -(-source.channels // acc.in_lanes)
        found.append(
            TileNeed("mid_words", shape.rows * shape.cols * groups, acc.buffers.mid_words)
        )
        found.append(
            TileNeed("dw_line_words", shape.cols + 2 * halo, acc.buffers.dw_line_words)
        )
    return tuple(found)


def choose(
    item: Pass, source: FeatureMap, target: FeatureMap, acc: Accelerator
) -> TileShape:
    """The tile of a pass: as asked for by the design, else the one that loads the least halo.

    TandemError names the buffer, what the tile needs and what there is.
    """
    step = item.scale
    height, width = region(source, step)
    if acc.tile_height or acc.tile_width:
        shape = TileShape(
            _round_up(min(acc.tile_height or height, height), step),
            _round_up(min(acc.tile_width or width, width), step),
        )
        _refuse_if_too_large(item, needs(item, source, target, acc, shape), shape)
        return shape
    best: TileShape | None = None
    best_cost = 0.0
    units = height // step
    most_rows = -(-units // max(1, min(PIPELINE_TILES, units))) * step
    for cols in _widths(width, step):
        across = 1 + (2 * item.halo / cols if cols < width else 0)
        if best is not None and (1 + 2 * item.halo / most_rows) * across >= best_cost - 1e-9:
            break  # narrower tiles load more even if they are as high as a tile may be
        rows = _max_rows(item, source, target, acc, cols, height, step)
        if rows == 0:
            continue
        cost = (1 + 2 * item.halo / rows) * across
        if best is None or cost < best_cost - 1e-9:
            best, best_cost = TileShape(rows, cols), cost
    if best is None:
        smallest = TileShape(step, step)
        _refuse_if_too_large(item, needs(item, source, target, acc, smallest), smallest)
    assert best is not None
    return best


def cut(item: Pass, source: FeatureMap, shape: TileShape) -> tuple[Tile, ...]:
    """Tiles of the pass in raster order; those at the edges may be smaller."""
    return _cut(*region(source, item.scale), shape)


@lru_cache(maxsize=8192)  # the passes of a search's networks are cut alike again and again
def _cut(height: int, width: int, shape: TileShape) -> tuple[Tile, ...]:
    tiles: list[Tile] = []
    for row in range(0, height, shape.rows):
        for col in range(0, width, shape.cols):
            rows, cols = min(shape.rows, height - row), min(shape.cols, width - col)
            tiles.append(Tile(len(tiles), row, col, rows, cols))
    return tuple(tiles)


def _widths(width: int, step: int) -> Iterator[int]:
    seen = 0
    for parts in range(1, width // step + 1):
        cols = _round_up(-(-width // parts), step)
        if cols != seen:
            yield cols
        seen = cols


def _max_rows(
    item: Pass,
    source: FeatureMap,
    target: FeatureMap,
    acc: Accelerator,
    cols: int,
    height: int,
    step: int,
) -> int:
    """Most rows of ``cols`` columns that fit every bank, 0 if not even one step does.

    The demands of :func:`needs` solved for the rows; then as few rows as give no more tiles.
    """
    units = height // step
    low = min(units, rows_that_fit(item, source, target, acc, cols) // step)
    if low == 0:
        return 0
    count = max(-(-units // low), min(PIPELINE_TILES, units))
    return -(-units // count) * step


def rows_that_fit(
    item: Pass, source: FeatureMap, target: FeatureMap, acc: Accelerator, cols: int
) -> int:
    """Most rows of a tile of ``cols`` columns for which every need of :func:`needs` fits."""
    halo, buffers = item.halo, acc.buffers
    beat = 8 // source.feature_bytes
    in_cols = min(cols + 2 * halo, source.width)
    row_lines = in_cols * (source.padded_channels // max(acc.in_lanes, beat))
    in_rows = buffers.input_lines // row_lines
    found = source.height if in_rows >= source.height else in_rows - 2 * halo
    share = 4 if item.pool is not None else 1
    # floor(floor(rows * cols / share) * size / line) <= limit, solved from the outside inwards
    size = target.block_size(0) * target.slices
    pixels = ((buffers.output_lines + 1) * max(acc.requant_lanes, beat) - 1) // size
    found = min(found, ((pixels + 1) * share - 1) // cols)
    if item.depthwise is not None:
        if cols + 2 * halo > buffers.dw_line_words:
            return 0
        groups = -(-source.channels // acc.in_lanes)
        found = min(found, buffers.mid_words // (cols * groups))
    return max(0, found)


def _refuse_if_too_large(item: Pass, found: tuple[TileNeed, ...], shape: TileShape) -> None:
    for need in found:
        if not need.fits:
            raise TandemError(
                f"layer {item.first.name}: a tile of {shape.rows} x {shape.cols} needs "
                f"{need.need} {need.buffer}, the design has {need.limit}: "
                f"raise accelerator.buffers.{need.buffer} or lower accelerator.tile"
            )


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
