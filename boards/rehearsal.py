"""A deployment's own driver on the simulated board: the RTL of its design, in simulation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from boards.deployment import BITSTREAM, INTERRUPT, IP
from boards.fingerprints import design_sha256, rtl_sha256
from boards.pynq_z1.driver import MANIFEST, BoardError, read_manifest
from model.design import Design
from model.errors import RunFailed, TandemError
from rtl_sim.build import Build, run
from rtl_sim.cache import lock, staged
from testbench.accelerator_tb import build_accelerator, memory_words
from testbench.pynq_layer import PAGE_BYTES, WORD_BYTES, BoardPlan

BENCH = "testbench.pynq_bench"
DRIVER = "boards.pynq_z1.run"
PERIOD_NS = 10
GARBAGE = "a5" * WORD_BYTES  # what the memory holds before anybody writes to it
WATCHDOG_FACTOR = 3
LONG_RUN_CYCLES = 1_000_000  # from here on an optimised build repays its compilation
LOG = "run.json"


@dataclass(frozen=True)
class Rehearsal:
    """What the driver did: its exit status (0 held, 1 values differ), its log as bytes."""

    status: int
    said: str
    log: bytes


def stand_in_bitstream(design: Design) -> bytes:
    """What is hashed in a bitstream's place where the RTL is simulated."""
    return f"simulated RTL {rtl_sha256(design)}\n".encode()


def rehearse(design: Design, folder: Path, out: Path, arguments: Sequence[str]) -> Rehearsal:
    """Run the driver of a deployment folder against the design's RTL, compiled below ``out``.

    ``arguments``: more of the driver's. TandemError where the folder is not of this design;
    RunFailed with the driver's own words where it gave up; SimulationFailed.
    """
    manifest = _manifest(design, folder)
    out = out.resolve()
    (out / "rehearsals").mkdir(parents=True, exist_ok=True)
    memory_bytes = manifest["memory"]["bytes"] + manifest["memory"]["alignment"] + 2 * PAGE_BYTES
    optimise = manifest["expected_cycles"] > LONG_RUN_CYCLES
    build = build_accelerator(design, memory_bytes, out / "verilator", optimise)
    words = memory_words(memory_bytes)
    kept = out / "rehearsals" / design.name.replace(".", "_")
    with lock(kept), staged(kept) as scratch:
        _copy(folder, manifest, design, scratch)
        plan = BoardPlan(
            memory_base=design.device.memory_base,
            memory_bytes=words * WORD_BYTES,
            clock_mhz=design.clock_mhz,
            period_ns=PERIOD_NS,
            watchdog_cycles=WATCHDOG_FACTOR * manifest["expected_cycles"] + 10_000,
            ip=IP,
            interrupt=INTERRUPT,
        )
        result = _simulate(build, plan, design, scratch, words, arguments)
        if result["status"] == 2:
            raise RunFailed(str(result["said"]).removeprefix("board: "))
        return Rehearsal(result["status"], result["said"], (scratch / LOG).read_bytes())


def _manifest(design: Design, folder: Path) -> dict[str, Any]:
    try:
        manifest = read_manifest(folder)
    except BoardError as error:
        raise TandemError(str(error)) from None
    for name, wanted in (
        ("design_sha256", design_sha256(design)),
        ("rtl_sha256", rtl_sha256(design)),
    ):
        if manifest.get(name) != wanted:
            raise TandemError(
                f"{folder / MANIFEST}: was packaged from another design or another version of the "
                f"RTL than {design.name}'s ({name} differs): package it again"
            )
    return manifest


def _copy(folder: Path, manifest: dict[str, Any], design: Design, scratch: Path) -> None:
    """The driver's side of the folder, and a stand-in where the bitstream would be."""
    shutil.copytree(folder / "boards", scratch / "boards", ignore=_no_caches)
    for name in (MANIFEST, manifest["memory"]["file"], manifest["self_test"]):
        shutil.copyfile(folder / name, scratch / name)
    (scratch / BITSTREAM).write_bytes(stand_in_bitstream(design))


_no_caches = shutil.ignore_patterns("__pycache__")


def _simulate(
    build: Build, plan: BoardPlan, design: Design, scratch: Path, words: int, more: Sequence[str]
) -> dict[str, Any]:
    files = {
        name: scratch / name
        for name in ("memory", "memory_load", "memory_out", "events", "board", "result")
    }
    files["memory"].write_text(f"{GARBAGE}\n" * words)
    arguments = ["--folder", str(scratch), "--log", str(scratch / LOG), *more]
    job = {
        "plan": asdict(plan),
        "folder": str(scratch),
        "module": DRIVER,
        "arguments": arguments,
    }
    files["board"].write_text(json.dumps(job))
    plusargs = design.device.ddr.plusargs(design.clock_khz)
    plusargs += [f"+{name}={path}" for name, path in files.items()]
    run(build, BENCH, plusargs=plusargs, work_dir=scratch, timeout_s=3600)
    found: dict[str, Any] = json.loads(files["result"].read_text())
    return found
