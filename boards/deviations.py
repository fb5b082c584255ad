"""Why a board's counters differ from the simulator's: causes tried by exact re-simulation.

Each cause is a change of the memory or the clock of the device, at some severities. The run is
simulated anew under each, exactly, and the causes are ranked by how much of the deviation goes
away. What a cause explains is measured, not argued; that it is the true one is likely, not proven.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from boards.run_log import LoggedRun
from model.ddr_timing import DdrTiming
from model.design import Design
from model.fast_simulator import simulate_fast
from model.schedule import Schedule
from testbench.registers import CLASSES

TOTAL = "total_cycles"
WORTH_TELLING = 0.1  # share of the deviation that a cause has to explain
SHOWN = 3
LATER = (1, 2, 4, 8, 16, 32, 64, 128)  # fabric cycles
SLOWER = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.35, 0.25)
OFTENER = (2, 4, 8)
RARER = (2, 1000)
CLOCKS_DIFFER = 0.001
NOTHING_EXPLAINS = (
    "no change of memory or clock that was simulated explains a tenth of the deviation: look at "
    "what else runs on the board"
)


@dataclass(frozen=True)
class Cause:
    """A cause at its best severity, and the share of the deviation that goes away with it."""

    name: str
    sentence: str
    explained: float
    counters: Mapping[str, int]  # of the run simulated under it


@dataclass(frozen=True)
class _Trial:
    name: str
    sentence: str
    design: Design


def counters_of(schedule: Schedule) -> dict[str, int]:
    """The simulator's counters of a run, by the names of the log, and its total."""
    run = simulate_fast(schedule)
    found = {TOTAL: run.total_cycles}
    for unit, account in run.units.items():
        found.update({f"{unit}.{kind}": getattr(account, kind) for kind in CLASSES})
    return found


def distance(left: Mapping[str, int], right: Mapping[str, int]) -> int:
    """Cycles in which two runs differ, over all counters."""
    return sum(abs(left[name] - right[name]) for name in right)


def causes(
    schedule: Schedule, run: LoggedRun, simulated: Mapping[str, int], clock_mhz: float
) -> list[Cause]:
    """What would explain the run, most first; empty where nothing does or nothing differs."""
    measured = {TOTAL: run.total_cycles, **run.counters}
    apart = distance(measured, simulated)
    if apart == 0:
        return []
    best: dict[str, Cause] = {}
    for trial in _trials(schedule.design, clock_mhz):
        counters = counters_of(replace(schedule, design=trial.design))
        explained = 1 - distance(measured, counters) / apart
        if explained >= WORTH_TELLING and (
            trial.name not in best or explained > best[trial.name].explained
        ):
            best[trial.name] = Cause(trial.name, trial.sentence, explained, counters)
    return sorted(best.values(), key=lambda cause: -cause.explained)[:SHOWN]


def sentences(rows: Iterable[tuple[str, int, int]]) -> Iterator[str]:
    """What each counter out of tolerance says by itself: (name, board, simulator)."""
    for name, board, simulated in rows:
        unit, _, kind = name.partition(".")
        more = "more" if board > simulated else "fewer"
        cycles = f"{abs(board - simulated):,} cycles {more}"
        if name == TOTAL:
            yield f"the run took {cycles} than simulated"
        elif kind == "busy":
            yield (
                f"{unit} was busy {cycles}: its work is decided by the program, however slow the "
                "memory is, so another program or another bitstream ran"
            )
        else:
            yield f"{unit} waited {cycles} for {_WAITS_FOR[kind]}"


_WAITS_FOR = {
    "wait_ddr": "memory",
    "wait_input": "work or for the units before it",
    "wait_output": "room in the buffer behind it",
}


_LATE_READS = (
    "a longer way to the controller, or other masters (processor, display) before us in its queue"
)
_SLOW = "other masters (processor, display) take the rest, or it is clocked lower"
_SLOW_ROWS = "slower memory chips, or other masters that close our rows"


def _trials(design: Design, clock_mhz: float) -> Iterator[_Trial]:
    """The design with another memory or clock."""
    ddr = design.device.ddr
    if abs(clock_mhz / design.clock_mhz - 1) > CLOCKS_DIFFER:
        yield _Trial(
            "fabric clock",
            f"the fabric ran at {clock_mhz:g} MHz instead of {design.clock_mhz:g}, so the memory "
            "takes another number of fabric cycles",
            replace(design, clock_khz=round(clock_mhz * 1000)),
        )
    for name, sentence, changes in _memory_changes(ddr):
        changed = replace(ddr, **changes)
        yield _Trial(name, sentence, replace(design, device=replace(design.device, ddr=changed)))


def _memory_changes(ddr: DdrTiming) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for cycles in LATER:
        yield (
            "read latency",
            f"reads are answered {cycles} fabric cycles later than modelled: {_LATE_READS}",
            {"read_latency": ddr.read_latency + cycles},
        )
        yield (
            "write latency",
            f"writes are answered {cycles} fabric cycles later than modelled",
            {"write_latency": ddr.write_latency + cycles},
        )
    for share in SLOWER:
        yield (
            "bandwidth",
            f"the memory does everything at {100 * share:.0f} % of its modelled speed: {_SLOW}",
            {"ddr_khz": round(share * ddr.ddr_khz)},
        )
    yield from _refresh_changes(ddr)
    for factor in (1.5, 2, 3):
        yield (
            "row changes",
            f"opening another row takes {factor:g} x as long as modelled: {_SLOW_ROWS}",
            {"t_rcd": round(factor * ddr.t_rcd), "t_rp": round(factor * ddr.t_rp)},
        )
    for share in (0.75, 0.5, 0.25, 0.0):
        yield (
            "lower latency",
            f"of the assumed controller and interconnect delays only {100 * share:.0f} % are there",
            {
                "read_delay": round(share * ddr.read_delay),
                "write_delay": round(share * ddr.write_delay),
                "read_latency": round(share * ddr.read_latency),
                "write_latency": round(share * ddr.write_latency),
            },
        )


def _refresh_changes(ddr: DdrTiming) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for factor in OFTENER:
        if ddr.t_refi // factor > ddr.t_rfc + ddr.t_rp:
            yield (
                "refresh",
                f"the memory is refreshed {factor} x as often as modelled, as it is when it is hot",
                {"t_refi": ddr.t_refi // factor},
            )
    for factor in RARER:
        yield (
            "rarer refresh",
            f"the memory is refreshed {factor} x more rarely than modelled"
            if factor < RARER[-1]
            else "the memory is not refreshed during the run",
            {"t_refi": ddr.t_refi * factor},
        )
