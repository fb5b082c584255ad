"""The units with an AXI master, cycle by cycle: beats, and what there is instead of a beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model import fast_state as at
from model import memory_state as log_at
from model.burst_log import BurstLog
from model.ddr_causes import Bus, Pieces, read_gaps, write_gaps
from model.program_rows import END, LOAD, STORE, WEIGHT
from model.run_facts import Commands, EventColumns
from model.schedule import Schedule
from model.spans import ARBITRATION, BUSY, DDR_LATENCY, INPUT, OUTPUT, Column, Spans, SpanWriter

_WEIGHT_MASTER, _LOAD_MASTER, _STORE_MASTER = 1, 2, 3
_PROTOCOL = 3  # a segment is offered at c + 1, CALC is at c + 2, the request at c + 3
assert ARBITRATION == DDR_LATENCY + 2  # the causes of model/ddr_causes.py, in the same order


@dataclass(frozen=True)
class Moved:
    """The transfers of one master: which bursts, when the first beat came and when the last."""

    rows: Column  # of the log, one a burst
    transfer: Column  # of each burst
    first: Column  # by transfer
    last: Column

    @staticmethod
    def of(log: BurstLog, master: int, beats: Column) -> Moved:
        """The bursts of a master, shared out to transfers of so many ``beats``."""
        rows = np.flatnonzero(log.column(log_at.G_MASTER) == master)
        done = np.cumsum(log.rows[rows, log_at.G_BEATS])
        ends = np.searchsorted(done, np.cumsum(beats)) + 1
        begins = np.append(0, ends[:-1])
        transfer = np.repeat(np.arange(len(beats)), ends - begins)
        first, last = log.rows[rows, log_at.G_FIRST], log.rows[rows, log_at.G_LAST]
        return Moved(rows[: len(transfer)], transfer, first[begins], last[ends - 1])


class Transfers:
    """What the reading and writing units moved: commands and bursts together."""

    def __init__(
        self, schedule: Schedule, log: BurstLog, events: EventColumns, commands: Commands
    ) -> None:
        self.log, self.bus, self.events = log, Bus(log), events
        self.load, self.weight = commands.of(LOAD), commands.of(WEIGHT)
        self.store = commands.of(STORE)
        records = commands.of(END)
        self._targets = records[records[:, 0] != END, 0]
        self._pushed = events.cycles("sequencer", "dispatch")
        self.loads = Moved.of(log, _LOAD_MASTER, self.load[:, at.LO_BEATS])
        self.weight_group = np.repeat(np.arange(len(self.weight)), self.weight[:, at.WE_GROUPS])
        self.weights = Moved.of(log, _WEIGHT_MASTER, self.weight[self.weight_group, at.WE_BEATS])
        groups = self.store[:, at.ST_GROUPS]
        self.store_group = np.repeat(np.arange(len(groups)), groups)
        self.group_ends = np.cumsum(groups)
        self.stores = Moved.of(log, _STORE_MASTER, self._store_beats())
        self.stores_per_frame = schedule.stores_per_frame

    def visible(self, unit: int) -> Column:
        """The cycle from which on each command of a unit is in its FIFO."""
        found: Column = self._pushed[self._targets == unit] + 1
        return found

    def weights_ready(self, target: int) -> Column:
        """The cycle from which on each group of a weight store can be used: 0 MAC, 1 depth-wise."""
        found: Column = (
            self.weights.last[self.weight[self.weight_group, at.WE_TARGET] == target] + 1
        )
        return found

    def _store_beats(self) -> Column:
        """Beats of each output group of each store command."""
        chosen = self.store[self.store_group]
        rows, blocks, beats, last = (chosen[:, at.ST_BASE + place] for place in (2, 4, 5, 6))
        total = rows * ((blocks - 1) * beats + last)
        ends = self.group_ends - 1
        total[ends] = (rows * blocks)[ends] * chosen[ends, at.ST_LAST_BEATS]
        return total


def load_spans(schedule: Schedule, moved: Transfers, total: int) -> Spans:
    """rtl_sim/hdl/feature_load.sv; the counts are those of ``FeatureLoad.run``."""
    loads, tag = moved.loads, moved.load[:, at.LO_TAG]
    start, first_tag = moved.events.where("load", "tile_start")
    assert np.array_equal(first_tag, tag)
    idle = np.append(1, loads.last[:-1] + 1)
    ready = np.maximum(idle, moved.visible(LOAD))
    sync = moved.load[:, at.LO_SYNC]
    frame = np.arange(len(sync)) // schedule.stores_per_frame
    needed = np.where(sync >= 0, frame * schedule.stores_per_frame + sync, 0)
    done = np.append(0, moved.events.cycles("store", "tile_end") + 1)
    ready = np.maximum(ready, done[needed])
    writer = SpanWriter()
    writer.put(idle, INPUT, tag)
    writer.put(ready, OUTPUT, tag)
    writer.put(start, BUSY, tag)
    _moving(writer, moved, loads, start, tag)
    writer.put(loads.last[-1:] + 1, INPUT, tag[-1:])
    return writer.close(total, int(start[0]), int(loads.last[-1]))


def weight_spans(moved: Transfers, total: int) -> Spans:
    """rtl_sim/hdl/weight_load.sv; the counts are those of ``WeightLoad.run``."""
    weights, tag = moved.weights, moved.weight[:, at.WE_TAG]
    writer = SpanWriter()
    start, _ = moved.events.where("weight", "tile_start")
    first_group = np.append(0, np.cumsum(moved.weight[:, at.WE_GROUPS]))[:-1]
    ends = np.append(first_group[1:], len(weights.last)) - 1
    idle = np.append(1, weights.last[ends][:-1] + 1)
    group_tag = tag[moved.weight_group]
    credit = np.append(0, weights.last[:-1] + 1)
    credit[first_group] = start + 1
    burst = weights.rows[np.searchsorted(weights.transfer, np.arange(len(weights.last)))]
    passed = moved.log.rows[burst, log_at.G_REQUEST] - _PROTOCOL
    writer.put(idle, INPUT, tag)
    writer.put(start, BUSY, tag)
    writer.put(credit, OUTPUT, group_tag)
    writer.put(passed, BUSY, group_tag)
    _moving(writer, moved, weights, passed, group_tag)
    writer.put(weights.last[-1:] + 1, INPUT, tag[-1:])
    return writer.close(total, int(start[0]), int(weights.last[-1]))


def store_spans(moved: Transfers, written: Column, total: int) -> Spans:
    """rtl_sim/hdl/feature_store.sv; the counts are those of ``FeatureStore.run``.

    ``written``: when the post-process wrote the last value of each output group.
    """
    stores, tag = moved.stores, moved.store[:, at.ST_TAG]
    writer = SpanWriter()
    start, _ = moved.events.where("store", "tile_start")
    first_group = moved.group_ends - moved.store[:, at.ST_GROUPS]
    idle = np.append(1, stores.last[moved.group_ends - 1][:-1] + 1)
    group_tag = tag[moved.store_group]
    opened = np.append(0, stores.last[:-1] + 1)
    opened[first_group] = start + 1
    passed = np.maximum(opened, written + 1)
    writer.put(idle, INPUT, tag)
    writer.put(start, BUSY, tag)
    writer.put(opened, INPUT, group_tag)
    writer.put(passed, BUSY, group_tag)
    _moving(writer, moved, stores, passed, group_tag)
    writer.put(stores.last[-1:] + 1, INPUT, tag[-1:])
    return writer.close(total, int(start[0]), int(stores.last[-1]))


def _moving(
    writer: SpanWriter, moved: Transfers, transfers: Moved, begin: Column, tag: Column
) -> None:
    """From the cycle after ``begin`` of each transfer to its last beat: beats and gaps."""
    log, rows = moved.log, transfers.rows
    first, last = log.rows[rows, log_at.G_FIRST], log.rows[rows, log_at.G_LAST]
    burst_tag = tag[transfers.transfer]
    before = np.maximum(np.append(0, last[:-1]), begin[transfers.transfer]) + 1
    gaps = write_gaps if transfers is moved.stores else read_gaps
    put_pieces(writer, gaps(log, moved.bus, rows, before, first), burst_tag)
    writer.put(first, BUSY, burst_tag)


def put_pieces(writer: SpanWriter, pieces: Pieces, tag: Column) -> None:
    """Waits for the memory; ``tag`` by burst."""
    writer.put(pieces.start, pieces.cause + DDR_LATENCY, tag[pieces.burst])
