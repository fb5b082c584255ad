"""The tile program of one frame as integers, straight from the plans of its passes.

What ``ProgramRows`` of ``model/fast_state.py`` makes of a program's commands one by one, whole
passes at a time: tiles are numpy columns, and what all tiles of a pass share is written once. The
two agree number for number (``tests/test_program_rows.py``). Passes that store space to depth go by
their commands.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.plan import PassPlan
from model.program import Command
from model.program_writer import mac_fields, written_layers
from model.schedule import Schedule
from model.sim_compute import MacShape
from model.tiling import Tile

Column = NDArray[np.int64]
LOAD, WEIGHT, DEPTHWISE, MAC, STORE, END = range(6)  # units with a command FIFO; END: the last
LINE_LIMIT = 1 << 16  # pixels, and beats, that one segment may have


class TileColumns:
    """The tiles of a pass as columns: output rectangle, and the window of the source it reads."""

    def __init__(self, plan: PassPlan) -> None:
        first, last = plan.tiles[0], plan.tiles[-1]
        self.count = len(plan.tiles)
        across = last.col // first.cols + 1
        index = np.arange(self.count)
        self.row, self.col = index // across * first.rows, index % across * first.cols
        self.rows = np.minimum(first.rows, last.row + last.rows - self.row)
        self.cols = np.minimum(first.cols, last.col + last.cols - self.col)
        halo, source = plan.item.halo, plan.source
        self.in_row, self.in_col = np.maximum(0, self.row - halo), np.maximum(0, self.col - halo)
        self.in_rows = np.minimum(source.height, self.row + self.rows + halo) - self.in_row
        self.in_cols = np.minimum(source.width, self.col + self.cols + halo) - self.in_col

    def producers(self, writer: PassPlan) -> Column:
        """Index of the last tile of the pass that wrote the source which writes into the window."""
        scale, first, last = writer.item.scale, writer.tiles[0], writer.tiles[-1]
        across = last.col // first.cols + 1
        row = (self.in_row + self.in_rows - 1) * scale // first.rows
        col = (self.in_col + self.in_cols - 1) * scale // first.cols
        found: Column = row * across + col
        return found


class ProgramRows:
    """The program as integers: one list per unit, then the sequencer's; how many of each.

    ``parts``: rows of 12, 7, 6, 15, 16 and 2 numbers; ``model/fast_state.py`` names their places.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.commands = [0] * END
        self.weight_groups = [0, 0]
        self.output_groups = 0
        multipliers = schedule.design.accelerator.dw_multipliers
        found: list[list[Column]] = [[] for _ in range(END + 1)]
        writers: dict[str, list[tuple[PassPlan, int]]] = {}
        tags: dict[int, int] = {}  # next tile of each bundle
        stores = 0
        for plan in schedule.plans:
            tiles = TileColumns(plan)
            bundle = plan.item.bundle
            tag = (bundle << 16) + tags.get(bundle, 0) + np.arange(tiles.count)
            tags[bundle] = tags.get(bundle, 0) + tiles.count
            inputs = stores + np.arange(tiles.count)
            sync: Column | int = -1
            if plan.item.source is not None:
                parts = [
                    first + 1 + tiles.producers(w) for w, first in writers[plan.item.source.name]
                ]
                sync = np.max(parts, axis=0)
            found[LOAD].append(_load(plan, tiles, sync, tag))
            self._weights(plan, tag, found[WEIGHT])
            if plan.item.depthwise is not None:
                found[DEPTHWISE].append(_depthwise(plan, tiles, multipliers, inputs, tag))
            found[MAC].append(_mac(plan, tiles, inputs, tag))
            found[STORE].append(_store(plan, tiles, plan is schedule.plans[-1], tag))
            found[END].append(_sequence(plan, tiles.count, tag))
            self._count(plan, tiles.count)
            for name in written_layers(plan.item):
                writers.setdefault(name, []).append((plan, stores))
            stores += tiles.count
        found[END].append(np.array([END, 0]))
        self.parts = [
            np.concatenate([part.ravel() for part in parts]) if parts else np.zeros(0, np.int64)
            for parts in found
        ]

    def _weights(self, plan: PassPlan, tag: Column, rows: list[Column]) -> None:
        """The weight commands of a pass in the order in which they are written."""
        runs = [run for run in (plan.dw_weights, plan.mac_weights) if run is not None]
        blocks = []
        for order, run in enumerate(runs):
            tags = tag[:1] if run.resident else tag
            values = (
                run.address, run.groups, run.words, run.param_words, run.group_beats, run.target,
            )  # fmt: skip
            block = np.empty((len(tags), 8), np.int64)
            block[:, :6] = values
            block[:, 6] = tags
            block[:, 7] = 2 * tags + order
            blocks.append(block)
            self.weight_groups[run.target] += run.groups * len(tags)
            self.commands[WEIGHT] += len(tags)
        whole = np.concatenate(blocks)
        rows.append(np.ascontiguousarray(whole[np.argsort(whole[:, 7]), :7]))

    def _count(self, plan: PassPlan, tiles: int) -> None:
        self.commands[LOAD] += tiles
        self.commands[DEPTHWISE] += tiles if plan.item.depthwise is not None else 0
        self.commands[MAC] += tiles
        self.commands[STORE] += tiles
        self.output_groups += tiles * plan.target.blocks


def _columns(count: int, values: Sequence[Column | int]) -> Column:
    """A row a tile; a value that is one number is the same in all."""
    found = np.empty((count, len(values)), np.int64)
    for index, value in enumerate(values):
        found[:, index] = value
    return found


def _load(plan: PassPlan, tiles: TileColumns, sync: Column | int, tag: Column) -> Column:
    source = plan.source
    beat = 8 // source.feature_bytes
    pixel_bytes = source.block_size(0) * source.feature_bytes
    last_bytes = source.last_block_channels * source.feature_bytes
    base = source.address + tiles.in_row * source.row_pitch + tiles.in_col * pixel_bytes
    rows, cols = tiles.in_rows, tiles.in_cols
    if source.blocks == 1 and source.contiguous:  # whole rows are one long segment
        whole = (cols == source.width) & (rows * cols < LINE_LIMIT)
        rows, cols = np.where(whole, 1, rows), np.where(whole, rows * cols, cols)
    beats = cols * (source.block_size(0) // beat)
    last_beats = cols * (source.last_block_channels // beat)
    total = rows * ((source.blocks - 1) * beats + last_beats)
    values = (
        base, source.row_pitch, rows, source.block_pitch, source.blocks, beats, last_beats,
        tiles.in_col * (pixel_bytes - last_bytes), int(plan.item.source is None), sync, total, tag,
    )  # fmt: skip
    return _columns(tiles.count, values)


def _depthwise(
    plan: PassPlan, tiles: TileColumns, multipliers: int, inputs: Column, tag: Column
) -> Column:
    run, layer = plan.dw_weights, plan.item.depthwise
    assert run is not None
    assert layer is not None
    kernel = layer.kernel
    phases = -(-kernel * kernel // multipliers)
    stream = (tiles.rows + kernel - 1) * (tiles.cols + kernel - 1) * phases
    release = _release(tiles.count, run.resident)
    values = (run.groups, release, kernel * kernel, stream, inputs, tag)
    return _columns(tiles.count, values)


def _release(count: int, resident: bool) -> Column:
    """Weights are given back by the last tile, or by each."""
    found = np.full(count, int(not resident))
    found[-1] = 1
    return found


def _mac(plan: PassPlan, tiles: TileColumns, inputs: Column, tag: Column) -> Column:
    run = plan.mac_weights
    slices = plan.target.slices if plan.item.raw else 1
    shapes = {}
    for rows, cols in {(int(r), int(c)) for r, c in zip(tiles.rows, tiles.cols, strict=True)}:
        fields = mac_fields(plan, Tile(0, 0, 0, rows, cols), False)
        shape = MacShape.of(Command("mac", 0, 0, fields), slices)
        shapes[rows, cols] = (
            shape.cycles, shape.issues, shape.vectors, shape.first_vector, shape.first_emit,
            shape.last_issue,
        )  # fmt: skip
    sized = np.array(
        [shapes[int(r), int(c)] for r, c in zip(tiles.rows, tiles.cols, strict=True)], np.int64
    )
    values = (
        int(plan.item.depthwise is not None), inputs, run.groups,
        _release(tiles.count, run.resident), *sized.T, plan.steps * slices,
        plan.last_steps * slices, run.words, run.param_words, tag,
    )  # fmt: skip
    return _columns(tiles.count, values)


def _store(plan: PassPlan, tiles: TileColumns, final_pass: bool, tag: Column) -> Column:
    target, scale = plan.target, plan.item.scale
    row, col = tiles.row // scale, tiles.col // scale
    rows, cols = tiles.rows // scale, tiles.cols // scale
    pixel_bytes = target.block_size(0) * target.channel_bytes
    last_bytes = target.last_block_channels * target.channel_bytes
    base = target.address + row * target.row_pitch + col * pixel_bytes
    skew = col * (pixel_bytes - last_bytes)
    if target.blocks == 1 and target.contiguous:
        fits = rows * cols * pixel_bytes // 8 < LINE_LIMIT
        whole = (cols == target.width) & fits
        rows, cols = np.where(whole, 1, rows), np.where(whole, rows * cols, cols)
    beats, last_beats = cols * pixel_bytes // 8, cols * last_bytes // 8
    last = np.zeros(tiles.count, np.int64)
    last[-1] = 1
    only = target.blocks == 1  # then the first output group is the last one
    final = last * int(final_pass)
    first_beats = last_beats if only else beats
    pitch, segments = 0, 1
    if plan.item.to_depth:  # four segments, a phase apart, are one row of the map
        pitch, segments, skew = target.blocks * target.block_pitch, 4, np.zeros_like(skew)
    values = (
        base, target.row_pitch, rows, pitch, segments, first_beats, first_beats, int(only) * skew,
        np.maximum(final, int(plan.item.raw)), target.blocks, target.block_pitch, last_beats, skew,
        last * int(plan.item.bundle_last), final, tag,
    )  # fmt: skip
    return _columns(tiles.count, values)


def _sequence(plan: PassPlan, count: int, tag: Column) -> Column:
    """Which unit each command of a pass is for, in the order in which they are written."""
    units = np.array([LOAD, WEIGHT, DEPTHWISE, WEIGHT, MAC, STORE])
    there = np.ones((count, len(units)), bool)
    there[1:, 1] = plan.dw_weights is not None and not plan.dw_weights.resident
    there[1:, 3] = not plan.mac_weights.resident
    if plan.dw_weights is None:
        there[:, 1] = there[:, 2] = False
    found = np.empty((count, len(units), 2), np.int64)
    found[:, :, 0] = units
    found[:, :, 1] = tag[:, None]
    return found[there]
