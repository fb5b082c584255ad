"""Builds simulations and runs cocotb benches on them.

`build` compiles SystemVerilog into a Verilator executable, cached by content: the key is a hash of
everything that decides the result; under a lock on that key the design is compiled in a scratch
directory beside the cache and renamed into place as the last step. So a directory named after a key
is complete, whenever a process was killed. `run` starts the executable with a bench in it.

cocotb's own runner is not used: it passes ``--public-flat-rw``, which makes every signal visible to
VPI and costs up to 1.8 x in speed. Here only the modules that the caller names are public.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import RunFailed, TandemError
from rtl_sim.cache import lock
from rtl_sim.toolchain import cocotb_libraries, execute, find_toolchain, libpython
from rtl_sim.verilate import EXECUTABLE, FAST, QUICK, Plan, first_error, ordered, verilate

RANDOM_SEED = 1


class SimulationFailed(RunFailed):
    """A bench failed, or the simulation ended without a verdict. Told in one line."""


@dataclass(frozen=True)
class Build:
    """A compiled simulation."""

    directory: Path  # holds the executable, manifest.json and build.log
    top: str
    optimised: bool
    cached: bool  # True: found, not compiled by this call

    @property
    def executable(self) -> Path:
        """The simulator."""
        return self.directory / EXECUTABLE


@dataclass(frozen=True)
class BenchResult:
    """One passed cocotb test."""

    name: str
    wall_seconds: float
    sim_ns: float


@dataclass(frozen=True)
class RunResult:
    """A simulation whose tests all passed."""

    tests: tuple[BenchResult, ...]
    wall_seconds: float  # of the whole process, start-up included
    log: Path


def build(
    sources: Sequence[Path],
    top: str,
    *,
    parameters: Mapping[str, int | str] | None = None,
    defines: Mapping[str, int | str] | None = None,
    public: Sequence[str] = (),
    build_root: Path,
    optimise: bool = True,
    waveform: bool = False,
) -> Build:
    """Compile `top`, or find it compiled.

    sources: packages first, then modules in any order. parameters, defines: integers, or strings
    without quotes. public: what VPI may see besides the top module's signals, each ``module`` (all
    its variables) or ``module.variable``. optimise: False compiles faster, runs slower and starts
    registers at random values, which suits unit benches. waveform: `run` can write one.

    TandemError: a tool or a source is missing, or Verilator refuses the design (its first error).
    """
    tools = find_toolchain()
    plan = Plan(
        sources=tuple(_source(path) for path in sources),
        top=top,
        parameters=ordered(parameters or {}),
        defines=ordered(defines or {}),
        public=(top, *public),
        profile=FAST if optimise else QUICK,
        waveform=waveform,
    )
    root = _build_root(build_root)
    directory = root / plan.key(tools)
    cached = (directory / EXECUTABLE).exists()
    if not cached:
        with lock(directory):
            cached = (directory / EXECUTABLE).exists()  # another process was faster
            if not cached:
                verilate(plan, tools, root, directory)
    return Build(directory, top, optimise, cached)


def run(
    build: Build,
    test_module: str,
    *,
    testcase: str | None = None,
    plusargs: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    work_dir: Path,
    timeout_s: float = 600.0,
    waveform: Path | None = None,
) -> RunResult:
    """Run the cocotb tests of `test_module` (a dotted name) inside the simulation.

    testcase: only the tests of that name. plusargs: with their ``+``. env: extra variables.
    work_dir: created; the working directory, gets simulation.log and results.xml.
    timeout_s: seconds of wall time, then the simulation is killed. waveform: every signal is
    written to this FST file; for a build made for that.

    SimulationFailed: a test failed, none ran, or the process died (the first error line).
    """
    work_dir = work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    results = work_dir / "results.xml"
    results.unlink(missing_ok=True)
    log = work_dir / "simulation.log"
    arguments = list(plusargs)
    if not build.optimised:
        arguments += ["+verilator+rand+reset+2", f"+verilator+seed+{RANDOM_SEED}"]
    if waveform is not None:
        arguments += ["--trace", "--trace-file", str(waveform)]
    variables = _environment(build, test_module, testcase, results)
    variables.update(env or {})
    started = time.perf_counter()
    status = execute(
        [str(build.executable), *arguments],
        cwd=work_dir,
        env=variables,
        log=log,
        timeout_s=timeout_s,
    )
    wall_seconds = time.perf_counter() - started
    where = f"{test_module} on {build.top}"
    if status == -signal.SIGKILL:
        raise SimulationFailed(f"{where}: not finished after {timeout_s:g} s, see {log}")
    complaint = _design_error(log)
    if complaint is not None:
        raise SimulationFailed(f"{where}: {complaint}, see {log}")
    tests = _verdict(results, where, log)
    if status != 0:
        raise SimulationFailed(f"{where}: {_log_error(log)} (exit status {status}, see {log})")
    return RunResult(tests, wall_seconds, log)


def _source(path: Path) -> Path:
    if not Path(path).is_file():
        raise TandemError(f"the RTL source {path} does not exist: check the list of sources.")
    return Path(path).resolve()


def _build_root(path: Path) -> Path:
    root = path.resolve()
    if re.search(r"\s", str(root)):
        raise TandemError(
            f"the build directory {str(root)!r} has a space in its path, which Verilator's "
            "Makefiles cannot handle: use one without."
        )
    root.mkdir(parents=True, exist_ok=True)
    return root


def _environment(
    build: Build, test_module: str, testcase: str | None, results: Path
) -> dict[str, str]:
    """The variables by which cocotb 2.1 finds Python, the design and the tests."""
    # cocotb's own settings in the caller's environment would change what a bench does.
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COCOTB_", "GPI_", "PYGPI_"))
    }
    gpi_module = next((cocotb_libraries().parent).glob("simulator.*.so"))
    variables.update(
        {
            "COCOTB_TOPLEVEL": build.top,
            "COCOTB_TEST_MODULES": test_module,
            "COCOTB_RESULTS_FILE": str(results),
            "COCOTB_RANDOM_SEED": str(RANDOM_SEED),
            "COCOTB_TRUST_INERTIAL_WRITES": "1",  # Verilator's are; lets Clock use the GPI clock
            "COCOTB_ANSI_OUTPUT": "0",
            "TOPLEVEL_LANG": "verilog",
            "LIBPYTHON_LOC": str(libpython()),
            "GPI_USERS": f"{libpython()};{gpi_module},initialize",
            "PYGPI_PYTHON_BIN": sys.executable,
            "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
        }
    )
    if testcase is not None:
        variables["COCOTB_TEST_FILTER"] = rf"(^|\.){re.escape(testcase)}$"
    return variables


def _verdict(results: Path, where: str, log: Path) -> tuple[BenchResult, ...]:
    try:
        cases = list(ET.parse(results).getroot().iter("testcase"))  # noqa: S314  cocotb wrote it
    except (FileNotFoundError, ET.ParseError):
        raise SimulationFailed(f"{where}: {_log_error(log)} (no results, see {log})") from None
    for case in cases:
        for kind in ("failure", "error"):
            problem = case.find(kind)
            if problem is not None:
                name = case.get("name")
                raise SimulationFailed(f"{where}: {name}: {_reason(problem)}, see {log}")
    ran = [case for case in cases if case.find("skipped") is None]
    if not ran:
        raise SimulationFailed(f"{where}: no test ran, see {log}")
    return tuple(
        BenchResult(case.get("name", ""), float(case.get("time", 0)), _sim_ns(case)) for case in ran
    )


def _reason(problem: ET.Element) -> str:
    text = problem.get("message") or problem.text or problem.get("type") or "failed"
    kind = problem.get("type") or problem.get("error_type") or ""
    line = next((part.strip() for part in text.splitlines() if part.strip()), "failed")
    return line if not kind or kind in line else f"{kind}: {line}"


def _sim_ns(case: ET.Element) -> float:
    for item in case.iter("property"):
        if item.get("name") == "sim_time_duration":
            return float(item.get("value", 0))
    return 0.0


def _design_error(log: Path) -> str | None:
    """What the design itself complained about ($fatal, $error), which explains all the rest."""
    found = re.search(r"^.*%(Fatal|Error): (?!.*Verilog \$stop).*$", _text(log), re.MULTILINE)
    return found.group().strip() if found else None


def _log_error(log: Path) -> str:
    found = re.search(r"^[\w.]*(Error|Exception): .*$", _text(log), re.MULTILINE)
    return found.group() if found else first_error(_text(log))


def _text(log: Path) -> str:
    return log.read_text(errors="replace")
