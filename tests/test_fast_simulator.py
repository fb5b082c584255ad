"""The fast engine says exactly what SimPy says: every event, every counter, every frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.compiled import version
from model.design import load_design
from model.events import Event
from model.fast_simulator import PackedEvents, simulate_fast
from model.program_writer import _Input, _last_producer, count_commands, write_commands
from model.schedule import compile_schedule
from model.simulator import simulate
from testbench.campaign_cases import draw_case

DESIGNS = ("tiny", "tiny_conv", "tiny_odd", "tiny_f16", "tiny_ultra96", "tiny_pixel", "tiny_bypass")
LARGE = ("dnn_a", "dnn_b", "dnn_c", "skynet", "skrskr")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 20), number=st.integers(0, 1 << 20))
def test_random_designs_memories_and_wirings_agree(seed: int, number: int) -> None:
    case = draw_case(seed, number)
    schedule = compile_schedule(case.design, case.frames)
    assert simulate_fast(schedule).same(simulate(schedule))


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("frames", [1, 4])
def test_designs_agree(root: Path, name: str, frames: int) -> None:
    schedule = compile_schedule(load_design(root / "designs" / f"{name}.toml"), frames)
    assert simulate_fast(schedule).same(simulate(schedule))


@pytest.mark.parametrize("name", LARGE)
def test_large_designs_agree(root: Path, name: str) -> None:
    schedule = compile_schedule(load_design(root / "designs" / f"{name}.toml"), 2)
    assert simulate_fast(schedule).same(simulate(schedule))


def test_another_run_is_the_same_and_another_design_is_not(root: Path) -> None:
    design = load_design(root / "designs" / "tiny.toml")
    first, second = (simulate_fast(compile_schedule(design, 2)) for _ in range(2))
    assert first.same(second)
    deeper = replace(design, accelerator=replace(design.accelerator, outstanding_bursts=1))
    assert not first.same(simulate_fast(compile_schedule(deeper, 2)))


def test_events_unpack_as_a_sequence(root: Path) -> None:
    schedule = compile_schedule(load_design(root / "designs" / "tiny.toml"))
    found, wanted = simulate_fast(schedule).events, simulate(schedule).events
    assert isinstance(found, PackedEvents)
    assert len(found) == len(wanted)
    assert found[0] == wanted[0]
    assert found[-1] == wanted[-1]
    assert list(found[3:7]) == list(wanted[3:7])
    assert found == wanted
    assert found != wanted[:-1]
    assert all(isinstance(event, Event) for event in found)


@pytest.mark.parametrize("number", range(0, 200, 4))
def test_the_last_tile_that_writes_a_window_is_found_without_looking_at_all(number: int) -> None:
    plans = compile_schedule(draw_case(5, number).design).plans
    rng = np.random.default_rng(number)
    for plan in plans:
        scale, target = plan.item.scale, plan.target
        top, left = int(rng.integers(target.height)), int(rng.integers(target.width))
        rows = int(rng.integers(1, target.height - top + 1))
        cols = int(rng.integers(1, target.width - left + 1))
        wanted = max(
            tile.index
            for tile in plan.tiles
            if tile.row // scale < top + rows
            and (tile.row + tile.rows) // scale > top
            and tile.col // scale < left + cols
            and (tile.col + tile.cols) // scale > left
        )
        assert _last_producer(plan, _Input(top, left, rows, cols, 0, 0)) == wanted
    assert count_commands(plans) == len(list(write_commands(plans)))


def test_the_version_of_a_kernel_follows_its_sources() -> None:
    from model import memory_kernel, memory_state  # noqa: PLC0415

    assert version(memory_kernel) != version(memory_kernel, memory_state)
    assert version(memory_kernel) == version(memory_kernel)
