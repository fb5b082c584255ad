"""Synthesis of an accelerator unit by unit, so that no unit is mapped twice.

The hierarchy is kept, so a unit with the same parameters is mapped to the same cells in every
design. Yosys elaborates a design in seconds; what it then finds in the core (the MAC array with its
lanes and widths, a memory with its depth, ...) is mapped once per module, parameters and sources,
and kept by that. Two designs that differ in one buffer share everything else.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.errors import TandemError
from rtl_sim.cache import lock, staged
from rtl_sim.toolchain import execute, yosys_command, yosys_environment, yosys_path

ELABORATED = "core.json"
FACTS = "cells.json"  # of a unit: primitive cells and seconds
LOG = "yosys.log"
GLUE = "glue"
_MODULE = re.compile(r"^\s*module\s+(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class UnitCells:
    """Primitive cells of one unit, everything below it included."""

    cells: Counter[str]
    seconds: float  # its share of the run that mapped it, also where it was found
    cached: bool


@dataclass(frozen=True)
class Library:
    """The sources of a design and the tool that maps them."""

    sources: tuple[Path, ...]  # in compilation order
    top: str
    core: str  # the module whose instances are the units
    tool: str
    flags: str

    def closure(self, module: str) -> list[str]:
        """Names of the modules that ``module`` is made of, itself first, then by name."""
        texts = {name: text for path in self.sources for name, text in _modules(path).items()}
        found, waiting = [], [module]
        while waiting:
            name = waiting.pop()
            if name in found or name not in texts:
                continue
            found.append(name)
            words = set(re.findall(r"\w+", " ".join(texts[name])))
            waiting += sorted(other for other in texts if other in words)
        return [found[0], *sorted(found[1:])] if found else [module]

    def key(self, unit: str) -> str:
        """Of a unit as Yosys names it: equal keys mean equal cells."""
        texts = {name: text for path in self.sources for name, text in _modules(path).items()}
        code = [texts.get(name, []) for name in self.closure(base_name(unit))]
        facts = (unit, self._packages(code), code, self.tool, self.flags)
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]

    def _packages(self, code: list[list[str]]) -> list[list[str]]:
        """Packages that modules speak of, and those that these speak of: others change nothing."""
        words = set(re.findall(r"\w+", " ".join(" ".join(lines) for lines in code)))
        found = []
        for path in reversed(self.sources):  # a package comes after those it needs
            if path.stem.endswith("_pkg") and path.stem in words:
                found.append(_code(path))
                words |= set(re.findall(r"\w+", " ".join(found[-1])))
        return found


def base_name(unit: str) -> str:
    r"""``mac_array`` of ``$paramod$0a9c...\mac_array`` or ``$paramod\sync\Depth=...``."""
    return unit.split("\\")[1] if unit.startswith("$paramod") else unit.removeprefix("\\")


def map_units(library: Library, root: Path) -> dict[str, UnitCells]:
    """Cells of every instance of the core, and of the glue between them.

    TandemError: Yosys refuses the design (its first error line).
    """
    root = root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    instances = _elaborate(library, root)
    kinds = sorted(set(instances.values()))
    glue = f"{GLUE} of {library.top}"
    keys = {kind: library.key(kind) for kind in kinds}
    keys[glue] = hashlib.sha256(json.dumps(sorted(keys.items())).encode()).hexdigest()[:24]
    missing = [kind for kind, key in keys.items() if not (root / "units" / key / FACTS).exists()]
    if missing:
        _map(library, root, missing, {kind: keys[kind] for kind in missing}, kinds)
    found = {kind: _read(root / "units" / key, kind not in missing) for kind, key in keys.items()}
    named = {name: found[kind] for name, kind in instances.items()}
    return {**named, GLUE: found[glue]}


def _read(directory: Path, cached: bool) -> UnitCells:
    facts = json.loads((directory / FACTS).read_text())
    return UnitCells(Counter(facts["cells"]), facts["seconds"], cached)


def _elaborate(library: Library, root: Path) -> dict[str, str]:
    """Instances of the core: name -> module with its parameters, from Yosys' hierarchy pass."""
    key = _key_of_all(library)
    directory = root / "elaborated" / key
    if not (directory / ELABORATED).exists():
        directory.parent.mkdir(parents=True, exist_ok=True)
        with lock(directory), staged(directory) as scratch:
            commands = [
                *_read_commands(library, scratch), "proc", f"select *{library.core}",
                f"write_json -selected {ELABORATED}",
            ]  # fmt: skip
            _yosys(library, root, commands, scratch)
    modules: dict[str, Any] = json.loads((directory / ELABORATED).read_text())["modules"]
    (core,) = modules.values()
    return {
        name: cell["type"]
        for name, cell in core["cells"].items()
        if cell["type"].startswith("$paramod") or not cell["type"].startswith("$")
    }


def _read_commands(library: Library, directory: Path) -> list[str]:
    names = " ".join(yosys_path(path, directory) for path in library.sources)
    return [f"read_verilog -sv {names}", f"hierarchy -check -top {library.top}"]


def _map(
    library: Library, root: Path, missing: Sequence[str], keys: Mapping[str, str], kinds: list[str]
) -> None:
    """Map what is missing in one run of Yosys, with black boxes for the rest; keep every unit.

    One run, because `synth_xilinx` takes 5 s before it looks at a module.
    """
    work = root / "units"
    work.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(json.dumps(sorted(keys.items())).encode()).hexdigest()[:16]
    known = [f"setattr -mod -set blackbox 1 {_quoted(kind)}" for kind in kinds if kind not in keys]
    with lock(work / name), staged(work / name) as scratch:
        commands = [
            *_read_commands(library, scratch), *known,
            f"synth_xilinx {library.flags} -top {library.top}", f"tee -q -o {FACTS} stat -json",
        ]  # fmt: skip
        started = time.perf_counter()
        _yosys(library, root, commands, scratch)
        seconds = (time.perf_counter() - started) / len(missing)
        modules = {
            module.removeprefix("\\"): facts["num_cells_by_type"]
            for module, facts in json.loads((scratch / FACTS).read_text())["modules"].items()
        }
        for kind in missing:
            glue = kind.startswith(GLUE)
            top = library.top if glue else kind.removeprefix("\\")
            cells = _below(modules, top, set(kinds) if glue else set())
            _keep(work / keys[kind], {"unit": kind, "cells": cells, "seconds": seconds})


def _keep(directory: Path, facts: Mapping[str, Any]) -> None:
    """Keep the cells of a unit under its key."""
    with lock(directory), staged(directory) as scratch:
        (scratch / FACTS).write_text(json.dumps(facts, indent=1))


def _below(modules: Mapping[str, Mapping[str, int]], top: str, without: set[str]) -> dict[str, int]:
    """Primitive cells in ``top`` and all below, without the modules ``without``."""
    cells: Counter[str] = Counter()
    for kind, number in modules[top].items():
        if kind in without:
            continue
        if kind in modules:
            for cell, each in _below(modules, kind, without).items():
                cells[cell] += number * each
        else:
            cells[kind] += number
    return dict(cells)


def _yosys(library: Library, root: Path, commands: Sequence[str], directory: Path) -> None:
    script = directory / "script.ys"
    script.write_text("\n".join(commands) + "\n")
    status = execute(
        [*yosys_command(), "-q", "-s", script.name],
        cwd=directory,
        env=yosys_environment(root.parent / "yowasp"),
        log=directory / LOG,
    )
    if status != 0:
        raise TandemError(f"Yosys refused {library.top}: {first_error(directory / LOG)}")


def first_error(log: Path) -> str:
    """The first error line of Yosys' log, or its last line."""
    text = log.read_text(errors="replace")
    found = re.search(r"^.*ERROR: .*$", text, re.MULTILINE)
    lines = [line for line in text.splitlines() if line.strip()]
    return found.group().strip() if found else (lines or ["it failed without a word"])[-1]


def _key_of_all(library: Library) -> str:
    facts = ([_code(path) for path in library.sources], library.top, library.tool)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def _quoted(name: str) -> str:
    """A module's name for a Yosys script."""
    return name if name.startswith(("$", "\\")) else f"\\{name}"


def _modules(path: Path) -> dict[str, list[str]]:
    """Code of the modules in a file: one each, by the project's style."""
    found = _MODULE.search(path.read_text())
    return {found.group(1): _code(path)} if found else {}


def _code(path: Path) -> list[str]:
    """A source without comments and layout, which do not decide what is mapped."""
    lines = (" ".join(line.split("//")[0].split()) for line in path.read_text().splitlines())
    return [line for line in lines if line]
