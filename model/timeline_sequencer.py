"""The sequencer, cycle by cycle: records popped, checked, dispatched."""

from __future__ import annotations

import numpy as np

from model import memory_state as log_at
from model.ddr_causes import read_gaps
from model.ddr_timing import BURST_BEATS
from model.program_rows import END
from model.run_facts import Commands, EventColumns
from model.schedule import Schedule
from model.sim_sequencer import RECORD_BEATS, RECORDS_PER_BURST
from model.spans import BUSY, DDR_LATENCY, INPUT, OUTPUT, Column, Spans, SpanWriter
from model.timeline_dma import Transfers, put_pieces


def sequencer_spans(
    schedule: Schedule, events: EventColumns, commands: Commands, moved: Transfers, total: int
) -> Spans:
    """rtl_sim/hdl/sequencer.sv; the counts are those of ``Sequencer.run``."""
    count, frames = commands.per_frame, schedule.frames
    records = commands.of(END).reshape(frames, count, 2)
    tag = records[:, :, 1].copy()
    tag[:, -1] = tag[:, -2]  # `end` belongs to the last tile
    pushed = events.cycles("sequencer", "dispatch").reshape(frames, count - 1)
    rows = np.flatnonzero(moved.log.column(log_at.G_MASTER) == 0)
    frame_rows = _by_frame(schedule, moved, rows)
    writer = SpanWriter()
    begin = 1
    for frame, fetched in enumerate(frame_rows):
        first = moved.log.rows[fetched, log_at.G_FIRST]
        index = np.arange(count)
        burst, offset = index // RECORDS_PER_BURST, index % RECORDS_PER_BURST
        waits = np.append(begin, pushed[frame] + 1)
        pops = np.maximum(waits, first[burst] + offset * RECORD_BEATS + 1)
        check = pops + RECORD_BEATS
        tags = tag[frame]
        gaps = read_gaps(moved.log, moved.bus, fetched[burst], waits, pops)
        put_pieces(writer, gaps, tags)
        writer.put(pops, BUSY, tags)
        writer.put(check[:-1] + 1, OUTPUT, tags[:-1])
        writer.put(pushed[frame], BUSY, tags[:-1])
        end = int(check[-1])
        if frame + 1 < frames:  # what was read ahead has to come in before the fetch starts again
            landed = int(moved.log.rows[fetched[-1], log_at.G_LAST])
            writer.put(np.array([end + 1]), DDR_LATENCY, tag[frame + 1, :1])
            begin = max(end + 1, landed + 1) + 1
    writer.put(np.array([end + 1]), INPUT, tag[-1, -1:])
    return writer.close(total, 0, end)


def _by_frame(schedule: Schedule, moved: Transfers, rows: Column) -> list[Column]:
    """The bursts of the program by frame: each begins at the program's first address."""
    address = moved.log.rows[rows, log_at.G_ADDRESS]
    assert np.all(moved.log.rows[rows, log_at.G_BEATS] == BURST_BEATS)
    return np.split(rows, np.flatnonzero(address == schedule.program_address)[1:])
