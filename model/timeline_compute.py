"""Depth-wise unit, MAC array and post-process, cycle by cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from model import fast_state as at
from model.program_rows import DEPTHWISE, MAC
from model.run_facts import Commands, EventColumns
from model.schedule import Schedule
from model.sim_timing import UnitTiming
from model.spans import BUSY, INPUT, OUTPUT, WEIGHTS, Column, Spans, SpanWriter
from model.timeline_dma import Transfers

Edges = np.ndarray[tuple[int, int], np.dtype[np.int64]]


class _Closed(Protocol):
    def __call__(self, total: int) -> Spans: ...


@dataclass(frozen=True)
class ComputeSpans:
    """The three units, when each output group was complete, what the buffers held."""

    writers: Mapping[str, _Closed]
    written: Column
    buffers: Mapping[str, Edges]


def compute_spans(
    schedule: Schedule, events: EventColumns, commands: Commands, moved: Transfers
) -> ComputeSpans:
    """rtl_sim/hdl/depthwise.sv, mac_control.sv, mac_array.sv, post_process.sv."""
    timing = UnitTiming.of(schedule.design.accelerator)
    depthwise, macs = commands.of(DEPTHWISE), commands.of(MAC)
    # Commands name their input tile within the frame.
    for rows, place in ((depthwise, at.DE_INPUT), (macs, at.MA_INPUT)):
        frame = np.arange(len(rows)) // max(1, len(rows) // schedule.frames)
        rows[:, place] += frame * schedule.stores_per_frame
    freed = np.zeros(len(moved.load) + 1, np.int64)  # input bank of tile t: freed[t + 1]
    dw_end, mac_end = events.cycles("depthwise", "tile_end"), events.cycles("mac", "tile_end")
    freed[depthwise[:, at.DE_INPUT] + 1] = dw_end - timing.dw_drain + 1
    direct = macs[:, at.MA_MID] == 0
    freed[macs[direct, at.MA_INPUT] + 1] = mac_end[direct] + 1
    writers: dict[str, _Closed] = {
        "depthwise": _depthwise(depthwise, events, moved, freed, timing.dw_drain)
    }
    array = _MacGroups(macs, events, moved)
    writers["mac"] = _mac(array, events)
    writers["post"] = _post(array, timing)
    written = array.written(timing)
    buffers = {
        "input buffer": _edges(moved.loads.last + 1, freed[1:]),
        "mid buffer": _edges(dw_end + 1, mac_end[~direct] + 1),
        "output buffer": _edges(written + 1, moved.stores.last + 1),
    }
    return ComputeSpans(writers, written, buffers)


def _edges(full: Column, free: Column) -> Edges:
    """When banks become full and free again: rows of (cycle, +1 or -1)."""
    cycle = np.append(full, free)
    change = np.append(np.ones_like(full), -np.ones_like(free))
    return np.stack([cycle, change], 1)[np.argsort(cycle, kind="stable")]


def _depthwise(
    rows: Column, events: EventColumns, moved: Transfers, freed: Column, drain: int
) -> _Closed:
    writer = SpanWriter()
    if not len(rows):
        return partial(writer.close, first=0, last=0)
    tag, groups = rows[:, at.DE_TAG], rows[:, at.DE_GROUPS]
    start, end = events.cycles("depthwise", "tile_start"), events.cycles("depthwise", "tile_end")
    tile = rows[:, at.DE_INPUT]
    idle = np.append(1, end[:-1] + 1)
    ready = np.maximum(idle, moved.visible(DEPTHWISE))
    ready = np.maximum(ready, moved.loads.last[tile] + 1)
    ready = np.maximum(ready, freed[tile])
    writer.put(idle, INPUT, tag)
    writer.put(ready, OUTPUT, tag)
    writer.put(start, BUSY, tag)
    weights = moved.weights_ready(1)
    work = rows[:, at.DE_TAPS] + 1 + rows[:, at.DE_STREAM]
    waits, passes = [], []
    released = 0
    for index, release in enumerate(rows[:, at.DE_RELEASE].tolist()):
        cycle, length = int(start[index]), int(work[index])
        for group in range(int(groups[index])):
            waits.append(cycle + 1)
            wanted = released + (0 if release else group)
            passed = max(cycle + 1, int(weights[wanted]))
            passes.append(passed)
            cycle = passed + length
            released += release
        assert cycle + drain == end[index]
    writer.put(np.array(waits), WEIGHTS, np.repeat(tag, groups))
    writer.put(np.array(passes), BUSY, np.repeat(tag, groups))
    writer.put(end[-1:] + 1, INPUT, tag[-1:])
    return partial(writer.close, first=int(start[0]), last=int(end[-1]))


class _MacGroups:
    """When each output group waits, passes and runs; ``Mac.run`` of ``model/sim_compute.py``."""

    def __init__(self, rows: Column, events: EventColumns, moved: Transfers) -> None:
        groups = rows[:, at.MA_GROUPS]
        self.command = np.repeat(np.arange(len(rows)), groups)
        self.rows = rows[self.command]
        self.tag = self.rows[:, at.MA_TAG]
        last = np.zeros(len(self.command), bool)
        last[np.cumsum(groups) - 1] = True
        self.count = np.where(last, self.rows[:, at.MA_LAST_COUNT], self.rows[:, at.MA_COUNT])
        self.start = events.cycles("mac", "tile_start")
        self.end = events.cycles("mac", "tile_end")
        first = np.append(0, np.cumsum(groups)[:-1])
        group = np.arange(len(self.command)) - first[self.command]
        release = self.rows[:, at.MA_RELEASE]
        released = np.cumsum(release) - release
        wanted = released + np.where(release == 1, 0, group)
        self.weights_there = moved.weights_ready(0)[wanted]
        self.free = np.append([0, 0], moved.stores.last + 1)[: len(group)]
        self._run()

    def _run(self) -> None:
        """WAIT entered, weights there, passed, cycles held at the first vector: one after other."""
        waited, weights, passed, held = [], [], [], []
        requantised, cycle, before = 0, 0, -1
        columns = (at.MA_EMIT, at.MA_LAST, at.MA_CYCLES)
        emit, last_issue, cycles = (self.rows[:, place].tolist() for place in columns)
        there, free = self.weights_there.tolist(), self.free.tolist()
        count, start = self.count.tolist(), self.start.tolist()
        for index, command in enumerate(self.command.tolist()):
            if command != before:
                cycle, before = start[command], command
            waited.append(cycle + 1)
            weights.append(max(cycle + 1, there[index]))
            passed.append(max(weights[-1], free[index]))
            held.append(max(0, requantised - passed[-1] - emit[index]))
            run = passed[-1] + held[-1]
            requantised = run + last_issue[index] + count[index]
            cycle = run + cycles[index]
        self.waited, self.weights = np.array(waited), np.array(weights)
        self.passed, self.held = np.array(passed), np.array(held)

    def written(self, timing: UnitTiming) -> Column:
        """The cycle of the last write of each group."""
        last_vector = self.passed + self.held + self.rows[:, at.MA_LAST] + timing.vector
        found: Column = last_vector + timing.write + self.count - 1
        return found

    def vectors(self) -> tuple[Column, Column]:
        """(group, cycle of the issue that completes it) of every vector that is requantised."""
        number = self.rows[:, at.MA_VECTORS]
        group = np.repeat(np.arange(len(number)), number)
        index = np.arange(len(group)) - np.repeat(np.cumsum(number) - number, number)
        emit, pad = self.rows[:, at.MA_EMIT], self.pad()
        run = (self.passed + self.held)[group]
        return group, run + emit[group] * (index + 1) + pad[group] * index

    def pad(self) -> Column:
        """Idle cycles after each vector."""
        rows = self.rows
        padding: Column = rows[:, at.MA_CYCLES] - rows[:, at.MA_ISSUES]
        return padding // rows[:, at.MA_VECTORS]


def _mac(groups: _MacGroups, events: EventColumns) -> _Closed:
    writer = SpanWriter()
    start, end, tag = groups.start, groups.end, groups.tag
    command_tag = events.where("mac", "tile_start")[1]
    # Padding first: what begins at the cycle after a group's last padding stands.
    group, issue = groups.vectors()
    pad = groups.pad()[group]
    group, issue, pad = group[pad > 0], issue[pad > 0], pad[pad > 0]
    writer.put(issue + 1, OUTPUT, tag[group])
    writer.put(issue + 1 + pad, BUSY, tag[group])
    writer.put(np.append(1, end + 1), INPUT, np.append(command_tag, command_tag[-1:]))
    writer.put(start, BUSY, command_tag)
    writer.put(groups.waited, WEIGHTS, tag)
    writer.put(groups.weights, OUTPUT, tag)
    writer.put(groups.passed, BUSY, tag)
    first = groups.passed + groups.rows[:, at.MA_EMIT]  # completes the first vector, may be held
    writer.put(first, OUTPUT, tag)
    writer.put(first + groups.held, BUSY, tag)
    return partial(writer.close, first=int(start[0]), last=int(end[-1]))


def _post(groups: _MacGroups, timing: UnitTiming) -> _Closed:
    writer = SpanWriter()
    group, issue = groups.vectors()
    step = issue + timing.vector + 1
    tag = groups.tag[group]
    writer.put(np.append(1, step + groups.count[group]), INPUT, np.append(tag, tag[-1:]))
    writer.put(step, BUSY, tag)
    last = step[-1] + groups.count[group[-1]] - 1
    return partial(writer.close, first=int(step[0]), last=int(last))
