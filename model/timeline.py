"""What every unit does in every cycle of a run, and why it waits where it does.

Worked out after the run from three things: the program, the events and the log of the bursts. The
rules are those of ``docs/microarchitecture.md``, the lines of the simulator that count the same
cycles are ``model/sim_dma.py``, ``sim_compute.py`` and ``sim_sequencer.py``. The sums are compared
with the run's own counters, so that an error here cannot pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from model.burst_log import BurstLog, burst_log
from model.run_facts import Commands, EventColumns
from model.schedule import Schedule
from model.simulator import Simulation
from model.spans import CLASSES, UNITS, Spans
from model.timeline_compute import compute_spans
from model.timeline_dma import Transfers, load_spans, store_spans, weight_spans
from model.timeline_sequencer import sequencer_spans


@dataclass(frozen=True)
class Timeline:
    """All units of a run, cycle by cycle."""

    units: Mapping[str, Spans]
    bursts: BurstLog
    events: EventColumns
    total: int
    # When the banks of a buffer fill and empty: (cycle, +1 or -1) pairs, sorted, by buffer.
    buffers: Mapping[str, np.ndarray[tuple[int, int], np.dtype[np.int64]]]


def build_timeline(schedule: Schedule, run: Simulation) -> Timeline:
    """The timeline of a run of the schedule, of either engine.

    TandemError where the run has too many bursts to be looked at one by one. RuntimeError where a
    sum differs from the run's counters: then this module and the simulator disagree.
    """
    log = burst_log(schedule, run)
    events, commands = EventColumns(run.events), Commands(schedule)
    moved = Transfers(schedule, log, events, commands)
    compute = compute_spans(schedule, events, commands, moved)
    units = {
        "sequencer": sequencer_spans(schedule, events, commands, moved, run.total_cycles),
        "load": load_spans(schedule, moved, run.total_cycles),
        "weight": weight_spans(moved, run.total_cycles),
        **{name: writer(run.total_cycles) for name, writer in compute.writers.items()},
        "store": store_spans(moved, compute.written, run.total_cycles),
    }
    _check(units, run)
    return Timeline(units, log, events, run.total_cycles, compute.buffers)


def _check(units: Mapping[str, Spans], run: Simulation) -> None:
    """RuntimeError where a counter of the run is not the sum of its causes."""
    for name in UNITS:
        spans = units[name].by_class()
        sums = np.bincount(spans.cause, weights=spans.cycles, minlength=len(CLASSES))
        for counter, found in zip(CLASSES, sums.astype(np.int64).tolist(), strict=True):
            wanted = getattr(run.units[name], counter)
            if found != wanted:
                raise RuntimeError(f"{name}.{counter} is {wanted}, its causes sum to {found}")
