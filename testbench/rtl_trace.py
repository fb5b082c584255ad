"""What the recorder in the RTL wrote, as a recording: the same trace as the simulator's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.errors import TandemError
from model.events import Event
from model.run_facts import EventColumns
from model.schedule import Schedule
from model.spans import CLASSES, UNITS, Column, Spans
from model.trace import Bursts, Recording

BUFFERS = ("input buffer", "mid buffer", "output buffer")
_CLASS, _BANKS, _READ, _WRITE, _TOTAL = range(5)


def record_rtl(schedule: Schedule, events: Sequence[Event], activity: Path) -> Recording:
    """The recording of one RTL run. TandemError: the activity file is empty or cut off."""
    rows = read_activity(activity)
    total = int(rows[rows[:, 0] == _TOTAL][0, 1])
    found = EventColumns(events)
    read, write = (rows[rows[:, 0] == kind] for kind in (_READ, _WRITE))
    ports = np.concatenate([read, write])
    order = np.argsort(ports[:, 1], kind="stable")
    bursts = Bursts(
        ports[order, 1],
        ports[order, 2],
        ports[order, 3],
        (ports[order, 0] == _WRITE).astype(np.int64),
        [""] * len(ports),
    )
    return Recording(
        "RTL",
        total,
        schedule.design.clock_khz,
        found,
        {name: _classes(rows, number, total) for number, name in enumerate(UNITS)},
        CLASSES,
        bursts,
        _buffers(rows),
    )


def read_activity(path: Path) -> NDArray[np.int64]:
    """The file's rows. TandemError where it is missing, empty or has no end."""
    again = "verify again with --trace"
    try:
        numbers = np.array(path.read_text().split(), np.int64)
    except (OSError, ValueError) as error:
        raise TandemError(f"{path}: what the RTL did cannot be read ({error}): {again}") from error
    if len(numbers) % 4 or not len(numbers):
        raise TandemError(f"{path}: what the RTL did is empty or cut off: {again}")
    rows = numbers.reshape(-1, 4)
    if np.count_nonzero(rows[:, 0] == _TOTAL) != 1:
        raise TandemError(f"{path}: what the RTL did has no end: {again}")
    return rows


def _classes(rows: NDArray[np.int64], unit: int, total: int) -> Spans:
    chosen = rows[(rows[:, 0] == _CLASS) & (rows[:, 2] == unit)]
    chosen = chosen[chosen[:, 1] <= total]
    return Spans(chosen[:, 1], chosen[:, 3], np.full(len(chosen), -1), total)


def _buffers(
    rows: NDArray[np.int64],
) -> Mapping[str, np.ndarray[tuple[int, int], np.dtype[np.int64]]]:
    found = {}
    for number, name in enumerate(BUFFERS):
        chosen = rows[(rows[:, 0] == _BANKS) & (rows[:, 2] == number)]
        change: Column = np.diff(np.append(0, chosen[:, 3]))
        found[name] = np.stack([chosen[:, 1], change], 1)
    return found


def differences(left: Recording, right: Recording) -> list[str]:
    """What two recordings of one run do not have in common, in words; the first cycle of each.

    Compared: the counters' class of every unit in every cycle, every burst on every port, the full
    banks of every buffer in every cycle.
    """
    found = []
    for name in UNITS:
        ours, theirs = (_by_class(item, name) for item in (left, right))
        cycle = _first(ours, theirs)
        if cycle is not None:
            found.append(f"{name}: another class from cycle {cycle} on")
    ours, theirs = (_burst_rows(item.bursts) for item in (left, right))
    cycle = _first(ours, theirs)
    if cycle is not None:
        found.append(f"ports: another burst at cycle {cycle}")
    for name in BUFFERS:
        ours, theirs = (_levels(item, name) for item in (left, right))
        cycle = _first(ours, theirs)
        if cycle is not None:
            found.append(f"{name}: other banks full from cycle {cycle} on")
    return found


def _by_class(item: Recording, unit: str) -> NDArray[np.int64]:
    spans = item.activity[unit]
    spans = spans if item.names == CLASSES else spans.by_class()
    return np.stack([spans.start, spans.cause], 1)


def _burst_rows(bursts: Bursts) -> NDArray[np.int64]:
    rows = np.stack([bursts.first, bursts.last, bursts.port, bursts.write], 1)
    return rows[np.lexsort((rows[:, 3], rows[:, 2], rows[:, 0]))]


def _levels(item: Recording, buffer: str) -> NDArray[np.int64]:
    edges = item.buffers[buffer]
    cycles, inverse = np.unique(edges[:, 0], return_inverse=True)
    change = np.bincount(inverse, weights=edges[:, 1], minlength=len(cycles)).astype(np.int64)
    keep = (change != 0) & (cycles <= item.total)
    return np.stack([cycles[keep], np.cumsum(change)[keep]], 1)


def _first(left: NDArray[np.int64], right: NDArray[np.int64]) -> int | None:
    """The cycle, in the first column, of the first row in which two tables differ."""
    both = min(len(left), len(right))
    differing = np.flatnonzero((left[:both] != right[:both]).any(1))
    if len(differing):
        index = int(differing[0])
        return int(min(left[index, 0], right[index, 0]))
    longer = left if len(left) > both else right
    return int(longer[both, 0]) if len(longer) > both else None
