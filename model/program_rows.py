"""The tile program of one frame as integers, straight from the plans of its passes.

What the commands of a program say, number for number (``tests/test_program_rows.py``), without
writing them. A pass becomes a vector of numbers here; ``model/program_kernel.py`` counts its tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from model.plan import PassPlan, WeightRun
from model.program_kernel import (
    BEAT_BYTES,
    DEPTHWISE,
    END,
    LOAD,
    MAC,
    ROW_SIZES,
    STORE,
    WEIGHT,
    Numbers,
    fill_pass,
)
from model.program_writer import written_layers
from model.schedule import Schedule

__all__ = ["DEPTHWISE", "END", "LOAD", "MAC", "STORE", "WEIGHT", "ProgramRows"]


class ProgramRows:
    """The program as integers: one list per unit, then the sequencer's; how many of each.

    ``parts``: rows of 12, 7, 6, 15, 16 and 2 numbers; ``model/fast_state.py`` names their places.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.commands = [0] * END
        self.weight_groups = [0, 0]
        self.output_groups = 0
        for plan in schedule.plans:
            self._count(plan)
        counts = (*self.commands, sum(self.commands) + 1)  # the sequencer's: all, and the end
        sizes = [count * size for count, size in zip(counts, ROW_SIZES, strict=True)]
        starts = (0, *accumulate(sizes))
        out = np.empty(starts[-1], np.int64)
        self._fill(schedule, out, np.array(starts[:-1]))
        out[-2:] = END, 0
        self.parts = [out[start : start + size] for start, size in zip(starts, sizes, strict=False)]

    def _count(self, plan: PassPlan) -> None:
        tiles = len(plan.tiles)
        for run in runs_of(plan):
            fetches = 1 if run.resident else tiles
            self.commands[WEIGHT] += fetches
            self.weight_groups[run.target] += run.groups * fetches
        self.commands[LOAD] += tiles
        self.commands[DEPTHWISE] += tiles if plan.item.depthwise is not None else 0
        self.commands[MAC] += tiles
        self.commands[STORE] += tiles
        self.output_groups += tiles * plan.target.blocks

    def _fill(self, schedule: Schedule, out: Numbers, at: Numbers) -> None:
        multipliers = schedule.design.accelerator.dw_multipliers
        writers: dict[str, list[tuple[int, ...]]] = {}
        tags: dict[int, int] = {}  # tiles of each bundle so far
        stores = 0
        for plan in schedule.plans:
            item = plan.item
            tag = tags.get(item.bundle, 0)
            tags[item.bundle] = tag + len(plan.tiles)
            final = plan is schedule.plans[-1]
            place = (stores, (item.bundle << 16) + tag)
            read = writers[item.source.name] if item.source is not None else ()
            fill_pass(
                np.array((*_tiles(plan), *place, *_numbers(plan, multipliers, final)), np.int64),
                np.array([value for run in runs_of(plan) for value in _run(run)], np.int64),
                np.array([value for writer in read for value in writer], np.int64),
                out,
                at,
            )
            for name in written_layers(item):
                writers.setdefault(name, []).append(_writer(plan, stores))
            stores += len(plan.tiles)


def runs_of(plan: PassPlan) -> Sequence[WeightRun]:
    """Weights of a pass in the order in which a tile's are fetched."""
    if plan.dw_weights is None:
        return (plan.mac_weights,)
    return (plan.dw_weights, plan.mac_weights)


def _run(run: WeightRun) -> tuple[int, ...]:
    return (
        run.address, run.groups, run.words, run.param_words, run.group_beats, run.target,
        int(run.resident),
    )  # fmt: skip


def _writer(plan: PassPlan, first_store: int) -> tuple[int, ...]:
    tile = plan.tiles[0]
    return (first_store, _across(plan), tile.rows, tile.cols, plan.item.scale)


def _across(plan: PassPlan) -> int:
    """Tiles side by side."""
    return plan.tiles[-1].col // plan.tiles[0].cols + 1


def _tiles(plan: PassPlan) -> tuple[int, ...]:
    first, last = plan.tiles[0], plan.tiles[-1]
    return (
        len(plan.tiles), _across(plan), first.rows, first.cols,
        last.row + last.rows, last.col + last.cols, plan.item.scale, plan.item.halo,
    )  # fmt: skip


def _numbers(plan: PassPlan, multipliers: int, final: bool) -> tuple[int, ...]:
    """The places of a pass from S_HEIGHT on."""
    item, source, target = plan.item, plan.source, plan.target
    kernel = item.depthwise.kernel if item.depthwise is not None else 0
    slices = target.slices if item.raw else 1
    pixel = source.block_size(0) * source.feature_bytes
    last_pixel = source.last_block_channels * source.feature_bytes
    return (
        source.height, source.width, source.address, source.row_pitch, source.block_pitch,
        source.blocks, pixel, last_pixel, pixel // BEAT_BYTES, last_pixel // BEAT_BYTES,
        int(source.blocks == 1 and source.contiguous), int(item.source is None),
        int(kernel > 0), kernel, -(-kernel * kernel // multipliers),
        item.kernel**2 * plan.in_groups, int(item.pool_kind == "maxpool"), plan.pad_cycles,
        plan.steps * slices, plan.last_steps * slices,
        target.width, target.address, target.row_pitch, target.block_pitch, target.blocks,
        target.block_size(0) * target.channel_bytes,
        target.last_block_channels * target.channel_bytes,
        int(target.blocks == 1 and target.contiguous),
        target.blocks * target.block_pitch if item.to_depth else 0,
        int(item.raw), int(item.bundle_last), int(final),
    )  # fmt: skip
