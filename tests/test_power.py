"""The power model: its terms and how they grow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model.design import Design, load_design
from model.power import Power, estimate_power
from model.resources import estimate_resources

TRAFFIC = 340e6  # bytes per second, DNN-A at 82 frames a second


@pytest.fixture(scope="module")
def dnn_a(root: Path) -> Design:
    return load_design(root / "designs" / "dnn_a.toml")


def power(design: Design, utilisation: float = 0.9, traffic: float = TRAFFIC) -> Power:
    return estimate_power(design, estimate_resources(design), utilisation, traffic)


def test_energy_of_a_frame_is_its_power_over_its_rate(dnn_a: Design) -> None:
    found = power(dnn_a)
    assert sum(found.energy_mj(82.3).values()) == pytest.approx(1000 * found.total_w / 82.3)


def test_the_total_is_the_sum_of_its_terms(dnn_a: Design) -> None:
    found = power(dnn_a)
    assert found.total_w == pytest.approx(sum(found.record().values()), abs=1e-3)


def test_static_power_stays_and_dynamic_power_follows_the_clock(dnn_a: Design) -> None:
    slow, fast = power(dnn_a), power(replace(dnn_a, clock_khz=2 * dnn_a.clock_khz))
    assert (fast.static, fast.processing_system) == (slow.static, slow.processing_system)
    for name in ("clock", "dsp", "bram", "logic"):
        assert getattr(fast, name) == pytest.approx(2 * getattr(slow, name))


def test_idle_multipliers_and_an_idle_memory_take_nothing(dnn_a: Design) -> None:
    found = power(dnn_a, utilisation=0.0, traffic=0.0)
    assert (found.dsp, found.bram, found.ddr) == (0.0, 0.0, 0.0)


def test_each_chip_family_has_its_own_figures(root: Path) -> None:
    ultra = load_design(root / "designs" / "tiny_ultra96.toml")
    tiny = load_design(root / "designs" / "tiny.toml")
    assert power(ultra).processing_system != power(tiny).processing_system
