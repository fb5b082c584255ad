"""One Verilator compilation: what decides its result, and the commands that produce it."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import TandemError
from rtl_sim.cache import lock, staged
from rtl_sim.toolchain import Toolchain, cocotb_libraries, cocotb_main, execute

EXECUTABLE = "Vtop"
BUILD_JOBS = 2
WAVEFORM = "--trace-fst"
WAVEFORM_LIBRARIES = ("-llz4", "-lz")
# Statements in one generated C++ file; keeps each under about 20 s of g++ and fills two cores.
OUTPUT_SPLIT = 4000

COMMON_FLAGS = (
    "--cc",
    "--exe",
    "--vpi",
    "--prefix",
    "Vtop",
    "--no-timing",  # clocks come from cocotb's GPI clock, there are no delays in a design
    "-Wno-fatal",  # warnings are errors in `make lint`, which says them better
    "-Wno-lint",
    "-Wno-style",
)


@dataclass(frozen=True)
class Profile:
    """How hard to compile."""

    verilator: tuple[str, ...]
    fast: str  # g++ optimisation of what runs every cycle
    slow: str  # of what runs once
    runtime: str  # of Verilator's library


# Speed of the simulation first; what is never assigned is 0.
FAST = Profile(("-O3", "--x-assign", "fast", "--x-initial", "fast"), "-O2", "-O0", "-O2")
# Speed of the compilation first; what is never assigned is random (see `build.run`), so that a
# missing reset shows.
QUICK = Profile(("--x-assign", "unique", "--x-initial", "unique"), "-O1", "-O0", "-O2")


@dataclass(frozen=True)
class Plan:
    """Everything that decides the bytes of the executable. Sources are absolute paths."""

    sources: tuple[Path, ...]
    top: str
    parameters: tuple[tuple[str, int | str], ...]
    defines: tuple[tuple[str, int | str], ...]
    public: tuple[str, ...]  # "module" (all its variables) or "module.variable"
    profile: Profile
    waveform: bool = False  # can write every signal to an FST file

    def flags(self) -> list[str]:
        """Verilator's options, without paths."""
        flags = [*COMMON_FLAGS, *self.profile.verilator]
        flags += ["--output-split", str(OUTPUT_SPLIT), "--top-module", self.top]
        flags += [WAVEFORM] if self.waveform else []
        flags += [f"-G{name}={_literal(value)}" for name, value in self.parameters]
        flags += [f"-D{name}={value}" for name, value in self.defines]
        return flags

    def control(self) -> str:
        """Verilator control file that makes the named signals visible to VPI."""
        lines = ["`verilator_config"]
        for name in self.public:
            module, _, variable = name.partition(".")
            lines.append(f'public_flat_rw -module "{module}" -var "{variable or "*"}"')
        return "\n".join(lines) + "\n"

    def key(self, tools: Toolchain) -> str:
        """Name of the result: equal keys mean equal executables."""
        facts = (
            self.flags(),
            self.control(),
            (self.profile.fast, self.profile.slow, self.profile.runtime),
            (tools.cxx, tools.verilator_version, tools.cocotb_version),
            str(cocotb_libraries()),  # the executable loads cocotb from there
            [path.name for path in self.sources],
            [hashlib.sha256(path.read_bytes()).hexdigest() for path in self.sources],
        )
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def verilate(plan: Plan, tools: Toolchain, build_root: Path, directory: Path) -> None:
    """Fill `directory` (a child of `build_root`) with the executable, build.log, manifest.json.

    TandemError holds the first error line of the step that failed.
    """
    runtime = _runtime(tools, plan.profile.runtime, build_root, plan.waveform)
    with staged(directory) as scratch:
        _compile(plan, tools, runtime, scratch)


def _compile(plan: Plan, tools: Toolchain, runtime: Path, scratch: Path) -> None:
    work = scratch / "obj"
    work.mkdir()
    log = scratch / "build.log"
    control = scratch / "public.vlt"
    control.write_text(plan.control())
    command = [str(tools.perl), str(tools.verilator), *plan.flags(), "--Mdir", str(work)]
    command += [str(control), *map(str, plan.sources), str(cocotb_main())]
    _step(command, tools, scratch, log, f"Verilator refused {plan.top}")
    command = _make(tools, fast=plan.profile.fast, slow=plan.profile.slow)
    command += ["Vtop__ALL.a", "verilator.o"]
    _step(command, tools, work, log, f"the C++ of {plan.top} did not compile")
    libraries = cocotb_libraries()
    command = [*shlex.split(tools.cxx), "-o", str(scratch / EXECUTABLE), "verilator.o"]
    command += ["Vtop__ALL.a", str(runtime), f"-L{libraries}", f"-Wl,-rpath,{libraries}"]
    command += [
        "-lcocotbvpi_verilator",
        "-lpthread",
        *(WAVEFORM_LIBRARIES if plan.waveform else ()),
    ]
    _step(command, tools, work, log, f"{plan.top} did not link")
    shutil.rmtree(work)
    manifest = {"top": plan.top, "flags": plan.flags(), "sources": [str(p) for p in plan.sources]}
    (scratch / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def _runtime(tools: Toolchain, optimisation: str, build_root: Path, waveform: bool) -> Path:
    """Verilator's run-time library, compiled once for all designs.

    It takes most of the time of a small build.
    """
    facts = (tools.cxx, tools.verilator_version, optimisation, *([WAVEFORM] if waveform else []))
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]
    directory = build_root / f"runtime-{key}"
    library = directory / "libverilated.a"
    with lock(directory):
        if library.exists():
            return library
        with staged(directory) as scratch:
            log = scratch / "build.log"
            (scratch / "empty.sv").write_text("module empty; endmodule\n")
            command = [str(tools.perl), str(tools.verilator), "--cc", "--vpi", "--no-timing"]
            command += [WAVEFORM] if waveform else []
            command += ["--prefix", "Vtop", "--Mdir", str(scratch), "empty.sv"]
            _step(command, tools, scratch, log, "Verilator does not run")
            command = [*_make(tools, fast=optimisation, slow="-O0"), "libverilated.a"]
            failure = "Verilator's run-time library did not compile"
            if waveform:
                failure += "; waveforms need lz4 and zlib (Debian: liblz4-dev, zlib1g-dev)"
            _step(command, tools, scratch, log, failure)
    return library


def _make(tools: Toolchain, *, fast: str, slow: str) -> list[str]:
    # The PyPI package's Makefile names the tools of the machine it was built on, and leaves out
    # the option that reads a precompiled header: name ours.
    settings = {
        "CXX": tools.cxx,
        "LINK": tools.cxx,
        "AR": "ar",
        "PERL": str(tools.perl),
        "PYTHON3": sys.executable,
        "CFG_CXXFLAGS_PCH_I": "-include",
        "CFG_GCH_IF_CLANG": ".gch" if "clang" in tools.cxx else "",
        "OPT_FAST": fast,
        "OPT_SLOW": slow,
        "OPT_GLOBAL": fast,
    }
    assignments = [f"{name}={value}" for name, value in settings.items()]
    return [str(tools.make), f"-j{BUILD_JOBS}", *assignments, "-f", "Vtop.mk"]


def _step(command: Sequence[str], tools: Toolchain, cwd: Path, log: Path, failure: str) -> None:
    part = log.with_suffix(".part")
    status = execute(command, cwd=cwd, env=tools.environment(), log=part)
    text = part.read_text(errors="replace")
    part.unlink()
    with log.open("a") as whole:
        whole.write(text)
    if status != 0:
        raise TandemError(f"{failure}: {first_error(text)}")


def first_error(text: str) -> str:
    """The line of a tool's output that says what went wrong; the last line if none does."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for pattern in (r"%Error(?!: Exiting)", r"\berror:", r"\bERROR\b", r"undefined reference"):
        for line in lines:
            if re.search(pattern, line):
                return line
    return lines[-1] if lines else "no output"


def ordered(values: Mapping[str, int | str]) -> tuple[tuple[str, int | str], ...]:
    """A mapping in an order that does not depend on how it was written."""
    return tuple(sorted(values.items()))


def _literal(value: int | str) -> str:
    return f'"{value}"' if isinstance(value, str) else str(int(value))
