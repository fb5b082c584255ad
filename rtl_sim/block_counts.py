"""DSP48E1 and RAMB18 of single modules of the RTL library, many of them in one run of Yosys.

Blocks are placed by the first passes of ``synth_xilinx``; what follows only maps the logic around
them. So a run ends there (``-run begin:fine``), which takes a tenth of the time and gives the same
blocks (``tests/test_hardware_studies.py``). Counts are kept by content, one file a module.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path

from model.errors import TandemError
from model.network_file import write_atomically
from rtl_sim.cache import lock, staged
from rtl_sim.generate import HDL, library_sources
from rtl_sim.lint import is_hardware
from rtl_sim.synth import BRAM18_CELLS, DSP_CELLS, FLAGS, LOG, YOSYS_PACKAGE, count_cells
from rtl_sim.synth_units import Library, first_error
from rtl_sim.toolchain import execute, yosys_command, yosys_environment, yosys_path

TOP = "units_top"
CELLS, INSTANCES = "cells.json", "instances.json"
PASSES = "-run begin:fine"
BATCH = 40  # modules a run; each run reads Yosys' libraries once


@dataclass(frozen=True)
class Unit:
    """A module of the library with its parameters by their SystemVerilog names, sorted."""

    module: str
    parameters: tuple[tuple[str, int], ...]

    @property
    def instance(self) -> str:
        """The module instantiated without connections, kept though nothing reads it."""
        values = ", ".join(f".{name}({value})" for name, value in self.parameters)
        return f"(* keep *) {self.module} #({values})"


def unit(module: str, **parameters: int) -> Unit:
    """A unit from parameters in any order."""
    return Unit(module, tuple(sorted(parameters.items())))


@dataclass(frozen=True)
class Blocks:
    """Hard blocks of a module, everything below it included."""

    dsp: int  # DSP48E1
    bram18: int  # RAMB18E1, a RAMB36E1 is two


class BlockCounter:
    """Counts modules with Yosys; what was counted before, also by a stopped run, is found."""

    def __init__(self, root: Path) -> None:
        """``root``: folder of the counts, Yosys' own cache beside it. TandemError: no Yosys."""
        yosys_command()  # refused here where Yosys is not installed
        self.tool = f"{YOSYS_PACKAGE} {metadata.version(YOSYS_PACKAGE)}"
        self._root = root.resolve()
        self._closures: dict[str, tuple[str, ...]] = {}

    def count(
        self, units: Iterable[Unit], advance: Callable[[int], None] = lambda _: None
    ) -> dict[Unit, Blocks]:
        """Blocks of every unit; ``advance`` is told how many more are there.

        TandemError: Yosys refuses a module (its first error line).
        """
        wanted = list(dict.fromkeys(units))
        (self._root / "blocks").mkdir(parents=True, exist_ok=True)
        missing = [item for item in wanted if not self._place(item).exists()]
        advance(len(wanted) - len(missing))
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            for item, blocks in self._run(batch).items():
                write_atomically(self._place(item), json.dumps(asdict(blocks)).encode())
            advance(len(batch))
        return {item: Blocks(**json.loads(self._place(item).read_text())) for item in wanted}

    @cached_property
    def _library(self) -> Library:
        sources = tuple(path for path in library_sources() if is_hardware(path))
        return Library(sources, TOP, TOP, self.tool, FLAGS)

    def _place(self, item: Unit) -> Path:
        code = [(HDL / f"{name}.sv").read_text() for name in self._closure(item.module)]
        facts = json.dumps([item.module, item.parameters, code, self.tool, FLAGS, PASSES])
        return self._root / "blocks" / f"{hashlib.sha256(facts.encode()).hexdigest()[:24]}.json"

    def _closure(self, module: str) -> tuple[str, ...]:
        if module not in self._closures:
            self._closures[module] = tuple(self._library.closure(module))
        return self._closures[module]

    def _run(self, batch: Sequence[Unit]) -> dict[Unit, Blocks]:
        directory = self._root / "run"
        with lock(directory), staged(directory) as scratch:
            top = scratch / f"{TOP}.sv"
            lines = [f"  {item.instance} u{number} ();" for number, item in enumerate(batch)]
            top.write_text("\n".join([f"module {TOP} ();", *lines, "endmodule", ""]))
            names = sorted({name for item in batch for name in self._closure(item.module)})
            sources = [*(HDL / f"{name}.sv" for name in names), top]
            listed = " ".join(yosys_path(path, scratch) for path in sources)
            commands = (
                f"read_verilog -sv {listed}; synth_xilinx {FLAGS} -top {TOP} {PASSES}; "
                f"tee -q -o {CELLS} stat -json; select *{TOP}; write_json -selected {INSTANCES}"
            )
            status = execute(
                [*yosys_command(), "-q", "-p", commands],
                cwd=scratch,
                env=yosys_environment(self._root.parent / "yowasp"),
                log=scratch / LOG,
            )
            if status != 0:
                raise TandemError(f"Yosys refused {TOP}: {first_error(scratch / LOG)}")
            return _read(batch, scratch)


def _read(batch: Sequence[Unit], directory: Path) -> dict[Unit, Blocks]:
    modules: dict[str, Mapping[str, int]] = {
        name.removeprefix("\\"): facts["num_cells_by_type"]
        for name, facts in json.loads((directory / CELLS).read_text())["modules"].items()
    }
    (top,) = json.loads((directory / INSTANCES).read_text())["modules"].values()
    found = {}
    for number, item in enumerate(batch):
        cells = count_cells(modules, top["cells"][f"u{number}"]["type"].removeprefix("\\"))
        found[item] = Blocks(
            dsp=sum(cells[name] * weight for name, weight in DSP_CELLS.items()),
            bram18=sum(cells[name] * weight for name, weight in BRAM18_CELLS.items()),
        )
    return found
