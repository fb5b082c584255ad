"""Lints the SystemVerilog: Verilator ``-Wall`` and Yosys ``check -assert``, on the library and on
generated tops.

``python -m rtl_sim.lint`` prints one line a stage and exits with 1 if anything is not clean. Every
module of the library is its own top with its default parameters, so those must be legal. A module
whose first comment says "Simulation only" is not shown to Yosys.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import TandemError
from rtl_sim.generate import generate
from rtl_sim.toolchain import (
    Toolchain,
    execute,
    find_toolchain,
    yosys_command,
    yosys_environment,
    yosys_path,
)

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "rtl_sim" / "hdl"
BENCH_LIBRARY = ROOT / "testbench" / "hdl"
DESIGNS = ("designs/dnn_a.toml", "designs/tiny_packed.toml", "designs/tiny.toml")
SIMULATION_ONLY = "Simulation only"
WORK = ROOT / "build" / "lint"
YOSYS_CACHE = ROOT / "build" / "yowasp"
SHOWN_LINES = 12
# A package serves many modules; each uses a part of it. All other waivers stand in the source.
WAIVERS = '`verilator_config\nlint_off -rule UNUSEDPARAM -file "*_pkg.sv"\n'


@dataclass(frozen=True)
class Target:
    """One top module and all sources it may need, packages first."""

    top: str
    sources: tuple[Path, ...]
    synthesisable: bool

    @property
    def own(self) -> Path:
        """The file of the top module."""
        return next(path for path in self.sources if path.stem == self.top)

    @property
    def label(self) -> str:
        """Name in reports; a generated top is told apart by its design."""
        folder = self.own.parent
        return self.top if folder in (LIBRARY, BENCH_LIBRARY) else f"{self.top} of {folder.name}"


@dataclass(frozen=True)
class Finding:
    """A target that a tool refused, with the tool's own lines."""

    target: Target
    lines: tuple[str, ...]


def library_targets() -> list[Target]:
    """Every module of the library and of the test bench's SystemVerilog."""
    library = in_order(LIBRARY.glob("*.sv"))
    bench = in_order(BENCH_LIBRARY.glob("*.sv"))
    targets = [Target(path.stem, library, is_hardware(path)) for path in _modules(library)]
    targets += [Target(path.stem, library + bench, False) for path in _modules(bench)]
    return targets


def generated_targets(out_dir: Path) -> list[Target]:
    """The tops generated for the designs of the project, written below `out_dir`."""
    library = in_order(LIBRARY.glob("*.sv"))
    targets = []
    for design in DESIGNS:
        directory = out_dir / Path(design).stem
        own = in_order(generate(ROOT / design, directory))
        targets.append(Target(own[-1].stem, in_order([*library, *own]), True))
    return targets


def in_order(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Sources in compilation order: packages first, tops last."""
    return tuple(sorted(paths, key=lambda path: (_rank(path), path.name)))


def _rank(path: Path) -> int:
    if path.stem.endswith("_pkg"):
        return 0
    return 2 if path.stem.endswith("top") else 1


def _modules(sources: Sequence[Path]) -> list[Path]:
    return [path for path in sources if not path.stem.endswith("_pkg")]


def is_hardware(path: Path) -> bool:
    """False for a module whose opening comment says that it is for simulation only."""
    opening = re.split(r"^\s*module\b", path.read_text(), maxsplit=1, flags=re.MULTILINE)[0]
    return SIMULATION_ONLY not in opening


def verilator_findings(targets: Sequence[Target], work_dir: Path) -> list[Finding]:
    """What ``verilator --lint-only -Wall`` says to each target."""
    tools = find_toolchain()
    (work_dir / "waivers.vlt").write_text(WAIVERS)
    checks = [_verilator(target, tools, work_dir) for target in targets]
    return [finding for finding in checks if finding is not None]


def _verilator(target: Target, tools: Toolchain, work_dir: Path) -> Finding | None:
    packages = [str(path) for path in target.sources if path.stem.endswith("_pkg")]
    folders = {str(path.parent) for path in target.sources}
    log = work_dir / "verilator.log"
    command = [str(tools.perl), str(tools.verilator), "--lint-only", "-Wall", "--no-timing"]
    command += ["--top-module", target.top]
    command += [word for folder in sorted(folders) for word in ("-y", folder)]
    command += ["waivers.vlt", *packages, str(target.own)]
    status = execute(command, cwd=work_dir, env=tools.environment(), log=log)
    if status == 0:
        return None
    return Finding(target, tuple(x for x in _lines(log) if x.startswith("%")))


def yosys_findings(targets: Sequence[Target], work_dir: Path) -> list[Finding]:
    """What Yosys says to each target: does it elaborate, do drivers conflict, are there loops."""
    findings = []
    for sources in dict.fromkeys(target.sources for target in targets):
        group = [target for target in targets if target.sources == sources and target.synthesisable]
        if group and _yosys(sources, group, work_dir):
            # One run says whether all is well; on trouble, one run a target says where.
            runs = [Finding(target, _yosys(sources, [target], work_dir)) for target in group]
            findings += [finding for finding in runs if finding.lines]
    return findings


def _yosys(sources: Sequence[Path], targets: Sequence[Target], work_dir: Path) -> tuple[str, ...]:
    """Yosys' last lines, empty if it is content with every target."""
    names = " ".join(yosys_path(path, work_dir) for path in sources if is_hardware(path))
    script = [f"read_verilog -sv -defer {names}", "design -save library"]
    for target in targets:
        script += [f"hierarchy -check -top {target.top}", "proc", "check -assert"]
        script += ["design -load library"]
    log = work_dir / "yosys.log"
    status = execute(
        [*yosys_command(), "-q", "-p", "; ".join(script)],
        cwd=work_dir,
        env=yosys_environment(YOSYS_CACHE),
        log=log,
    )
    return () if status == 0 else _lines(log)


def _lines(log: Path) -> tuple[str, ...]:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return tuple(lines or ["failed without a word"])


def main() -> int:
    """Lint everything; the exit status."""
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as name:
        directory = Path(name)
        targets = library_targets() + generated_targets(directory)
        hardware = sum(target.synthesisable for target in targets)
        clean = _report("verilator -Wall", len(targets), verilator_findings(targets, directory))
        clean &= _report("yosys check", hardware, yosys_findings(targets, directory))
    return 0 if clean else 1


def _report(stage: str, checked: int, findings: Sequence[Finding]) -> bool:
    print(f"{stage}: {checked - len(findings)} of {checked} modules clean")
    for finding in findings:
        print(f"  {finding.target.label}:")
        print("".join(f"    {line}\n" for line in finding.lines[:SHOWN_LINES]), end="")
    return not findings


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TandemError as error:
        sys.exit(str(error))
