"""Every cycle of every unit has one cause, and the causes refine the hardware's counters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model import burst_log as burst_log_module
from model import memory_state as at
from model.burst_log import burst_log
from model.ddr_causes import Bus, read_gaps
from model.design import load_design
from model.errors import TandemError
from model.fast_simulator import simulate_fast
from model.schedule import Schedule, compile_schedule
from model.simulator import Simulation, simulate
from model.spans import CAUSES, CLASSES, UNITS
from model.stalls import Stalls, by_bundle, counters, find_stalls, stall_account
from model.timeline import build_timeline
from testbench.campaign_cases import draw_case

DESIGNS = ("tiny", "tiny_conv", "tiny_odd", "tiny_f16", "tiny_ultra96", "tiny_pixel", "tiny_bypass")


def closed(schedule: Schedule, run: Simulation) -> Stalls:
    timeline = build_timeline(schedule, run)
    for name in UNITS:
        spans = timeline.units[name]
        assert spans.start[0] == 1
        assert (spans.cycles > 0).all() and spans.end[-1] == run.total_cycles + 1
    found = Stalls.of(timeline)
    bundles = {p.item.bundle for p in schedule.plans}
    for name in UNITS:
        assert sum(found.units[name].values()) == run.total_cycles
        for cause in CAUSES:
            parts = [account[cause] for account in found.bundles[name].values()]
            assert min(parts) >= 0 and sum(parts) == found.units[name][cause]
        assert set(found.bundles[name]) <= bundles | {0}
        wanted = {kind: getattr(run.units[name], kind) for kind in CLASSES}
        assert counters(found.units[name]) == wanted
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 20), number=st.integers(0, 1 << 20))
def test_random_designs_memories_and_wirings_are_closed_on_both_engines(
    seed: int, number: int
) -> None:
    case = draw_case(seed, number)
    schedule = compile_schedule(case.design, case.frames)
    fast = closed(schedule, simulate_fast(schedule))
    assert fast == closed(schedule, simulate(schedule))


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("frames", [1, 3])
def test_designs_are_closed(root: Path, name: str, frames: int) -> None:
    schedule = compile_schedule(load_design(root / "designs" / f"{name}.toml"), frames)
    closed(schedule, simulate_fast(schedule))


@pytest.mark.parametrize("name", ["dnn_a", "skynet", "skrskr"])
def test_large_designs_are_closed(root: Path, name: str) -> None:
    schedule = compile_schedule(load_design(root / "designs" / f"{name}.toml"))
    closed(schedule, simulate_fast(schedule))


def test_the_functions_say_what_the_object_says(root: Path) -> None:
    schedule = compile_schedule(load_design(root / "designs" / "tiny.toml"), 2)
    run = simulate_fast(schedule)
    found = find_stalls(schedule, run)
    assert stall_account(schedule, run) == found.units
    assert by_bundle(schedule, run) == found.bundles
    record = found.record()
    assert record["units"] == found.units
    assert record["bundles"]["mac"]["0"] == found.bundles["mac"][0]  # type: ignore[index]


def test_the_log_is_what_the_memory_counted(root: Path) -> None:
    schedule = compile_schedule(load_design(root / "designs" / "tiny_bypass.toml"), 2)
    run = simulate_fast(schedule)
    log = burst_log(schedule, run)
    beats, write = log.column(at.G_BEATS), log.column(at.G_MASTER) == at.STORE
    assert 8 * beats[~write].sum() == run.ddr.bytes_read
    assert 8 * beats[write].sum() == run.ddr.bytes_written
    assert (log.column(at.G_END) - log.column(at.G_START)).sum() == run.ddr.busy_ck
    assert (np.diff(log.column(at.G_GRANT)) > 0).all()
    order = (at.G_REQUEST, at.G_OFFER, at.G_ACCEPT, at.G_VISIBLE, at.G_GRANT)
    stages = np.stack([log.column(field) for field in order])
    assert (np.diff(stages, axis=0) >= 0).all()
    assert (log.column(at.G_BEFORE)[1:] == log.column(at.G_FREE)[:-1]).all()


def changed(schedule: Schedule, **timing: int) -> dict[str, dict[str, int]]:
    design = schedule.design
    device = replace(design.device, ddr=replace(design.device.ddr, **timing))
    slower = compile_schedule(replace(design, device=device), schedule.frames)
    return stall_account(slower, simulate_fast(slower))


def waits(account: dict[str, dict[str, int]], cause: str) -> int:
    return sum(account[unit][cause] for unit in ("sequencer", "load", "weight", "store"))


def test_each_cause_follows_what_causes_it(root: Path) -> None:
    schedule = compile_schedule(load_design(root / "designs" / "tiny_ultra96.toml"))
    base = changed(schedule)
    slow = changed(schedule, read_latency=200)
    assert waits(slow, "ddr_latency") > 2 * waits(base, "ddr_latency")
    rare = changed(schedule, t_refi=10_000_000)
    assert waits(rare, "refresh") == 0 < waits(base, "refresh")
    narrow = changed(schedule, bytes_per_ck=1)
    assert waits(narrow, "ddr_bandwidth") > 20 * waits(base, "ddr_bandwidth") + 1000


def test_sharing_a_port_is_arbitration_and_too_few_places_are_latency(root: Path) -> None:
    design = load_design(root / "designs" / "tiny.toml")

    def account(**changes: Any) -> dict[str, dict[str, int]]:
        other = replace(design, accelerator=replace(design.accelerator, **changes))
        schedule = compile_schedule(other)
        return stall_account(schedule, simulate_fast(schedule))

    ports = type(design.accelerator.ports)
    own, one = account(ports=ports(0, 1, 2, 3)), account(ports=ports(0, 0, 0, 0))
    assert waits(one, "arbitration") > 5 * waits(own, "arbitration")
    single = account(outstanding_bursts=1)
    assert waits(single, "ddr_latency") > 2 * waits(account(), "ddr_latency")
    assert waits(single, "arbitration") <= waits(account(), "arbitration") + 50


def test_a_unit_alone_on_its_memory_meets_no_arbitration(root: Path) -> None:
    """The first segment of the program: nobody else has asked for anything yet."""
    schedule = compile_schedule(load_design(root / "designs" / "tiny.toml"))
    run = simulate_fast(schedule)
    log = burst_log(schedule, run)
    first = int(log.column(at.G_FIRST)[0])
    rows = np.array([0])
    pieces = read_gaps(log, Bus(log), rows, np.array([1]), np.array([first]))
    assert pieces.start[0] == 1 and pieces.end[-1] == first
    assert set(pieces.cause.tolist()) == {0}  # latency


def test_a_run_that_is_too_long_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(burst_log_module, "BURSTS_MAX", 100)
    schedule = compile_schedule(load_design(root / "designs" / "tiny.toml"))
    run = simulate_fast(schedule)
    with pytest.raises(TandemError, match="ask for fewer frames"):
        find_stalls(schedule, run)
