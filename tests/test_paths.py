"""Longest paths: the walk through a netlist, and that the committed table still holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model.design import load_design
from rtl_sim.paths import CARRY_IN_NS, FF_NS, LUT_NS, NET_NS, analyse, longest_paths, read_table

ROOT = Path(__file__).resolve().parent.parent
MAPPER_CELLS = 2  # what a change elsewhere may move: the mapper takes slack to save area
SLOWEST_NS = 8.0  # 100 MHz with a fifth of the period left to placement


def _cell(kind: str, source: str, **pins: tuple[str, int]) -> dict[str, Any]:
    return {
        "type": kind,
        "parameters": {},
        "attributes": {"src": source},
        "port_directions": {pin: direction for pin, (direction, _) in pins.items()},
        "connections": {pin: [bit] for pin, (_, bit) in pins.items()},
    }


def test_a_path_goes_from_register_to_register_and_belongs_to_its_end() -> None:
    module = {
        "cells": {
            "a": _cell("FDRE", "from.sv:1", D=("input", 9), Q=("output", 2), C=("input", 1)),
            "l": _cell("LUT2", "", I0=("input", 2), O=("output", 3)),
            "c": _cell("CARRY4", "", S=("input", 3), O=("output", 4)),
            "b": _cell("FDRE", "to.sv:7", D=("input", 4), Q=("output", 9), C=("input", 1)),
        },
        "netnames": {"sum_q": {"bits": [9]}, "a_q": {"bits": [2]}},
    }
    slowest, direct = analyse(module).units
    assert (slowest.unit, slowest.cells, slowest.start, slowest.end) == ("to", 2, "a_q", "sum_q")
    assert slowest.estimate_ns == pytest.approx(FF_NS + LUT_NS + NET_NS + CARRY_IN_NS, abs=0.01)
    assert (direct.unit, direct.cells, direct.start) == ("from", 0, "sum_q")


def test_a_product_without_its_register_is_passed_through() -> None:
    pins = {"A": ("input", 2), "PCIN": ("input", 5), "P": ("output", 6), "PCOUT": ("output", 7)}
    module = {
        "cells": {
            "a": _cell("FDRE", "a.sv:1", D=("input", 8), Q=("output", 2), C=("input", 1)),
            "low": _cell("DSP48E1", "", **pins),
            "end": _cell("FDRE", "end.sv:1", D=("input", 6), Q=("output", 8), C=("input", 1)),
        },
        "netnames": {},
    }
    assert {path.unit: path.estimate_ns for path in analyse(module).units}["end"] > 3.0


@pytest.mark.full
def test_no_path_is_longer_than_the_table_says(build_root: Path) -> None:
    table = read_table()
    found = longest_paths(load_design(ROOT / "designs" / "tiny.toml"), build_root.parent / "yosys")
    assert {path.unit for path in found} <= set(table)
    assert max(path.cells for path in found) <= max(path.cells for path in table.values())
    for path in found:
        assert path.cells <= table[path.unit].cells + MAPPER_CELLS, path
    assert max(path.estimate_ns for path in found) <= SLOWEST_NS
