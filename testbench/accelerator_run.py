"""Runs a compiled accelerator on a memory image and brings back everything that can be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.events import Event, read_events
from model.schedule import Schedule
from rtl_sim.build import Build, run
from testbench.registers import ERROR_CODES, STATUS_DONE

__all__ = ["ERROR_CODES", "HostRun", "Job", "RtlRun", "run_accelerator"]

BENCH = "testbench.accelerator_bench"


@dataclass(frozen=True)
class HostRun:
    """What the host saw of one start."""

    hung: bool
    status: int
    error_info: int
    frames_done: int
    build_id: int
    total_cycles: int
    seconds: float  # wall time from the start write to the interrupt
    counters: Mapping[str, int]
    reset: bool

    @property
    def done(self) -> bool:
        """Did the run end well?"""
        return not self.hung and bool(self.status & STATUS_DONE)

    @property
    def error_code(self) -> int:
        """See ``testbench.registers.ERROR_CODES``."""
        return self.status >> 8 & 0xFF


@dataclass(frozen=True)
class RtlRun:
    """All starts of a simulation, its events (of all starts) and the memory at the end."""

    runs: tuple[HostRun, ...]
    events: tuple[Event, ...]
    memory: bytes


@dataclass(frozen=True)
class Job:
    """A simulation to run: starts, and what the memory does besides serving them."""

    schedule: Schedule
    memory: bytes
    timeout_cycles: int
    starts: int = 1
    program_addresses: Sequence[int] = ()  # per start; the schedule's own where none is given
    actions: Sequence[Sequence[tuple[int, str]]] = ()  # per start
    plusargs: Sequence[str] = field(default_factory=tuple)
    activity: Path | None = None  # what a build with the recorder writes
    waveform: Path | None = None  # what a build with waveforms writes


def run_accelerator(build: Build, job: Job, work_dir: Path) -> RtlRun:
    """Simulate. SimulationFailed where the simulator itself gives up."""
    work_dir.mkdir(parents=True, exist_ok=True)
    files = {
        name: work_dir / name
        for name in ("memory.hex", "memory_out.hex", "events.txt", "job.json", "result.json")
    }
    _write_memory(files["memory.hex"], job.memory)
    files["job.json"].write_text(json.dumps({"runs": _runs(job)}))
    for name in ("memory_out.hex", "events.txt", "result.json"):
        files[name].unlink(missing_ok=True)
    schedule = job.schedule
    plusargs = schedule.design.device.ddr.plusargs(schedule.design.clock_khz)
    plusargs += [
        f"+memory={files['memory.hex']}",
        f"+memory_out={files['memory_out.hex']}",
        f"+events={files['events.txt']}",
        f"+job={files['job.json']}",
        f"+result={files['result.json']}",
        *([f"+activity={job.activity}"] if job.activity else []),
        *job.plusargs,
    ]
    run(
        build,
        BENCH,
        plusargs=plusargs,
        work_dir=work_dir,
        timeout_s=3600,
        waveform=job.waveform,
    )
    return RtlRun(
        runs=tuple(_host_run(item) for item in json.loads(files["result.json"].read_text())),
        events=tuple(read_events(files["events.txt"])),
        memory=_read_memory(files["memory_out.hex"], len(job.memory)),
    )


def _runs(job: Job) -> list[dict[str, Any]]:
    schedule, own = job.schedule, job.program_addresses
    return [
        {
            "program_address": own[index] if index < len(own) else schedule.program_address,
            "frames": schedule.frames,
            "image_stride": schedule.image_stride,
            "output_stride": schedule.output_stride,
            "timeout_cycles": job.timeout_cycles,
            "actions": list(job.actions[index]) if index < len(job.actions) else [],
        }
        for index in range(job.starts)
    ]


def _host_run(item: Mapping[str, Any]) -> HostRun:
    return HostRun(**item)


def _write_memory(path: Path, memory: bytes) -> None:
    """64-bit words for $readmemh, word 0 first."""
    padded = bytes(memory) + bytes(-len(memory) % 8)
    text = padded[::-1].hex()  # last byte first: every 16 digits are one word, last word first
    words = [text[i : i + 16] for i in range(len(text) - 16, -1, -16)]
    path.write_text("\n".join(words) + "\n")


def _read_memory(path: Path, size: int) -> bytes:
    lines = [line for line in path.read_text().splitlines() if line and line[0] not in "/@"]
    return bytes.fromhex("".join(reversed(lines[: -(-size // 8)])))[::-1][:size]
