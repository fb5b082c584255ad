"""Time of a published accelerator from its loop nest, with the memory of the simulator.

An accelerator made by high-level synthesis is a program: stages one after the other, each a number
of phases, each one or several units that run at the same time. A unit is a loop nest with an
initiation interval; where it moves words between memory and chip, the burst-by-burst model of
``model/memory_kernel.py`` says how long that takes with the DDR of the board. A phase takes as long
as its slowest unit. The ideal time, for comparison, gives every word one interval.

A port has 64 bits: narrower words take a beat each, wider ones several. A unit whose loop is not
pipelined asks for one word at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from model.accelerator import Accelerator, Buffers, PortMap
from model.ddr_timing import BEAT_BYTES, DdrTiming
from model.device import Device, load_device
from model.errors import TandemError
from model.segments import Segments
from model.sim_memory import transfer_cycles
from model.toml_reader import Table, read_toml

MOVES = ("none", "read", "write")
BASE = 0x1000_0000
CYCLES_MAX = 1 << 40


@dataclass(frozen=True)
class Unit:
    """A loop nest: ``product(loops) * ii + extra`` cycles where memory costs nothing.

    ``moves``: "none", or "read" or "write" of ``product(loops)`` words of ``word_bytes``, the last
    loop contiguous and rows ``pitch`` words apart (0: behind each other); ``burst`` False: one word
    at a time, each waits for the one before.
    """

    name: str
    loops: tuple[int, ...]
    ii: int
    extra: int
    moves: str
    word_bytes: int
    pitch: int
    burst: bool

    @property
    def ideal(self) -> int:
        """Cycles with a memory that answers at once."""
        return math.prod(self.loops) * self.ii + self.extra

    @property
    def moved(self) -> int:
        """Bytes over the port."""
        return math.prod(self.loops) * self.word_bytes if self.moves != "none" else 0

    def cycles(self, memory: Memory) -> int:
        """Cycles with the memory of a board."""
        if self.moves == "none":
            return self.ideal
        beats = -(-self.word_bytes // BEAT_BYTES)
        words, rows = self.loops[-1], math.prod(self.loops[:-1])
        if self.burst:
            pitch = (self.pitch or words) * beats * BEAT_BYTES
            moving = memory.cycles(self.moves, rows, words * beats, pitch)
        else:
            moving = words * rows * memory.cycles(self.moves, 1, beats, 0)
        return max(self.ideal - self.extra, moving) + self.extra


@dataclass(frozen=True)
class Phase:
    """Units that run at the same time, so many times one after the other."""

    times: int
    units: tuple[Unit, ...]


@dataclass(frozen=True)
class Stage:
    """Phases one after the other, so many times."""

    name: str
    times: int
    phases: tuple[Phase, ...]

    def ideal(self) -> int:
        """Cycles with a memory that answers at once."""
        return self.times * sum(p.times * max(u.ideal for u in p.units) for p in self.phases)

    def cycles(self, memory: Memory) -> int:
        """Cycles with the memory of a board."""
        return self.times * sum(
            p.times * max(unit.cycles(memory) for unit in p.units) for p in self.phases
        )

    @property
    def moved(self) -> int:
        """Bytes between memory and chip."""
        return self.times * sum(p.times * unit.moved for p in self.phases for unit in p.units)


@dataclass(frozen=True)
class Point:
    """A measurement of an accelerator on its board."""

    clock_khz: int
    measured_ms: float  # of a batch
    calibration: bool  # something of the description was chosen with it


@dataclass(frozen=True)
class PowerPoint:
    """Published power of an accelerator at the clock of its last point, and what it is made of."""

    measured_w: float
    images_per_joule: float
    calibration: bool
    macs: float  # a frame
    demand: dict[str, int]  # dsp, bram18, lut, ff; a block does a product a cycle


@dataclass(frozen=True)
class LoopNest:
    """A published accelerator."""

    name: str
    device: Device
    frames: int  # of a batch
    source: str
    stages: tuple[Stage, ...]
    points: tuple[Point, ...]
    power: PowerPoint | None = None

    @property
    def ideal_cycles(self) -> int:
        """Of a batch, with a memory that answers at once."""
        return sum(stage.ideal() for stage in self.stages)

    @property
    def moved(self) -> int:
        """Bytes of a batch between memory and chip."""
        return sum(stage.moved for stage in self.stages)

    def cycles(self, clock_khz: int, outstanding: int) -> int:
        """Of a batch with the board's memory and so many bursts under way on a port."""
        memory = Memory(self.device.ddr, clock_khz, outstanding)
        return sum(stage.cycles(memory) for stage in self.stages)


@dataclass(frozen=True)
class Memory:
    """The board's memory as one port sees it that nobody else disturbs."""

    timing: DdrTiming
    clock_khz: int
    outstanding: int

    def cycles(self, moves: str, rows: int, beats: int, pitch: int) -> int:
        """Cycles from the request to the last beat or response of ``rows`` rows of ``beats``."""
        return _transfer(self, moves, rows, beats, pitch)


@lru_cache(maxsize=4096)
def _transfer(memory: Memory, moves: str, rows: int, beats: int, pitch: int) -> int:
    acc = replace(_ANY, outstanding_bursts=memory.outstanding)
    segments = Segments(BASE, pitch, rows, 0, 1, beats, beats, 0)
    return transfer_cycles(memory.timing, memory.clock_khz, acc, segments, moves == "write")


# The memory model takes ports and outstanding bursts from an accelerator and nothing else.
_ANY = Accelerator(
    in_lanes=1, out_lanes=1, requant_lanes=1, dw_multipliers=1, dw_multiplier_style="lut",
    dw_kernel_max=3, conv_kernel_max=1, accumulator_bits=32, outstanding_bursts=1,
    command_depth=2, buffers=Buffers(*(2,) * 8), ports=PortMap(0, 0, 0, 0), tile_height=0,
    tile_width=0, mac_packing="none",
)  # fmt: skip


def load_loop_nest(path: Path) -> LoopNest:
    """Read a description (docs/published_boards.md). TandemError names the key that is wrong."""
    table = read_toml(path, "accelerator description")
    units = {unit.name: unit for unit in _units(table.table("units"))}
    found = LoopNest(
        name=table.text("name"),
        device=load_device(table.text("device")),
        frames=table.integer("frames", 1, 1 << 16),
        source=table.text("source"),
        stages=tuple(_stage(item, units) for item in table.tables("stage")),
        points=tuple(_point(item) for item in table.tables("point")),
        power=_power(table.table("power")) if "power" in table else None,
    )
    table.finish()
    if found.ideal_cycles > CYCLES_MAX:
        raise TandemError(f"{path}: {found.ideal_cycles} cycles: loops are too large to be true")
    return found


def _units(table: Table) -> Iterator[Unit]:
    for name in table.names():
        item = table.table(name)
        moves = item.text("moves", MOVES, default="none")
        yield Unit(
            name=name,
            loops=item.integers("loops", 1, 1 << 24),
            ii=item.integer("ii", 0, 1 << 16),
            extra=item.integer("extra", 0, 1 << 32, default=0),
            moves=moves,
            word_bytes=item.integer("word_bytes", 1, 4096) if moves != "none" else 0,
            pitch=item.integer("pitch", 0, 1 << 24, default=0),
            burst=item.flag("burst", default=True),
        )
        item.finish()


def _stage(table: Table, units: dict[str, Unit]) -> Stage:
    name = table.text("name")
    phases = []
    for item in table.tables("phase"):
        times = item.integer("times", 1, 1 << 24, default=1)
        names = item.strings("units")
        if unknown := [unit for unit in names if unit not in units]:
            raise item.refuse("units", unknown[0], f"must be of {', '.join(units)}")
        phases.append(Phase(times, tuple(units[unit] for unit in names)))
        item.finish()
    found = Stage(name, table.integer("times", 1, 1 << 24), tuple(phases))
    table.finish()
    return found


def _point(table: Table) -> Point:
    found = Point(
        clock_khz=round(table.number("clock_mhz", 1, 2000) * 1000),
        measured_ms=float(table.number("measured_ms", 1e-3, 1e9)),
        calibration=table.flag("calibration"),
    )
    table.finish()
    return found


def _power(table: Table) -> PowerPoint:
    demand = {name: table.integer(name, 0, 1 << 24) for name in ("dsp", "bram18", "lut", "ff")}
    found = PowerPoint(
        measured_w=float(table.number("measured_w", 1e-3, 1000)),
        images_per_joule=float(table.number("images_per_joule", 1e-6, 1e6)),
        calibration=table.flag("calibration"),
        macs=1e6 * table.number("million_macs", 1e-3, 1e7),
        demand=demand,
    )
    table.finish()
    return found
