"""What the RTL answers: a network's head for any number of images, checked against the model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.console import progress
from model.design import Design
from model.functional import run_head
from model.integer_network import IntegerNetwork, Integers
from model.memory_image import build_memory, read_map
from model.schedule import Schedule, compile_schedule
from model.simulator import simulate
from rtl_sim.build import Build, SimulationFailed
from testbench.accelerator_run import ERROR_CODES, HostRun, Job, run_accelerator
from testbench.accelerator_tb import build_accelerator
from testbench.verify import WATCHDOG_FACTOR

FRAMES = 4  # of one simulation
SIMULATIONS = 2  # at a time
LONG_RUN_CYCLES = 150_000  # from here on a build that runs faster repays its longer compilation


@dataclass(frozen=True)
class RtlHead:
    """The head's accumulators of one image as the RTL left them in memory."""

    accumulators: Integers
    differing: int  # of them, from the functional level


@dataclass(frozen=True)
class _Runner:
    """A compiled accelerator ready for groups of images."""

    network: IntegerNetwork
    build: Build
    folder: Path

    def run(self, schedule: Schedule, images: Sequence[Integers], number: int) -> list[RtlHead]:
        """One simulation. SimulationFailed where it does not end well."""
        memory = build_memory(schedule, self.network, images)
        timeout = WATCHDOG_FACTOR * simulate(schedule).total_cycles + 10_000
        job = Job(schedule, bytes(memory), timeout)
        found = run_accelerator(self.build, job, self.folder / f"run{number}")
        if not found.runs[0].done:
            raise SimulationFailed(_failure(schedule.design, found.runs[0], timeout))
        last = schedule.plans[-1]
        heads = []
        for frame, image in enumerate(images):
            got = read_map(schedule, found.memory, last, frame)
            wanted = run_head(schedule.design, self.network, image)
            heads.append(RtlHead(got, int(np.count_nonzero(got != wanted))))
        return heads


def run_rtl_heads(
    design: Design, network: IntegerNetwork, images: Sequence[Integers], out: Path
) -> Iterator[RtlHead]:
    """The RTL's head for every image, in order; some images share a simulation as its frames.

    Compiled simulations are kept below ``out``. TandemError: a tool is missing or the design does
    not compile. SimulationFailed: the RTL did not come to an end.
    """
    groups = [images[start : start + FRAMES] for start in range(0, len(images), FRAMES)]
    schedules = {count: compile_schedule(design, count) for count in {len(g) for g in groups}}
    memory_bytes = max(schedule.memory_bytes for schedule in schedules.values())
    progress(f"{design.name}: building the RTL ...")
    out.mkdir(parents=True, exist_ok=True)
    fast = repays_optimising(next(iter(schedules.values())), len(images))
    build = build_accelerator(design, memory_bytes, out / "verilator", fast)
    progress(f"running {len(images)} images on the RTL ...")
    with (
        tempfile.TemporaryDirectory(prefix="rtl_inference-", dir=out) as folder,
        ThreadPoolExecutor(SIMULATIONS) as pool,
    ):
        runner = _Runner(network, build, Path(folder))
        waiting = [
            pool.submit(runner.run, schedules[len(group)], group, number)
            for number, group in enumerate(groups)
        ]
        try:
            for future in waiting:
                yield from future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def repays_optimising(schedule: Schedule, frames: int) -> bool:
    """Do so many frames run longer than the compiler takes to make them run faster?"""
    accelerator = schedule.design.accelerator
    lanes = accelerator.in_lanes * accelerator.out_lanes
    return schedule.array_macs * frames > LONG_RUN_CYCLES * lanes


def _failure(design: Design, host: HostRun, timeout: int) -> str:
    if host.hung:
        return f"design {design.name}: the RTL did not finish within {timeout} cycles"
    code = ERROR_CODES.get(host.error_code, str(host.error_code))
    return f"design {design.name}: the RTL stopped with error {host.error_code} ({code})"
