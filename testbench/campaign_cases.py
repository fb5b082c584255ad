"""Random cases for the campaign: networks, tile limits, clocks, memories, all from one seed.

A case is fixed by (seed, number): build ``number // CASES_PER_BUILD`` of that seed runs it. What
the compiler refuses is drawn again, so every case runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from model.ddr_timing import DdrTiming
from model.design import Design, design_from_dict
from model.errors import TandemError
from model.schedule import Schedule, compile_schedule
from testbench.accelerator_tb import memory_words
from testbench.campaign_hardware import Tables, draw_hardware

CASES_PER_BUILD = 5
SMALL_BUILDS = 8  # the first builds are quick to compile: `make test` runs their cases
CYCLES_MAX = 50_000  # estimated, so that a case is a matter of a second
MEMORY_BYTES_MAX = memory_words(0) * 8  # the memory of a build, one size for all its cases
DRAWS_MAX = 400
BYPASS_SHARE = 0.25  # of the cases, if the hardware lets them


@dataclass(frozen=True)
class Case:
    """What runs at all levels: a design with its memory timing, frames, and a seed for the data."""

    number: int
    design: Design
    frames: int
    data_seed: int  # of the integer network and the images


def draw_case(seed: int, number: int) -> Case:
    """The case of that number. RuntimeError where the draws for its hardware never fit."""
    build = number // CASES_PER_BUILD
    hardware = draw_hardware(seed, build, build < SMALL_BUILDS)
    rng = np.random.default_rng([seed, 2, number])
    bypass = rng.random() < BYPASS_SHARE
    for draw in range(DRAWS_MAX):
        found = _try(rng, hardware, number, bypass and draw < DRAWS_MAX // 2)
        if found is not None:
            return found
    raise RuntimeError(f"case {number} of seed {seed}: no network fits its hardware")


def fits(design: Design, frames: int) -> bool:
    """Does the design compile, into a build's memory, and is it small enough to be simulated?"""
    try:
        schedule = compile_schedule(design, frames)
    except TandemError:
        return False
    return schedule.memory_bytes <= MEMORY_BYTES_MAX and estimated_cycles(schedule) <= CYCLES_MAX


def estimated_cycles(schedule: Schedule) -> int:
    """A rough upper bound of the cycles of all frames: nothing overlaps."""
    design = schedule.design
    taps = design.accelerator.dw_multipliers
    cycles, moved = 0, len(schedule.commands) * 64
    for plan in schedule.plans:
        area = sum(tile.rows * tile.cols for tile in plan.tiles)
        issues = plan.in_groups * plan.item.kernel**2
        vector = max(issues, plan.steps * plan.target.slices)
        cycles += area * vector * plan.mac_weights.groups
        if plan.dw_weights is not None:
            passes = -(-plan.dw_weights.words // taps)
            halo = sum((t.rows + 4) * (t.cols + 4) for t in plan.tiles)
            cycles += halo * passes * plan.dw_weights.groups
        moved += plan.source.total_bytes * 2 + plan.target.total_bytes
        for run in (plan.dw_weights, plan.mac_weights):
            if run is not None:
                moved += run.total_bytes * (1 if run.resident else len(plan.tiles))
    per_cycle = design.device.ddr.peak_bytes_per_second / (design.clock_khz * 1000)
    return round(schedule.frames * (cycles + 1.5 * moved / min(per_cycle, 8)))


def draw_ddr(rng: np.random.Generator) -> DdrTiming:
    """Any memory that keeps the rules of model/ddr_timing.py."""

    def upto(most: int, least: int = 0) -> int:
        return int(rng.integers(least, most + 1))

    per_ck = 1 << upto(4)
    t_rfc, t_rp = upto(300, 1), upto(20, 1)
    return DdrTiming(
        ddr_khz=upto(1_200_000, 100_000),
        bytes_per_ck=per_ck,
        burst_bytes=per_ck << upto(3),
        banks=1 << upto(4),
        page_bytes=1 << upto(13, 8),
        t_rcd=upto(20, 1),
        t_rp=t_rp,
        t_ras=upto(40, 1),
        t_wr=upto(20),
        t_refi=t_rfc + t_rp + upto(6000, 200),
        t_rfc=t_rfc,
        write_gap=upto(6),
        turn_read_write=upto(20),
        turn_write_read=upto(30),
        lookahead=upto(60),
        read_delay=upto(100),
        write_delay=upto(60),
        command_latency=upto(8, 1),
        read_latency=upto(10),
        write_latency=upto(10),
        read_acceptance=int(rng.choice([1, 2, 3, 4, 8, 16, 64])),
        write_acceptance=int(rng.choice([1, 2, 3, 4, 8, 16, 64])),
        direction_limit=upto(8, 1),
    )


def _try(rng: np.random.Generator, hardware: Tables, number: int, bypass: bool) -> Case | None:
    """One draw; None where the compiler refuses it."""
    network = _draw_network(rng, hardware["accelerator"], bypass)
    tables: dict[str, Any] = {
        "name": f"case{number}",
        "device": hardware["device"],
        "clock_mhz": float(rng.choice([100, rng.integers(25_000, 400_000) / 1000])),
        "network": network,
        "precision": hardware["precision"],
        "accelerator": {**hardware["accelerator"], "tile": _draw_tile(rng, network)},
    }
    frames = int(rng.choice([1, 1, 2, 3]))
    ddr = draw_ddr(rng) if rng.random() < 0.6 else None
    data_seed = int(rng.integers(1 << 31))
    try:
        design = design_from_dict(tables)
    except TandemError:  # a pool on a single row, a kernel that is not built
        return None
    if ddr is not None:
        design = replace(design, device=replace(design.device, ddr=ddr))
    return Case(number, design, frames, data_seed) if fits(design, frames) else None


def _draw_tile(rng: np.random.Generator, network: Tables) -> dict[str, int]:
    """No limits, or limits that rarely divide the map."""
    if rng.random() < 0.4:
        return {"height": 0, "width": 0}
    return {
        key: int(rng.integers(0, network[key] + 2)) if rng.random() < 0.8 else 0
        for key in ("height", "width")
    }


def _draw_network(rng: np.random.Generator, accelerator: Tables, bypass: bool) -> Tables:
    kernels = [k for k in (1, 3, 5) if k <= accelerator["conv_kernel_max"]]
    depthwise = [f"dw{k}" for k in (3, 5) if k <= accelerator["dw_kernel_max"]]
    height, width = _draw_sides(rng)

    def channels() -> int:
        lanes = int(rng.choice([accelerator["in_lanes"], accelerator["out_lanes"]]))
        about = lanes * int(rng.integers(1, 4)) + int(rng.integers(-1, 2))
        return max(
            1, int(rng.choice([about, about, int(rng.integers(1, 20)), int(rng.integers(1, 50))]))
        )

    def convolution() -> str:
        return f"conv{rng.choice(kernels)}:{channels()}"

    def chain() -> list[str]:
        kind = rng.random()
        dw, pool = str(rng.choice(depthwise)), str(rng.choice(["maxpool", "avgpool"]))
        if kind < 0.35:  # what a bundle mostly is
            return [dw, f"conv1:{channels()}"] + ([pool] if rng.random() < 0.5 else [])
        if kind < 0.45:
            return [pool] * int(rng.integers(1, 3))
        if kind < 0.55:
            return [dw] * int(rng.integers(1, 3)) + ([pool] if rng.random() < 0.4 else [])
        if kind < 0.7:
            return [convolution()] + ([pool] if rng.random() < 0.4 else [])
        tokens: list[str] = []
        for _ in range(int(rng.integers(1, 6))):
            layer = str(rng.choice([dw, convolution(), convolution(), pool]))
            tokens += [layer, "relu"] if "pool" not in layer and rng.random() < 0.2 else [layer]
        return tokens

    head = [f"conv{rng.choice(kernels)}:{max(1, channels() // 2)}"]
    if rng.random() < 0.5:
        head = [*[t for t in chain() if "pool" not in t or rng.random() < 0.5], *head]
    network = {
        "channels": int(rng.choice([1, 3, channels(), int(rng.integers(1, 12))])),
        "height": height,
        "width": width,
        "bundles": [chain() for _ in range(int(rng.integers(0, 4)))],
        "head": head,
    }
    return {**network, **_draw_bypass(rng, chain, head)} if bypass else network


def _draw_bypass(
    rng: np.random.Generator, chain: Callable[[], list[str]], head: list[str]
) -> Tables:
    """Bundles and sides in which a bypass finds a map twice its size."""
    before = [chain() for _ in range(int(rng.integers(1, 3)))]
    pools = sum("pool" in layer for layers in before for layer in layers)
    between = [
        [layer for layer in chain() if "pool" not in layer and layer != "relu"] or ["dw3"]
        for _ in range(int(rng.integers(1, 3)))
    ]
    halved = between[int(rng.integers(len(between)))]
    place = int(rng.choice([0, len(halved), int(rng.integers(len(halved) + 1))]))
    halved.insert(place, "maxpool" if rng.random() < 0.5 else "avgpool")
    if rng.random() < 0.2:  # nothing but the pool
        del halved[place + 1 :], halved[:place]
    bypass = f"bypass:{len(before) - 1}"
    chains = [*before, *between, *([chain()] if rng.random() < 0.7 else []), head]
    at = len(before) + len(between)
    chains[at] = [bypass, *chains[at]]
    height, width = (
        (2 * int(rng.integers(1, 5)) << pools) + int(rng.integers(1 << pools)) for _ in range(2)
    )
    return {"height": height, "width": width, "bundles": chains[:-1], "head": chains[-1]}


def _draw_sides(rng: np.random.Generator) -> tuple[int, int]:
    height, width = int(rng.integers(2, 19)), int(rng.integers(2, 23))
    kind = rng.random()
    if kind < 0.08:
        return 1, int(rng.integers(1, 60))
    if kind < 0.16:
        return int(rng.integers(1, 60)), 1
    if kind < 0.3:
        return height * 2 + 1, width // 2 + 1
    return height, width
