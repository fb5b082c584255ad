"""What is done with a winner: its files in one folder, verified on the RTL and synthesised.

The folder holds all that is needed to go on without the search: design file, integer network, the
generated RTL with its library, and what the comparison and the synthesis said.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from model.design import Design, design_from_dict
from model.design_writer import write_design
from model.errors import TandemError
from model.network_file import write_atomically
from rtl_sim.cache import lock
from rtl_sim.generate import generate, library_sources
from rtl_sim.synth_command import synthesise_design
from testbench.verify_command import Request, verify_design

Tick = Callable[[dict[str, Any]], None]


def run_finish(payload: dict[str, Any], folder: Path, tick: Tick) -> dict[str, Any]:
    """Verify and synthesise one design. JSON in, JSON out.

    ``payload``: ``design`` (tables of the design file), ``network`` (path of the integer network),
    ``frames`` on the RTL (0: not verified), ``synthesise``, ``build`` (folder of compiled
    simulations and mapped units, shared), ``comment`` for the design file. Returns ``path``,
    ``network``, ``rtl`` relative to ``folder``, ``verify`` and ``synth`` (the JSON of ``tandem
    verify`` and ``tandem synth``; None where not asked for), ``verified``. TandemError where a
    file cannot be written or a tool fails.
    """
    design = design_from_dict(payload["design"], "the winner's design")
    path, network = folder / f"{design.name}.toml", folder / f"{design.name}.npz"
    _copy(Path(payload["network"]), network)
    write_design(design, path, payload.get("comment", ""))
    write_rtl(design, folder / "rtl")
    build = Path(payload["build"])
    verified = synthesised = None
    if payload["frames"]:
        tick({"step": "RTL simulation"})
        request = Request(path, network, frames=payload["frames"], out=build)
        verified = verify_design(request).record()
        _save(verified, folder / "verify.json")
    if payload["synthesise"]:
        tick({"step": "synthesis"})
        # One at a time: Yosys compiles itself when it is first called, and takes gigabytes.
        with lock(build / "synthesis"):
            synthesised = synthesise_design(design, build / "yosys").record()
        _save(synthesised, folder / "synth.json")
    return {
        "path": path.name,
        "network": network.name,
        "rtl": "rtl",
        "verify": _without_paths(verified),
        "synth": _without_paths(synthesised),
        "verified": None if verified is None else no_difference(verified),
    }


def no_difference(record: Mapping[str, Any]) -> bool:
    """Did ``tandem verify`` find nothing that differs?"""
    return not record["event_mismatches"] and not record["value_mismatches"] and record["exact"]


def write_rtl(design: Design, folder: Path) -> None:
    """The SystemVerilog of a design: the library, and what is generated for it, last."""
    written = generate(design, folder)
    sources = library_sources()
    for source in sources:
        _copy(source, folder / source.name)
    order = [path.name for path in (*sources, *written)]
    write_atomically(folder / "files.f", ("\n".join(order) + "\n").encode())


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        raise TandemError(
            f"{target}: cannot be copied from {source}: {error.strerror or error}: make room, or "
            "choose another folder with --out"
        ) from error


def _save(record: Mapping[str, Any], path: Path) -> None:
    write_atomically(path, (json.dumps(record, indent=2) + "\n").encode())


def _without_paths(record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Without what a journal does not need."""
    if record is None:
        return None
    return {key: value for key, value in record.items() if key not in ("parts", "units", "maps")}
