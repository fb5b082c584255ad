"""Claims about the cycle-level simulator that need no RTL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.ddr_timing import DdrTiming
from model.design import Design, load_design
from model.events import Event, mismatches, read_events, write_events
from model.schedule import compile_schedule
from model.sim_axi import BurstMemory
from model.simulator import Simulation, simulate

DESIGNS = ("tiny", "tiny_conv", "tiny_odd", "tiny_f16", "tiny_ultra96", "tiny_pixel", "tiny_bypass")


def load(root: Path, name: str) -> Design:
    return load_design(root / "designs" / f"{name}.toml")


@pytest.mark.parametrize("name", DESIGNS)
def test_two_runs_are_identical(root: Path, name: str) -> None:
    first, second = (simulate(compile_schedule(load(root, name), 2)) for _ in range(2))
    assert first.events == second.events
    assert first.units == second.units


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("frames", [1, 3])
def test_classes_of_every_unit_sum_to_the_total(root: Path, name: str, frames: int) -> None:
    result = simulate(compile_schedule(load(root, name), frames))
    for unit, account in result.units.items():
        classes = (account.busy, account.wait_input, account.wait_output, account.wait_ddr)
        assert min(classes) >= 0, unit
        assert sum(classes) == result.total_cycles, unit


@pytest.mark.parametrize("name", DESIGNS)
def test_every_tile_starts_and_ends_in_every_unit_it_visits(root: Path, name: str) -> None:
    schedule = compile_schedule(load(root, name))
    events = simulate(schedule).events
    for unit in ("load", "mac", "post", "store"):
        for kind in ("tile_start", "tile_end"):
            found = [e for e in events if e.unit == unit and e.kind == kind]
            assert len(found) == schedule.stores_per_frame
    done = [e for e in events if e.kind == "bundle_done"]
    assert len(done) == len({plan.item.bundle for plan in schedule.plans})
    assert [e.kind for e in events][-1] == "tile_end" or events[-1].kind == "frame_done"


def same(left: Simulation, right: Simulation) -> bool:
    return (left.events, left.units, left.ddr) == (right.events, right.units, right.ddr)


@pytest.mark.parametrize("name", [*DESIGNS, "dnn_a"])
def test_compiled_memory_equals_burst_by_burst_memory(root: Path, name: str) -> None:
    schedule = compile_schedule(load(root, name), 1 if name == "dnn_a" else 2)
    assert same(simulate(schedule), simulate(schedule, BurstMemory))


def random_timing(timing: DdrTiming, rng: np.random.Generator) -> DdrTiming:
    def near(value: int) -> int:
        return int(rng.integers(max(1, value // 3), 3 * value + 2))

    names = ("t_rcd", "t_rp", "t_ras", "t_wr", "write_gap", "turn_read_write", "turn_write_read")
    names += ("lookahead", "read_delay", "write_delay", "command_latency", "read_latency")
    changes = {name: near(getattr(timing, name)) for name in names}
    changes |= {
        "read_acceptance": int(rng.integers(1, 9)),
        "write_acceptance": int(rng.integers(1, 9)),
        "t_refi": int(rng.integers(600, 5000)),
        "ddr_khz": int(rng.integers(100_000, 1_200_000)),
    }
    return replace(timing, **changes)


@pytest.mark.parametrize("case", range(40))
def test_memories_agree_under_random_timing_and_wiring(root: Path, case: int) -> None:
    rng = np.random.default_rng(case)
    design = load(root, str(rng.choice(DESIGNS)))
    acc = design.accelerator
    wiring = {name: int(rng.integers(0, 4)) for name in ("program", "weight", "load", "store")}
    acc = replace(
        acc,
        ports=replace(acc.ports, **wiring),
        outstanding_bursts=int(rng.integers(1, 17)),
        command_depth=int(rng.integers(2, 9)),
    )
    device = replace(design.device, ddr=random_timing(design.device.ddr, rng))
    clock = int(rng.integers(40_000, 300_000))
    design = replace(design, accelerator=acc, device=device, clock_khz=clock)
    schedule = compile_schedule(design, int(rng.integers(1, 4)))
    assert same(simulate(schedule), simulate(schedule, BurstMemory)), f"case {case}"


def test_a_faster_memory_clock_does_not_slow_a_design_down(root: Path) -> None:
    design = load(root, "tiny")
    timing = replace(design.device.ddr, ddr_khz=4 * design.device.ddr.ddr_khz)
    faster = replace(design, device=replace(design.device, ddr=timing))
    slow, fast = (simulate(compile_schedule(d)).total_cycles for d in (design, faster))
    assert fast <= slow


def test_frames_overlap(root: Path) -> None:
    design = load(root, "tiny")
    one = simulate(compile_schedule(design, 1))
    four = simulate(compile_schedule(design, 4))
    assert four.frame_done_cycles[0] >= one.latency_cycles - 50
    assert four.cycles_per_frame < one.latency_cycles


def test_event_files_come_back_as_written(tmp_path: Path, root: Path) -> None:
    events = simulate(compile_schedule(load(root, "tiny"))).events
    write_events(tmp_path / "events.txt", events)
    assert read_events(tmp_path / "events.txt") == list(events)


def test_mismatches_name_the_side_that_has_the_event() -> None:
    common, extra = Event(1, "mac", "tile_start", 0, 0), Event(2, "mac", "tile_end", 0, 0)
    assert mismatches([common, extra], [common]) == [("left", extra)]
    assert mismatches([common], [common, common]) == [("right", common)]
