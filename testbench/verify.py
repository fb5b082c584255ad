"""One case at all three levels: functional, cycle level, RTL; and every difference between them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.design import Design
from model.errors import TandemError
from model.events import Event, mismatches
from model.fast_simulator import simulate_fast
from model.functional import run_functional
from model.integer_network import IntegerNetwork
from model.memory_image import build_memory, read_map
from model.schedule import Schedule, compile_schedule
from model.simulator import Simulation, simulate
from model.timeline import build_timeline
from model.trace import Recording, record_simulation
from testbench.accelerator_run import ERROR_CODES, HostRun, Job, RtlRun, run_accelerator
from testbench.accelerator_tb import build_accelerator
from testbench.rtl_trace import differences, record_rtl

Ints = NDArray[np.int64]
WATCHDOG_FACTOR = 3  # times the simulated cycles, then the RTL counts as hung
ACTIVITY = "activity.txt"
FAST_RUNS = 9  # a run is milliseconds: the median is quoted


@dataclass(frozen=True)
class Watch:
    """What the RTL run writes besides its results; each is a build of its own."""

    trace: bool = False  # what every unit, buffer and port does in every cycle
    waveform: Path | None = None  # FST file of all signals


NOTHING = Watch()


@dataclass(frozen=True)
class MapDifference:
    """A feature map of one frame and how many of its values differ."""

    name: str
    frame: int
    values: int
    differing: int
    first: tuple[int, int, int] | None  # channel, row, column


@dataclass(frozen=True)
class Verification:
    """What was compared and what differed."""

    simulation: Simulation  # SimPy
    fast: Simulation  # the compiled engine, the run of the median time
    rtl: HostRun
    events: int
    event_differences: tuple[tuple[str, Event], ...]
    maps: tuple[MapDifference, ...]
    counters: int
    counter_differences: tuple[tuple[str, int, int], ...]  # name, simulator, RTL
    functional_seconds: float
    recordings: tuple[Recording, ...] = ()  # simulator and RTL, where a trace was asked for
    activity_differences: tuple[str, ...] = ()  # between the two

    @property
    def values(self) -> int:
        """Feature-map values compared."""
        return sum(item.values for item in self.maps)

    @property
    def value_mismatches(self) -> int:
        """Feature-map values that differ."""
        return sum(item.differing for item in self.maps)

    @property
    def engines_agree(self) -> bool:
        """Both engines of the cycle level say the same in every event and every counter."""
        return self.fast.same(self.simulation)

    @property
    def exact(self) -> bool:
        """Nothing differs: values, events, counters, cycles, engines, recordings."""
        return (
            not self.event_differences
            and not self.activity_differences
            and self.engines_agree
            and self.value_mismatches == 0
            and not self.counter_differences
            and self.simulation.total_cycles == self.rtl.total_cycles
        )


def verify(
    design: Design,
    network: IntegerNetwork,
    images: Sequence[Ints],
    build_root: Path,
    work_dir: Path,
    optimise: bool = True,
    watch: Watch = NOTHING,
) -> Verification:
    """Run ``images`` as consecutive frames at all three levels and compare everything.

    Compared: all values of every feature map that reaches memory, all timed events and counters.
    Maps inside the network hold the last frame at the end; every frame's output is kept. With a
    trace also the class of each unit, each burst and the full banks of each buffer in every cycle.
    """
    schedule = compile_schedule(design, len(images))
    memory = build_memory(schedule, network, images)
    started = time.perf_counter()
    wanted = [run_functional(design, network, image) for image in images]
    functional_seconds = time.perf_counter() - started
    simulation = simulate(schedule)
    runs = [simulate_fast(schedule) for _ in range(FAST_RUNS)]
    fast = sorted(runs, key=lambda run: run.seconds)[FAST_RUNS // 2]
    build = build_accelerator(
        design, schedule.memory_bytes, build_root, optimise, watch.trace, watch.waveform is not None
    )
    timeout = WATCHDOG_FACTOR * simulation.total_cycles + 10_000
    activity = work_dir.resolve() / ACTIVITY if watch.trace else None
    job = Job(schedule, bytes(memory), timeout, activity=activity, waveform=watch.waveform)
    result = run_accelerator(build, job, work_dir)
    host = result.runs[0]
    if not host.done:
        raise TandemError(_failed(design, host, timeout))
    recordings: tuple[Recording, ...] = ()
    if activity is not None:
        ours = record_simulation(schedule, build_timeline(schedule, simulation))
        recordings = (ours, record_rtl(schedule, result.events, activity))
    return Verification(
        simulation=simulation,
        fast=fast,
        rtl=host,
        events=len(simulation.events),
        event_differences=tuple(mismatches(simulation.events, result.events)),
        maps=tuple(_compare_maps(schedule, result, wanted)),
        counters=len(host.counters),
        counter_differences=tuple(compare_counters(simulation, host)),
        functional_seconds=functional_seconds,
        recordings=recordings,
        activity_differences=tuple(differences(*recordings)) if recordings else (),
    )


def compare_counters(simulation: Simulation, host: HostRun) -> list[tuple[str, int, int]]:
    """Counters that differ: (name, simulator, RTL)."""
    found = []
    for unit, account in simulation.units.items():
        for kind in ("busy", "wait_input", "wait_output", "wait_ddr"):
            ours, theirs = getattr(account, kind), host.counters[f"{unit}.{kind}"]
            if ours != theirs:
                found.append((f"{unit}.{kind}", ours, theirs))
    return found


def _compare_maps(
    schedule: Schedule, result: RtlRun, wanted: Sequence[dict[str, Ints]]
) -> list[MapDifference]:
    found = []
    for plan in schedule.plans:
        last = plan is schedule.plans[-1]
        for frame in range(schedule.frames) if last else [schedule.frames - 1]:
            got = read_map(schedule, result.memory, plan, frame)
            wrong = np.argwhere(got != wanted[frame][plan.item.name])
            first = None
            if len(wrong):
                channel, row, column = (int(index) for index in wrong[0])
                first = (channel, row, column)
            found.append(MapDifference(plan.item.name, frame, got.size, len(wrong), first))
    return found


def _failed(design: Design, host: HostRun, timeout: int) -> str:
    if host.hung:
        return f"design {design.name}: the RTL did not finish within {timeout} cycles"
    code = ERROR_CODES.get(host.error_code, str(host.error_code))
    return f"design {design.name}: the RTL stopped with error {host.error_code} ({code})"
