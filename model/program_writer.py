"""Writes the tile program of a network.

The program lists, tile after tile, one command per unit in an order in which they could also run
one after the other. Every command depends only on commands before it, so in-order dispatch into
short queues can never deadlock, and the units overlap as far as buffers and data allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.feature_map import FeatureMap
from model.passes import Pass
from model.plan import PassPlan, WeightRun
from model.program import FIELDS, Command
from model.tiling import Tile

RUN_BACK_MASK = (1 << dict(FIELDS["store"])["run_back"]) - 1
_POOL_CODE = {"none": 0, "maxpool": 1, "avgpool": 2}


@dataclass(frozen=True)
class _Input:
    """Part of the source map that a tile reads: what is present, and padding before it."""

    row: int
    col: int
    rows: int
    cols: int
    pad_top: int
    pad_left: int


def write_commands(plans: Sequence[PassPlan]) -> Iterator[Command]:
    """All commands of one frame, without the final ``end``."""
    stores = 0
    tile_number: dict[int, int] = {}
    writers: dict[str, list[tuple[PassPlan, int]]] = {}  # of a layer's output: pass, first store
    for plan in plans:
        bundle = plan.item.bundle
        first_store = stores
        for tile in plan.tiles:
            tag = tile_number.get(bundle, 0)
            tile_number[bundle] = tag + 1
            window = _input_of(plan, tile)
            sync = None
            if plan.item.source is not None:
                sync = max(
                    first + 1 + _last_producer(writer, window)
                    for writer, first in writers[plan.item.source.name]
                )
            yield Command("load", bundle, tag, _load(plan, window, sync))
            last = tile is plan.tiles[-1]
            if plan.dw_weights is not None:
                if tile.index == 0 or not plan.dw_weights.resident:
                    yield Command("weight", bundle, tag, _weight(plan.dw_weights))
                fields = _depthwise(plan, tile, window, last)
                yield Command("depthwise", bundle, tag, fields, plan.item.first.name)
            if tile.index == 0 or not plan.mac_weights.resident:
                yield Command("weight", bundle, tag, _weight(plan.mac_weights))
            conv = plan.item.conv.name if plan.item.conv is not None else None
            yield Command("mac", bundle, tag, mac_fields(plan, tile, last, window), conv)
            final = last and plan is plans[-1]
            yield Command("store", bundle, tag, _store(plan, tile, last, final))
            stores += 1
        for name in written_layers(plan.item):
            writers.setdefault(name, []).append((plan, first_store))


def count_commands(plans: Sequence[PassPlan]) -> int:
    """How many commands ``write_commands`` writes."""
    count = 0
    for plan in plans:
        tiles = len(plan.tiles)
        count += tiles * (3 if plan.dw_weights is None else 4)
        for run in (plan.dw_weights, plan.mac_weights):
            if run is not None:
                count += 1 if run.resident else tiles
    return count


def written_layers(item: Pass) -> Iterator[str]:
    """The layers whose output, or a part of it, this pass leaves for other passes to read."""
    if not item.to_depth:
        yield item.name
    if item.joins is not None:
        yield item.joins.name


def _input_of(plan: PassPlan, tile: Tile) -> _Input:
    halo = plan.item.halo
    row, col = max(0, tile.row - halo), max(0, tile.col - halo)
    end_row = min(plan.source.height, tile.row + tile.rows + halo)
    end_col = min(plan.source.width, tile.col + tile.cols + halo)
    return _Input(
        row, col, end_row - row, end_col - col, max(0, halo - tile.row), max(0, halo - tile.col)
    )


def _last_producer(producer: PassPlan, window: _Input) -> int:
    """Index of the last tile of the producer that writes into the window.

    Tiles are in raster order, all but the last row and column of them of the first one's size.
    """
    scale, first, last = producer.item.scale, producer.tiles[0], producer.tiles[-1]
    across = last.col // first.cols + 1
    row = (window.row + window.rows - 1) * scale // first.rows
    col = (window.col + window.cols - 1) * scale // first.cols
    return row * across + col


def _load(plan: PassPlan, window: _Input, sync: int | None) -> dict[str, int]:
    source = plan.source
    line = plan.in_line
    beat = 8 // source.feature_bytes
    pixel_bytes = source.block_size(0) * source.feature_bytes
    address = source.address + window.row * source.row_pitch + window.col * pixel_bytes
    rows, cols = window.rows, window.cols
    whole = source.blocks == 1 and source.contiguous and cols == source.width
    if whole and rows * cols < 1 << 16:
        rows, cols = 1, rows * cols  # whole rows are contiguous: one long segment
    pixel_beats, last_pixel_beats = source.block_size(0) // beat, source.last_block_channels // beat
    last_pixel_bytes = source.last_block_channels * source.feature_bytes
    return {
        "address": address,
        "row_pitch": source.row_pitch,
        "block_pitch": source.block_pitch,
        "last_block_pitch": source.block_pitch - window.col * (pixel_bytes - last_pixel_bytes),
        "rows": rows,
        "cols": cols,
        "segment_beats": cols * pixel_beats,
        "last_segment_beats": cols * last_pixel_beats,
        "blocks": source.blocks,
        "pixel_beats": pixel_beats,
        "last_pixel_beats": last_pixel_beats,
        "pixel_lines": source.padded_channels // line,
        "block_lines": source.block_size(0) // line,
        "sync": sync or 0,
        "sync_enable": int(sync is not None),
        "frame_offset": int(sync is None),
        "to_mac": int(plan.item.depthwise is None),
    }


def _weight(run: WeightRun) -> dict[str, int]:
    return {
        "address": run.address,
        "groups": run.groups,
        "param_beats": run.param_beats,
        "group_words": run.words,
        "param_words": run.param_words,
        "group_beats": run.group_beats,
        "target": run.target,
    }


def _window_fields(tile: Tile, window: _Input) -> dict[str, int]:
    return {
        "rows": tile.rows,
        "cols": tile.cols,
        "in_rows": window.rows,
        "in_cols": window.cols,
        "pad_top": window.pad_top,
        "pad_left": window.pad_left,
    }


def _depthwise(plan: PassPlan, tile: Tile, window: _Input, last: bool) -> dict[str, int]:
    layer, run = plan.item.depthwise, plan.dw_weights
    assert layer is not None
    assert run is not None
    return {
        **_window_fields(tile, window),
        "groups": run.groups,
        "pixel_words": plan.source_words,
        "kernel5": int(layer.kernel == 5),
        # From the integer network when the memory image is built:
        "pad_value": 0,
        "shift": 0,
        "round": 0,
        "release_weights": int(last or not run.resident),
    }


def mac_fields(
    plan: PassPlan, tile: Tile, last: bool, window: _Input | None = None
) -> dict[str, int]:
    """The fields of a tile's MAC command; ``window`` is what it reads of the source, if known."""
    run = plan.mac_weights
    from_mid = plan.item.depthwise is not None
    if from_mid:  # the depth-wise unit leaves exactly the tile, without halo
        window = _Input(tile.row, tile.col, tile.rows, tile.cols, 0, 0)
    elif window is None:
        window = _input_of(plan, tile)
    pixel_words = plan.dw_weights.groups if plan.dw_weights else plan.source_words
    return {
        **_window_fields(tile, window),
        "kernel": plan.item.kernel,
        "source_mid": int(from_mid),
        "groups": plan.in_groups,
        "group_step": plan.group_step,
        "pixel_words": pixel_words,
        "row_words": window.cols * pixel_words,
        "out_groups": run.groups,
        "steps": plan.steps,
        "last_steps": plan.last_steps,
        "pool": _POOL_CODE[plan.item.pool_kind],
        "pad_cycles": plan.pad_cycles,
        "pad_value": 0,
        "shift": 0,
        "round": 0,
        "raw": int(plan.item.raw),
        "group_words": run.words,
        "param_words": run.param_words,
        "release_weights": int(last or not run.resident),
    }


def _store(plan: PassPlan, tile: Tile, last: bool, final: bool) -> dict[str, int]:
    target: FeatureMap = plan.target
    scale = plan.item.scale
    row, col = tile.row // scale, tile.col // scale
    rows, cols = tile.rows // scale, tile.cols // scale
    pixel_bytes = target.block_size(0) * target.channel_bytes
    last_bytes = target.last_block_channels * target.channel_bytes
    whole = target.blocks == 1 and target.contiguous and cols == target.width
    if whole and rows * cols * pixel_bytes // 8 < 1 << 16:
        rows, cols = 1, rows * cols
    fields = {
        "address": target.address + row * target.row_pitch + col * pixel_bytes,
        "row_pitch": target.row_pitch,
        "block_pitch": target.block_pitch,
        "segments": rows,
        "segment_beats": cols * pixel_bytes // 8,
        "last_segment_beats": cols * last_bytes // 8,
        "out_groups": target.blocks,
        "frame_offset": int(final or plan.item.raw),
        "bundle_last": int(last and plan.item.bundle_last),
        "frame_last": int(final),
        "last_skew": col * (pixel_bytes - last_bytes),
        **dict.fromkeys(("to_depth", "phase_pitch", "run_pixels", "pixel_lines", "run_back"), 0),
    }
    return {**fields, **_depth_fields(target, rows, cols)} if plan.item.to_depth else fields


def _depth_fields(target: FeatureMap, rows: int, cols: int) -> dict[str, int]:
    """What changes in a store whose ``target`` is one phase, ``rows`` x ``cols`` of it."""
    phase_pitch = target.blocks * target.block_pitch
    line = max(target.step_channels, 8 // target.feature_bytes)  # features
    pixel_lines = target.block_channels // line
    return {
        "row_pitch": target.row_pitch - 3 * phase_pitch,
        "segments": 4 * rows,
        "to_depth": 1,
        "phase_pitch": phase_pitch,
        "run_pixels": cols,
        "pixel_lines": pixel_lines,
        "run_back": 1 - 2 * (cols - 1) * pixel_lines & RUN_BACK_MASK,
    }
