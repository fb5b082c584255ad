"""Faults: what is done to a running accelerator, and the copies of its job that prove recovery.

The simulated memory holds the same job several times, each with its own program, weights, images
and maps. A fault strikes one copy; the next start runs another one, whose maps are empty before, so
that a right result can only be its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.design import Design
from model.functional import run_functional
from model.image import random_image
from model.integer_network import IntegerNetwork
from model.memory_image import build_memory, read_map
from model.program import FIELDS, HEADER, OPCODES, RECORD_BYTES, checksum, layout_of
from model.random_network import random_network
from model.schedule import Schedule, compile_schedule
from model.simulator import simulate
from rtl_sim.build import Build
from testbench.accelerator_run import Job, RtlRun, run_accelerator
from testbench.accelerator_tb import build_accelerator

Ints = NDArray[np.int64]
PAGE = 4096  # copies begin where bursts may
BURST_BEATS = 16
CHECKSUM = "checksum"
WATCHDOG_FACTOR = 40  # stalled channels make a run many times longer, never this many


@dataclass(frozen=True)
class Start:
    """One start: the copy whose program runs, what the host does meanwhile, or another program."""

    copy: int
    actions: Sequence[tuple[int, str]] = ()
    program_address: int | None = None


@dataclass(frozen=True)
class Rig:
    """A built accelerator, and a memory with several copies of one job."""

    design: Design
    network: IntegerNetwork
    images: tuple[Ints, ...]
    schedules: tuple[Schedule, ...]  # one a copy
    copy_bytes: int
    spare_bytes: int  # after the copies
    build: Build

    @cached_property
    def wanted(self) -> tuple[dict[str, Ints], ...]:
        """The maps of each frame, from the functional level."""
        return tuple(run_functional(self.design, self.network, image) for image in self.images)

    @cached_property
    def cycles(self) -> int:
        """Cycles of an undisturbed run of the first copy."""
        return simulate(self.schedules[0]).total_cycles

    @property
    def spare_address(self) -> int:
        """Where memory that belongs to no copy begins."""
        return self.design.device.memory_base + len(self.schedules) * self.copy_bytes

    def memory(self) -> bytearray:
        """All copies, ready to start."""
        memory = bytearray(len(self.schedules) * self.copy_bytes + self.spare_bytes)
        for index, schedule in enumerate(self.schedules):
            image = build_memory(schedule, self.network, self.images)
            memory[index * self.copy_bytes : index * self.copy_bytes + len(image)] = image
        return memory

    def program(self) -> bytes:
        """The first copy's program, up to and with its `end`."""
        return bytes(self.memory()[: len(self.schedules[0].commands) * RECORD_BYTES])

    def run(
        self,
        starts: Sequence[Start],
        work_dir: Path,
        memory: bytes | None = None,
        plusargs: Sequence[str] = (),
    ) -> RtlRun:
        """Simulate the starts one after the other."""
        addresses = [
            self.schedules[start.copy].program_address
            if start.program_address is None
            else start.program_address
            for start in starts
        ]
        job = Job(
            schedule=self.schedules[0],
            memory=bytes(self.memory() if memory is None else memory),
            timeout_cycles=WATCHDOG_FACTOR * self.cycles + 20_000,
            starts=len(starts),
            program_addresses=addresses,
            actions=[start.actions for start in starts],
            plusargs=plusargs,
        )
        return run_accelerator(self.build, job, work_dir)

    def wrong_values(self, result: RtlRun, copy: int) -> int:
        """Values of the copy's maps, as the memory ends, that are not the functional level's."""
        schedule = self.schedules[copy]
        memory = result.memory[copy * self.copy_bytes : (copy + 1) * self.copy_bytes]
        wrong = 0
        for plan in schedule.plans:
            last = plan is schedule.plans[-1]
            for frame in range(schedule.frames) if last else [schedule.frames - 1]:
                got = read_map(schedule, memory, plan, frame)
                wrong += int((got != self.wanted[frame][plan.item.name]).sum())
        return wrong


def build_rig(
    design: Design, build_root: Path, copies: int, frames: int = 2, data_seed: int = 1,
    spare_bytes: int = PAGE,
) -> Rig:  # fmt: skip
    """Compile the accelerator with room for ``copies`` of a random job of the design."""
    rng = np.random.default_rng(data_seed)
    network = random_network(design, rng)
    images = tuple(random_image(design, rng) for _ in range(frames))
    size = -(-compile_schedule(design, frames).memory_bytes // PAGE) * PAGE
    base = design.device.memory_base
    schedules = tuple(
        compile_schedule(
            replace(design, device=replace(design.device, memory_base=base + index * size)), frames
        )
        for index in range(copies)
    )
    build = build_accelerator(design, copies * size + spare_bytes, build_root, optimise=False)
    return Rig(design, network, images, schedules, size, spare_bytes, build)


def bursts(schedule: Schedule) -> dict[str, int]:
    """Bursts that a run needs at least, by unit; the program's of one frame."""
    found = {"program": len(schedule.commands) * RECORD_BYTES // (8 * BURST_BEATS)}
    found |= dict.fromkeys(("weight", "load", "store"), 0)
    for command in schedule.commands:
        if command.unit == "weight":
            found["weight"] += command.groups * -(-command.group_beats // BURST_BEATS)
        elif command.unit == "load":
            full = -(-command.segment_beats // BURST_BEATS)
            last = -(-command.last_segment_beats // BURST_BEATS)
            found["load"] += command.rows * ((command.blocks - 1) * full + last)
        elif command.unit == "store":
            full = -(-command.segment_beats // BURST_BEATS)
            last = -(-command.last_segment_beats // BURST_BEATS)
            found["store"] += command.segments * ((command.out_groups - 1) * full + last)
    return {
        unit: count * (1 if unit == "program" else schedule.frames) for unit, count in found.items()
    }


def fields() -> list[tuple[str, str]]:
    """Every field of every record, (unit, field), the checksums too."""
    header = [name for name, _ in HEADER]
    return [
        (unit, name)
        for unit, own in FIELDS.items()
        for name in (*header, *(field for field, _ in own), CHECKSUM)
    ]


def records(program: bytes, unit: str) -> list[int]:
    """Indices of the unit's records."""
    codes = [program[start] & 0xF for start in range(0, len(program), RECORD_BYTES)]
    return [index for index, code in enumerate(codes) if code == OPCODES[unit]]


def flip(program: bytes, record: int, bit: int) -> bytes:
    """The program with one bit of a record inverted."""
    changed = bytearray(program)
    changed[record * RECORD_BYTES + bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def flip_field(program: bytes, unit: str, name: str, rng: np.random.Generator) -> tuple[bytes, int]:
    """A random bit of that field inverted in a random record of the unit; and which record."""
    low, bits = (8 * (RECORD_BYTES - 4), 32) if name == CHECKSUM else layout_of(unit)[name]
    record = int(rng.choice(records(program, unit)))
    return flip(program, record, low + int(rng.integers(bits))), record


def with_opcode(program: bytes, record: int, opcode: int) -> bytes:
    """The record with another opcode and a checksum that is right."""
    changed = bytearray(program)
    start = record * RECORD_BYTES
    changed[start] = changed[start] & 0xF0 | opcode
    end = start + RECORD_BYTES - 4
    changed[end : end + 4] = checksum(bytes(changed[start:end])).to_bytes(4, "little")
    return bytes(changed)
