"""The fast engine: a schedule's cycles without SimPy, in compiled code, exactly the same.

Same result as ``model.simulator.simulate`` in every counter and every event; a property-based test
compares the two over random designs. What a unit does is written in ``fast_compute`` and
``fast_dma``, the loop in ``fast_kernel``, the memory is that of the SimPy engine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cache
from typing import overload

import numpy as np
from numpy.typing import NDArray

from model import fast_state as at
from model.compiled import told
from model.ddr import DdrStatistics
from model.errors import TandemError
from model.events import Event
from model.fast_kernel import run
from model.memory_state import C_LOG, LOG_SIZE, State, statistics
from model.program_rows import ProgramRows
from model.schedule import Schedule
from model.sim_units import Account
from model.simulator import Simulation

_TILE_BITS = 16
_UNIT_MASK, _KIND_MASK = (1 << at.UNIT_BITS) - 1, (1 << at.KIND_BITS) - 1


class PackedEvents(Sequence[Event]):
    """Sorted events, one integer each; unpacked when they are looked at."""

    def __init__(self, keys: NDArray[np.int64]) -> None:
        """``keys``: sorted, cycle, unit, kind, bundle and tile from the highest bit down."""
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def keys(self) -> NDArray[np.int64]:
        """The integers themselves."""
        return self._keys

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Event]: ...

    def __getitem__(self, index: int | slice) -> Event | Sequence[Event]:
        if isinstance(index, slice):
            return PackedEvents(self._keys[index])
        return _unpack(int(self._keys[index]))

    def __iter__(self) -> Iterator[Event]:
        return map(_unpack, self._keys.tolist())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PackedEvents):
            return np.array_equal(self._keys, other._keys)
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # as that of a list


def _unpack(key: int) -> Event:
    tile, bundle = key & (1 << _TILE_BITS) - 1, key >> _TILE_BITS & 255
    kind = at.EVENT_KINDS[key >> at.TAG_BITS & _KIND_MASK]
    unit = at.EVENT_UNITS[key >> at.TAG_BITS + at.KIND_BITS & _UNIT_MASK]
    return Event(key >> at.CYCLE_SHIFT, unit, kind, bundle, tile)


def simulate_fast(schedule: Schedule) -> Simulation:
    """Run the schedule's program for its frames; the twin of ``simulate``.

    TandemError where the run is longer than an event can say, 8.6 thousand million cycles.
    """
    prepare()
    rows = ProgramRows(schedule)  # the program as integers, as the RTL gets it as bytes
    started = time.perf_counter()
    state, done = _run(schedule, rows)
    total = done[-1]
    accounts = _accounts(state)
    for account in accounts.values():
        account.close(total)
    return Simulation(
        total_cycles=total,
        frame_done_cycles=tuple(done),
        events=PackedEvents(np.sort(_tokens(state, at.EVENTS))),
        units=accounts,
        ddr=statistics(state),
        array_macs=schedule.array_macs * schedule.frames,
        seconds=time.perf_counter() - started,
    )


def cycles_fast(schedule: Schedule) -> tuple[list[int], DdrStatistics]:
    """The cycle at which each frame was done, and the memory's counts; nothing else is kept.

    The numbers of :func:`simulate_fast`, for a search that looks at no event. TandemError likewise.
    """
    prepare()
    state, done = _run(schedule, ProgramRows(schedule))
    return done, statistics(state)


def log_bursts(schedule: Schedule, bursts: int) -> NDArray[np.int64]:
    """Every burst of a run in the order of the grants, as rows of ``memory_state``'s G fields.

    ``bursts``: how many the run has, the row hits and misses of its statistics. An exact second
    pass of :func:`simulate_fast`; shape (bursts, LOG_SIZE).
    """
    prepare()
    state, _ = _run(schedule, ProgramRows(schedule), bursts)
    end = int(state[C_LOG])
    return state[end - bursts * LOG_SIZE : end].reshape(bursts, LOG_SIZE).copy()


def _run(schedule: Schedule, rows: ProgramRows, bursts: int = 0) -> tuple[State, list[int]]:
    """The state after the last cycle, and the cycles at which frames were done."""
    state = at.fast_state(schedule, rows, bursts)
    run(state, *rows.commands)
    done: list[int] = _tokens(state, at.FRAMES_DONE).tolist()
    if len(done) != schedule.frames:
        raise RuntimeError(f"simulation stopped after {len(done)} of {schedule.frames} frames")
    if done[-1] >= at.CYCLES_MAX:
        raise TandemError(
            f"{schedule.frames} frames take {done[-1]:,} cycles, at most {at.CYCLES_MAX:,} can be "
            "simulated at once: ask for fewer frames"
        )
    return state, done


@cache
def prepare() -> None:
    """Compile the kernel, or load it from numba's cache: no evaluation is timed with it."""
    state = np.zeros(at.EMPTY_SIZE, dtype=np.int64)
    with told():
        run(state, 1, 1, 1, 1, 1)


def _tokens(state: State, tokens: int) -> NDArray[np.int64]:
    start, length = (int(value) for value in state[tokens : tokens + 2])
    return state[start : start + length].copy()


def _accounts(state: State) -> dict[str, Account]:
    first, last = at.N_SEQUENCER, at.N_STORE + 4
    counters = state[first:last].reshape(len(at.COUNTED), 4).tolist()
    return {name: Account(*row) for name, row in zip(at.COUNTED, counters, strict=True)}
